"""Second stage: a classifier is fitted to the frozen features of a backbone, and nothing else moves.

The sources are named in the modules of :mod:`finetune.classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from features.backbones.loading import Backbone, load_backbone, seeded
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.infrastructure.errors import as_typed
from features.infrastructure.options import default_of
from features.readers import open_dataset
from finetune.classifiers.second_stage import (
    METHODS,
    OPTIONS,
    FittedHead,
    FittingInputs,
    SecondStage,
    Space,
    TrainedClassifier,
    images_per_class,
)
from finetune.evaluation.image_pass import ForwardOptions, score_images
from finetune.finetuning import FinetuneConfig
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.shared_options import TrainingOptions, resolve
from finetune.shared_options.base import Choice, Reader
from finetune.shared_options.option_groups import (
    WHOLE_IMAGES,
    NotNegative,
    RunOptions,
    StartingPoint,
    held_out,
    held_out_faults,
)
from finetune.training.extras import Extras
from finetune.training.fitting import Trained, TrainingResult, carry_out, checkpoint_card
from finetune.training.validation import Split, check_validation, held_out_of


@dataclass(frozen=True, kw_only=True)
class FitClassifierConfig(RunOptions, StartingPoint):
    """Fit a classifier to the frozen features of a backbone or a run.

    Attributes:
        method: The second-stage classifier: linear (logistic regression), crt, …; see transfer inspect methods.
        space: Where `method` ncm measures: by the cosine, the Euclidean distance, or the cosine of features less their
            mean (centred).
        tau: τ of `method` tau, or of `method` logit-adjusted (by default 1).
        validation: Images to choose the τ of `method` tau on: a dataset spec, or the number of images of each class
            that the training of the run held out.
        seed: Seed of random weights and of the draws of `method` crt and lws.
    """

    #: Options of fine-tuning, which earlier versions wrote into these runs without reading them → their defaults.
    RETIRED: ClassVar[Mapping[str, Any]] = {
        **TrainingOptions.RETIRED,
        **{option.name: default_of(option) for option in fields(FinetuneConfig)},
    }

    method: str
    space: Space = "cosine"
    tau: NotNegative | None = None
    validation: int | str | None = None

    @property
    def row(self) -> SecondStage:
        """The row of the method."""
        return METHODS[self.method]

    def defaults(self) -> dict[str, Choice]:
        return {"crop_pct": WHOLE_IMAGES} if self.published and not self.row.keeps_classifier else {}

    def normalised(self) -> dict[str, Any]:
        return super().normalised() | {"validation": held_out(self.validation)}

    def checks(self) -> list[Callable[[], object]]:
        return [*super().checks(), partial(METHODS.find, self.method)]

    def contradictions(self) -> list[str]:
        faults = super().contradictions() + held_out_faults(self.validation)
        asked = self.row.needs_one_of
        given = [f"`{name}`" for name in asked if getattr(self, name) is not None]
        if asked and len(given) != 1:
            choices = ", or ".join(f"`{name}`, {what}" for name, what in asked.items())
            fault = f"{' and '.join(given)} are both given; give one: " if given else "give "
            faults.append(f"`method` {self.method}: {fault}{choices}")
        return faults

    def unread(self) -> dict[str, Reader]:
        return super().unread() | {option: partial(_readers, option) for option in OPTIONS - self.row.options}

    def balanced_by(self) -> str | None:
        return f"--method {self.method}" if self.row.balanced else None


def _readers(option: str) -> str:
    """The methods that read an option, in words."""
    return f"`method` {', '.join(name for name, row in METHODS.items() if option in row.options)}"


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
        for sentence in (*chosen, *filter(None, [fitted.head.said])):
            run.log(f"{run.path.name}: {sentence}")
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
