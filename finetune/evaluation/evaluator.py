"""Evaluation of a trained classifier on a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from features.infrastructure.processes import rank
from features.infrastructure.storage.addresses import Location
from features.intensities import say_assumed
from features.readers import open_dataset
from features.readers.plain_paths import labelled_spec
from finetune.command_options.evaluation import EvaluateConfig
from finetune.evaluation.arguments import check_outputs, check_run
from finetune.evaluation.class_matching import align_classes
from finetune.evaluation.metrics import FEW, MANY, Confusion, Metrics, evaluate_predictions, worst_confusions
from finetune.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from features.decoding import ImageBatch
    from finetune.evaluation.image_pass import ForwardOptions
    from finetune.model import ImageClassifier


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's figures on a dataset.

    Attributes:
        classes, train_counts: (C,) class names, and training images of each, those held out for the validation too.
        confusions: The pairs of classes with the largest share of images confused.
        ids: (N,) the readable images, in the dataset's order.
        predictions: The predictions for them.
        unreadable: Images that cannot be read, as (id, reason); they count nowhere.
    """

    metrics: Metrics
    classes: tuple[str, ...]
    train_counts: NDArray[np.int64]
    confusions: tuple[Confusion, ...]
    ids: NDArray[np.object_]
    predictions: Predictions
    unreadable: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, the confusions by class name, and the number of unreadable images."""
        confusions = [
            asdict(pair) | {"true": self.classes[pair.true], "predicted": self.classes[pair.predicted]}
            for pair in self.confusions
        ]
        return self.metrics.to_json() | {"confusions": confusions, "unreadable": len(self.unreadable)}

    def write_per_class(self, path: str | Location, provenance: Mapping[str, Any]) -> None:
        """Write ``class,train_images,images,accuracy``, one line for each class that has an evaluated image."""
        images, accuracy = self.metrics.per_class_images, self.metrics.per_class
        rows = (
            (self.classes[i], int(self.train_counts[i]), int(images[i]), float(accuracy[i]))
            for i in np.flatnonzero(images)
        )
        write_table(path, provenance, ("class", "train_images", "images", "accuracy"), rows)

    def write_predictions(self, path: str | Location, provenance: Mapping[str, Any]) -> None:
        """Write ``image,class,probability,label``, one line for each image, as ``transfer predict`` calls them."""
        names, found = np.array(self.classes, dtype=object), self.predictions
        sure = found.confidence.astype(np.float32).astype(str)  # as few digits as tell it from others
        rows = zip(self.ids, names[found.predicted], sure, names[found.labels], strict=True)
        write_table(path, provenance, ("image", "class", "probability", "label"), rows)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Evaluate the model of a run on a dataset.

    Raises:
        InputError: There is no model, the dataset has a class that the model lacks, the file for `per_class` exists,
            or 5 or 10 views would all be the same (see :class:`~finetune.evaluation.test_time_augmentation.Views`).
    """
    check_run(config.run, config.dataset)
    spec = labelled_spec(config.dataset)
    check_outputs(config.run, spec, {"`per_class`": config.per_class}, overwrite=config.overwrite)
    from finetune.model import ImageClassifier  # imports PyTorch

    model, card = ImageClassifier.open(config.run)
    dataset = open_dataset(config.dataset)
    found = evaluate_model(model, dataset, card, config, config.views, many=config.many, few=config.few)
    if config.per_class is not None and rank() == 0:
        about = {"run": config.run, "dataset": config.dataset, "views": config.views}
        found.write_per_class(config.per_class, about)
    return found


def evaluate_model(
    model: ImageClassifier,
    dataset: ImageDataset,
    card: Mapping[str, Any],
    options: ForwardOptions,
    views: int = 1,
    *,
    many: int = MANY,
    few: int = FEW,
) -> Evaluation:
    """Evaluate a model in memory.

    ``card`` has ``sigmoid`` and ``scale``, by which logits become probabilities, and ``train_counts`` (C,). The views
    and the borders of many and few are those of :class:`EvaluateConfig`.
    """
    from finetune.evaluation.image_pass import pass_over  # these import PyTorch
    from finetune.evaluation.test_time_augmentation import Views

    position = align_classes(dataset, model.classes, card.get("class_numbers"))
    network = Views(model, views, sigmoid=card["sigmoid"], scale=card["scale"])

    def predictions_of(batch: ImageBatch) -> tuple[Predictions, NDArray[np.int64]]:
        scores = batch.values.cpu().numpy()
        if (spoilt := np.isnan(scores) | (scores == np.inf)).any():
            image = dataset.ids[int(batch.indices[int(np.argmax(spoilt.any(axis=1)))])]
            raise InputError(
                f"{dataset.spec}: the model gives the image {image} a NaN or infinite score; check its training, or "
                f"give `precision` fp32"
            )
        found = Predictions.of(scores, position[batch.labels.numpy()])
        return found, np.asarray(batch.indices, dtype=np.int64)

    done = pass_over(dataset, network, network.preprocessing, options, predictions_of, "evaluate")
    for id_, reason in done.unreadable:
        console.print(f"skipped unreadable image {id_} ({reason})")
    parts, places = zip(*done.parts, strict=True)
    predictions = Predictions.concatenate(parts)
    say_assumed(dataset.spec, done.assumed, len(predictions.labels))
    counts = np.asarray(card["train_counts"])
    return Evaluation(
        metrics=evaluate_predictions(predictions, len(model.classes), counts, probabilities=True, many=many, few=few),
        classes=model.classes,
        train_counts=counts,
        confusions=worst_confusions(predictions.predicted, predictions.labels, len(model.classes)),
        ids=np.array(list(dataset.ids), dtype=object)[np.concatenate(places)],
        predictions=predictions,
        unreadable=tuple(done.unreadable),
    )
