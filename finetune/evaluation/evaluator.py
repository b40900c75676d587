"""Evaluation of a trained classifier on a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.decoding import ImageBatch
from features.forward_pass import forward_pass
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.files import check_ending, check_new
from features.infrastructure.options import Machine, Range, check_ranges
from features.infrastructure.processes import gather, own_positions, rank
from features.infrastructure.tables import write_table
from features.preprocessing import Preprocessing
from features.readers import SCHEMES, open_dataset
from features.readers.class_names import number_in
from features.readers.spec_options import files_of
from finetune.evaluation.metrics import FEW, MANY, Confusion, Metrics, evaluate_predictions, worst_confusions
from finetune.evaluation.predictions import Predictions
from finetune.evaluation.test_time_augmentation import Views
from finetune.model import ImageClassifier
from finetune.shared_options.option_groups import RunOptions

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Machine):
    """Evaluate a trained model: top-1, top-5, macro, many-, medium- and few-shot accuracy.

    Attributes:
        run: Run directory of transfer finetune or pretrain, or a checkpoint (.safetensors) in one.
        dataset: Dataset spec to evaluate on; its classes are matched by name.
        views: Views of each image whose probabilities are averaged: 1 (the centre), 2 (and its mirror image), 5
            (centre and corners), 10 (and their mirror images).
        many: A class with more training images belongs to "many".
        few: A class with fewer training images belongs to "few", at most `many`; the classes between are "medium".
        per_class: Write the accuracy of each class to this file (.csv).
        overwrite: Replace an existing file.
        batch_size: Images per forward pass.
    """

    run: str
    dataset: str
    views: Literal[1, 2, 5, 10] = 1
    many: Annotated[int, Range(1)] = MANY
    few: Annotated[int, Range(1)] = FEW
    per_class: str | None = None
    overwrite: bool = False
    batch_size: Annotated[int, Range(1)] = 64

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.per_class is not None:
            check_ending(self.per_class, [".csv"], "`per_class`")
        if self.few > self.many:
            raise InputError(f"`few` {self.few}: expected at most `many`, which is {self.many}")


#: Configurations with the options of a forward pass: batch size, device, precision and workers.
ForwardOptions = EvaluateConfig | RunOptions


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's figures on a dataset.

    Attributes:
        classes, train_counts: (C,) class names, and training images of each, those held out for the validation too.
        confusions: The pairs of classes with the largest share of images confused.
        unreadable: Images that cannot be read, as (id, reason); they count nowhere.
    """

    metrics: Metrics
    classes: tuple[str, ...]
    train_counts: NDArray[np.int64]
    confusions: tuple[Confusion, ...]
    unreadable: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The figures, the confusions by class name, and the number of unreadable images."""
        confusions = [
            asdict(pair) | {"true": self.classes[pair.true], "predicted": self.classes[pair.predicted]}
            for pair in self.confusions
        ]
        return self.metrics.to_json() | {"confusions": confusions, "unreadable": len(self.unreadable)}

    def write_per_class(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        """Write ``class,train_images,images,accuracy``, one line for each class that has an evaluated image."""
        images, accuracy = self.metrics.per_class_images, self.metrics.per_class
        rows = (
            (self.classes[i], int(self.train_counts[i]), int(images[i]), float(accuracy[i]))
            for i in np.flatnonzero(images)
        )
        write_table(path, provenance, ("class", "train_images", "images", "accuracy"), rows)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Evaluate the model of a run on a dataset.

    Raises:
        InputError: There is no model, the dataset has a class that the model lacks, the file for `per_class` exists,
            or 5 or 10 views would all be the same (see :class:`~finetune.evaluation.test_time_augmentation.Views`).
    """
    run = Path(config.run)  # or a checkpoint, with its card beside it
    scheme, colon, _ = config.run.partition(":")
    if colon and scheme in SCHEMES and not run.exists():
        raise InputError(f"`run` {config.run}: is a dataset; give the run first, then the dataset")
    read = [run, run.with_suffix(".json"), *run.rglob("*"), *files_of(DatasetSpec.parse(config.dataset))]
    check_new({"`per_class`": config.per_class}, read=read, overwrite=config.overwrite)
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
    position = align_classes(dataset, model.classes, card.get("class_numbers"))
    network = Views(model, views, sigmoid=card["sigmoid"], scale=card["scale"])

    def predictions_of(batch: ImageBatch) -> Predictions:
        return Predictions.of(batch.values.cpu().numpy(), position[batch.labels.numpy()])

    found, unreadable = _run(network, dataset, network.preprocessing, options, predictions_of)
    for id_, reason in unreadable:
        console.print(f"skipped unreadable image {id_} ({reason})", markup=False, emoji=False)
    predictions, counts = Predictions.concatenate(found), np.asarray(card["train_counts"])
    return Evaluation(
        metrics=evaluate_predictions(predictions, len(model.classes), counts, probabilities=True, many=many, few=few),
        classes=model.classes,
        train_counts=counts,
        confusions=worst_confusions(predictions.predicted, predictions.labels, len(model.classes)),
        unreadable=tuple(unreadable),
    )


