"""Second stage: a classifier is fitted to the frozen features of a backbone, and nothing else moves.

The sources are named in the modules of :mod:`finetune.classifiers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.backbones.loading import Backbone, load_backbone, seeded
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.infrastructure.errors import as_typed
from features.readers import open_dataset
from finetune.classifiers.second_stage import (
    METHODS,
    FittedHead,
    FittingInputs,
    TrainedClassifier,
    images_per_class,
)
from finetune.command_options.classifier_fitting import FitClassifierConfig
from finetune.evaluation.image_pass import ForwardOptions, score_images
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.shared_options import resolve
from finetune.training.extras import Extras
from finetune.training.fitting import Trained, TrainingResult, carry_out, checkpoint_card
from finetune.training.held_out import Split, held_out_of
from finetune.training.validation import check_validation


def fit_classifier(config: FitClassifierConfig) -> TrainingResult:
    """Fit a classifier, or reuse the finished run at ``config.out``.

    Raises:
        InputError: The target or the start cannot be opened, they do not fit the method, or another run stands at
            ``out``.
    """
    config, chosen = resolve(config)
    dataset = open_dataset(config.dataset)
    backbone = load_backbone(config.init, config.weights, config.image_size, config.crop_pct, seed=config.seed)
    checkpoint = find_checkpoint(config.init)
    counts = images_per_class(checkpoint, "classifier_counts", dataset.classes)
    inputs: dict[str, str] = {}
    trained = None
    if config.row.keeps_classifier:
        trained = TrainedClassifier.of(config.init, dataset.classes, f"`method` {config.method}")
        if config.row.check is not None:
            config.row.check(trained, config.tau)
        inputs["trained classifier"] = trained.sha256()
    if isinstance(config.validation, int):
        validation: ImageDataset | None = held_out_of(config.init, dataset, config.validation)
    else:
        validation = check_validation(config.validation, config.test, dataset)
    if validation is not None:
        inputs["validation data"] = validation.manifest_sha256

    def fit(split: Split, run: RunDirectory) -> Trained:
        given: dict[str, Any] = {"trained": trained, "counts": counts, "validation": validation}
        given |= {"tau": config.tau, "space": config.space, "seed": config.seed}
        fitted = fit_frozen(config.method, backbone, dataset, config, **given)
        run.log_unreadable(fitted.unreadable)
        for sentence in chosen:
            run.log(f"{run.path.name}: {sentence}", f"{type(config).__name__}: {sentence}")
        if fitted.head.said:
            run.log(f"{run.path.name}: {fitted.head.said}")
        card = checkpoint_card(dataset, dataset.counts, fitted.head.sigmoid, fitted.head.scale)
        return fitted.model, card | {"fit": as_typed(fitted.head.said)}, None

    kept = {} if trained is None or counts is None else {"classifier_counts": counts.tolist()}
    seen = images_per_class(checkpoint, "train_counts", dataset.classes)
    return carry_out(backbone, dataset, config, fit, Extras(seen=seen, inputs=inputs, card=kept))


@dataclass(frozen=True, eq=False)
class FrozenFit:
    """A model whose head was fitted to frozen features, and the images that could not be read, as (id, reason)."""

    model: ImageClassifier
    head: FittedHead
    unreadable: tuple[tuple[str, str], ...]


def fit_frozen(
    method: str, backbone: Backbone, dataset: ImageDataset, options: ForwardOptions, **given: Any
) -> FrozenFit:
    """Fit a head to features of the centre view; neither weights nor statistics of the backbone move.

    ``method`` names a row of :data:`finetune.classifiers.second_stage.METHODS`, ``options`` are those of the pass over
    the images, and ``given`` further fields of :class:`finetune.classifiers.second_stage.FittingInputs`. Raises
    ``InputError`` if the method is unknown, no image can be read, or a class that the method needs has none.
    """
    unreadable: list[tuple[str, str]] = []

    def features_of(images: ImageDataset) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        features, labels, missing = score_images(backbone, images, backbone.preprocessing, options)
        unreadable.extend(missing)
        return features, labels

    head = METHODS.find(method).fit(FittingInputs(dataset=dataset, features_of=features_of, **given))
    with seeded(0):  # the values that the head is made with are replaced
        model = ImageClassifier(backbone, dataset.classes, head.kind)
    head.into(model.head)
    return FrozenFit(model, head, tuple(unreadable))
