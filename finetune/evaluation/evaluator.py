"""Evaluation of a trained classifier on a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.forward_pass import OutputBatch, forward_pass
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.files import check_new
from features.infrastructure.processes import gather, rank, share
from features.infrastructure.tables import write_table
from features.preprocessing import Preprocessing
from features.readers import open_dataset
from features.readers.exclusion import files_of
from finetune.evaluation.metrics import FEW, MANY, Confusion, Metrics, evaluate_predictions, worst_confusions
from finetune.evaluation.predictions import Predictions
from finetune.evaluation.test_time_augmentation import Views
from finetune.model import ImageClassifier

Part = TypeVar("Part")


class ForwardOptions(Protocol):
    """The options of a pass without training."""

    @property
    def batch_size(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def workers(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Evaluate a trained model: top-1, top-5, macro, many-, medium- and few-shot accuracy.

    Attributes:
        run: Run directory of transfer finetune or pretrain, or a checkpoint (.safetensors) in one.
        dataset: Dataset spec to evaluate on; its classes are matched by name.
        views: Views of each image whose probabilities are averaged: 1 (the centre), 2 (and its mirror image), 5
            (centre and corners), 10 (and their mirror images).
        many: A class of more training images is one of "many".
        few: A class of fewer training images is one of "few"; what lies between is "medium".
        per_class: A file (.csv) for the accuracy of each class.
        overwrite: Replace a file that is there instead of refusing.
        batch_size: Images a forward pass.
        device: auto, cpu, cuda, mps.
        precision: auto takes bfloat16 where the hardware has it.
        workers: Decoding processes; by default one a core.
    """

    run: str
    dataset: str
    views: Literal[1, 2, 5, 10] = 1
    many: int = MANY
    few: int = FEW
    per_class: str | None = None
    overwrite: bool = False
    batch_size: int = 64
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"--workers {self.workers}: expected at least 0")
        for name, border in (("many", self.many), ("few", self.few)):
            if border < 1:
                raise InputError(f"--{name} {border}: expected at least 1")
        if self.per_class is not None and not self.per_class.endswith(".csv"):
            raise InputError(f"--per-class {self.per_class}: expected a file name that ends in .csv")
        if self.few > self.many:
            raise InputError(f"--few {self.few}: expected at most --many, which is {self.many}")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's figures on a dataset.

    Attributes:
        metrics: The figures.
        classes: (C,) class names of the model.
        train_counts: (C,) training images of each class, those that were held out of the training too.
        confusions: The pairs of classes that are confused most.
        unreadable: Images that could not be read, as (id, reason); they count nowhere.
    """

    metrics: Metrics
    classes: tuple[str, ...]
    train_counts: NDArray[np.int64]
    confusions: tuple[Confusion, ...]
    unreadable: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, the confusions by class name, and how many images could not be read."""
        confusions = [
            asdict(pair) | {"true": self.classes[pair.true], "predicted": self.classes[pair.predicted]}
            for pair in self.confusions
        ]
        return self.metrics.to_json() | {"confusions": confusions, "unreadable": len(self.unreadable)}

    def write_per_class(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write ``class,train_images,images,accuracy``, one line a class that was evaluated."""
        images, accuracy = self.metrics.per_class_images, self.metrics.per_class
        rows = (
            (self.classes[i], int(self.train_counts[i]), int(images[i]), float(accuracy[i]))
            for i in np.flatnonzero(images)
        )
        write_table(path, provenance, ("class", "train_images", "images", "accuracy"), rows)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Evaluate the model of a run on a dataset.

    Raises:
        InputError: There is no model, the dataset has a class that the model lacks, or its images are not larger
            than the model's crop, so that 5 or 10 views would be one.
    """
    run = Path(config.run)  # or a checkpoint, with its card beside it
    read = [run, run.with_suffix(".json"), *run.rglob("*"), *files_of(DatasetSpec.parse(config.dataset))]
    check_new({"--per-class": config.per_class}, read=read, overwrite=config.overwrite)
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

    Args:
        model: The classifier.
        dataset: The images; its classes are matched by name.
        card: ``sigmoid`` and ``scale`` (how logits become probabilities), and ``train_counts`` (C,),
            behind many/medium/few.
        options: Batch size, device, precision, workers.
        views: 1, 2, 5 or 10; see :class:`EvaluateConfig`.
        many, few: Borders of many, medium and few training images; see
            :func:`~finetune.evaluation.metrics.evaluate_predictions`.
    """
    position = align_classes(dataset, model.classes)
    network = Views(model, views, sigmoid=card["sigmoid"], scale=card["scale"])
    found: list[Predictions] = []
    unreadable: list[tuple[str, str]] = []
    for batch in _passes(network, dataset, network.preprocessing, options):
        unreadable += batch.unreadable
        if len(batch.indices):
            found.append(Predictions.of(batch.outputs.cpu().numpy(), position[batch.labels.numpy()]))
    found, unreadable = _of_all(found, unreadable, dataset)
    for id_, reason in unreadable:
        console.print(f"not evaluated, unreadable: {id_} ({reason})", markup=False, emoji=False)
    predictions, counts = Predictions.concatenate(found), np.asarray(card["train_counts"])
    return Evaluation(
        metrics=evaluate_predictions(predictions, len(model.classes), counts, probabilities=True, many=many, few=few),
        classes=model.classes,
        train_counts=counts,
        confusions=worst_confusions(predictions.predicted, predictions.labels, len(model.classes)),
        unreadable=tuple(unreadable),
    )


def align_classes(dataset: ImageDataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(C′,) position in ``classes`` of each class of ``dataset``.

    Raises:
        InputError: The dataset has a class that is not among them.
    """
    position = {name: i for i, name in enumerate(classes)}
    unknown = [name for name in dataset.classes if name not in position]
    if unknown:
        raise InputError(
            f"{dataset.spec}: class {unknown[0]!r} is not one of the {len(classes)} classes of the training "
            f"({len(unknown)} of {len(dataset.classes)} are not); give images of those classes"
        )
    return np.array([position[name] for name in dataset.classes], dtype=np.int64)


def score_images(
    network: nn.Module, dataset: ImageDataset, preprocessing: Preprocessing, options: ForwardOptions
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[tuple[str, str]]]:
    """Every readable image through a network, in the dataset's order.

    Of several processes each takes its share of the images, and all of them get the whole.

    Returns:
        Outputs (N, K) float32, labels (N,) int64, and what could not be read as (id, reason).

    Raises:
        InputError: No image can be read.
    """
    found: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    unreadable: list[tuple[str, str]] = []
    for batch in _passes(network, dataset, preprocessing, options):
        unreadable += batch.unreadable
        if len(batch.indices):
            found.append((batch.outputs.cpu().numpy(), batch.labels.numpy()))
    found, unreadable = _of_all(found, unreadable, dataset)
    outputs, labels = zip(*found, strict=True)
    return np.concatenate(outputs), np.concatenate(labels), unreadable


def _passes(
    network: nn.Module, dataset: ImageDataset, preprocessing: Preprocessing, options: ForwardOptions
) -> Iterator[OutputBatch]:
    """This process's share of the images through a network."""
    return forward_pass(
        network,
        dataset,
        preprocessing,
        positions=share(range(len(dataset))),
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        description="evaluate",
    )


def _of_all(
    found: list[Part], unreadable: list[tuple[str, str]], dataset: ImageDataset
) -> tuple[list[Part], list[tuple[str, str]]]:
    """What all processes found, and what they could not read."""
    every = gather((found, unreadable))
    if not any(parts for parts, _ in every):
        raise InputError(f"{dataset.spec}: no image can be read")
    return [part for parts, _ in every for part in parts], [one for _, missing in every for one in missing]