def align_classes(
    dataset: ImageDataset, classes: Sequence[str], numbers: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """(C′,) int64: the position in ``classes`` (C,) of each of the C′ classes of ``dataset``.

    Classes have one name in both. If the files of one of them name no class (``class_7`` says only the number), classes
    are matched by their numbers; ``numbers`` (C,) are those of ``classes``.

    Raises ``InputError`` if the dataset has a class that is not in ``classes``.
    """
    position = {name: i for i, name in enumerate(classes)}
    unknown = [name for name in dataset.classes if name not in position]
    mine, theirs = _numbers_in(dataset.classes), _numbers_in(classes)
    if len(unknown) == len(dataset.classes) and (mine or theirs):
        mine, theirs = mine or dataset.numbers or (), theirs or numbers or ()
        if mine and set(mine) <= set(theirs):
            console.print(f"{dataset.spec}: classes without names in one of the files are matched by their numbers")
            of_number = {number: i for i, number in enumerate(theirs)}
            return np.array([of_number[number] for number in mine], dtype=np.int64)
    if unknown:
        raise InputError(
            f"{dataset.spec}: class {unknown[0]!r} is not one of the {len(classes)} classes of the training "
            f"({len(unknown)} of {len(dataset.classes)} are not); give images of those classes"
            + ("; the files of one dataset name no class: add ?names=FILE to its list" if mine or theirs else "")
        )
    return np.array([position[name] for name in dataset.classes], dtype=np.int64)


def _numbers_in(names: Sequence[str]) -> Sequence[int]:
    """The numbers in the names of classes that say no more; empty if one of them is a name."""
    found = [number for number in map(number_in, names) if number is not None]
    return found if len(found) == len(names) else ()


def score_images(
    network: nn.Module, dataset: ImageDataset, preprocessing: Preprocessing, options: ForwardOptions
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[tuple[str, str]]]:
    """Outputs (N, K) float32 and labels (N,) of every readable image, in the dataset's order, and the unreadable ones.

    Each process takes its share of the images, and all processes return all outputs. Unreadable images are pairs of id
    and reason. Raises ``InputError`` if no image can be read.
    """
    found, unreadable = _run(
        network, dataset, preprocessing, options, lambda batch: (batch.values.cpu().numpy(), batch.labels.numpy())
    )
    outputs, labels = zip(*found, strict=True)
    return np.concatenate(outputs), np.concatenate(labels), unreadable


def _run(
    network: nn.Module,
    dataset: ImageDataset,
    preprocessing: Preprocessing,
    options: ForwardOptions,
    part_of: Callable[[ImageBatch], Part],
) -> tuple[list[Part], list[tuple[str, str]]]:
    """A part of each batch with readable images, and the unreadable images, from all processes."""
    found: list[Part] = []
    unreadable: list[tuple[str, str]] = []
    batches = forward_pass(
        network,
        dataset,
        preprocessing,
        positions=own_positions(range(len(dataset))),
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        description="evaluate",
    )
    for batch in batches:
        unreadable += batch.unreadable
        if len(batch.indices):
            found.append(part_of(batch))
    every = gather((found, unreadable))
    if not any(parts for parts, _ in every):
        raise InputError(f"{dataset.spec}: no image can be read")
    return [part for parts, _ in every for part in parts], [one for _, missing in every for one in missing]
