"""Top-1, top-5, macro and many/medium/few-shot accuracy, and the calibration error, of scores.

Classes are many, medium or few by their training images. The default borders are those of Liu et al., CVPR 2019, and
Kang et al., ICLR 2020: more than 100, 20 to 100, fewer than 20. The accuracy of a group is the mean over its classes.

torchmetrics is the tests' oracle only: its top-k leaves the order of equal scores open, its macro accuracy counts a
class without images as 0 once it is predicted, and its calibration bins are closed on the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from finetune.evaluation.predictions import Predictions, checked_labels

#: Default borders: a class has many training images if it has more than MANY, and few if it has fewer than FEW.
MANY, FEW = 100, 20
#: Equal-width bins of the calibration error (Guo et al., ICML 2017).
BINS = 15


@dataclass(frozen=True)
class GroupSize:
    """The number of classes behind a mean, and of their evaluated images."""

    classes: int
    images: int


@dataclass(frozen=True, eq=False)
class Metrics:
    """Figures of one evaluation; accuracies are fractions.

    Attributes:
        top1: Share of the images whose class has the best score.
        top5: Share of the images whose class is among the min(5, C) best.
        macro: Mean accuracy over the classes that have an evaluated image.
        many, medium, few: Mean accuracy over the classes of the group; None if it has no evaluated image, or if the
            training counts are not known.
        images: N, the number of evaluated images.
        groups: The size behind "macro", "many", "medium" and "few".
        borders: The borders of "many" and "few", in training images.
        per_class: (C,) accuracy of each class; NaN without an evaluated image.
        per_class_images: (C,) evaluated images of each class.
        calibration_error: The expected calibration error; None if the scores are not probabilities.
    """

    top1: float
    top5: float
    macro: float
    many: float | None
    medium: float | None
    few: float | None
    images: int
    groups: Mapping[str, GroupSize]
    borders: Mapping[str, int]
    per_class: NDArray[np.float64]
    per_class_images: NDArray[np.int64]
    calibration_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The figures with the counts and the borders behind them, as plain Python values."""
        names = ("top1", "top5", "macro", "many", "medium", "few", "images", "calibration_error")
        return {name: getattr(self, name) for name in names} | {
            "classes": {name: size.classes for name, size in self.groups.items()},
            "group_images": {name: size.images for name, size in self.groups.items()},
            "borders": dict(self.borders),
        }


def evaluate_scores(
    scores: ArrayLike, labels: ArrayLike, train_counts: ArrayLike | None = None, **options: Any
) -> Metrics:
    """Measure scores (N, C) against labels (N,), with the further arguments of :func:`evaluate_predictions`.

    A higher score is a likelier class, and −∞ stands for a class that cannot be chosen.

    >>> evaluate_scores([[0.9, 0.1], [0.8, 0.2]], [0, 1]).top1
    0.5
    """
    table = np.asarray(scores)
    return evaluate_predictions(Predictions.of(table, labels), table.shape[1], train_counts, **options)


def evaluate_predictions(
    predictions: Predictions,
    n_classes: int,
    train_counts: ArrayLike | None = None,
    *,
    probabilities: bool = False,
    many: int = MANY,
    few: int = FEW,
) -> Metrics:
    """Measure predictions; they are collected batch by batch, for the scores of all images may not fit in memory.

    ``train_counts`` (C,) are the training images of each class: a class with more than ``many`` of them belongs to
    many, with fewer than ``few`` to few. ``probabilities`` tells whether the scores have a calibration error.

    Raises:
        InputError: There is no image.
        ValueError: A shape does not fit, a label or score is out of range, or ``few`` is outside 1 … ``many``.
    """
    if not 1 <= few <= many:
        raise ValueError(f"few must be in 1 … many, got few = {few} and many = {many}")
    rank, truth = predictions.ranks, checked_labels(predictions.labels, n_classes)
    if not len(truth):
        raise InputError("there is no image to evaluate; check the split of the dataset")
    images = np.bincount(truth, minlength=n_classes)
    correct = np.bincount(truth, weights=rank == 0, minlength=n_classes)
    per_class = np.divide(correct, images, out=np.full(n_classes, np.nan), where=images > 0)

    members = {"macro": images > 0}
    if train_counts is not None:
        counts = np.asarray(train_counts)
        if counts.shape != (n_classes,):
            raise ValueError(f"train_counts must have shape ({n_classes},), one count a class, got {counts.shape}")
        members["many"] = members["macro"] & (counts > many)
        members["medium"] = members["macro"] & (counts >= few) & (counts <= many)
        members["few"] = members["macro"] & (counts < few)
    means = {name: float(per_class[chosen].mean()) for name, chosen in members.items() if chosen.any()}
    return Metrics(
        top1=float((rank < 1).mean()),
        top5=float((rank < 5).mean()),
        macro=means["macro"],
        many=means.get("many"),
        medium=means.get("medium"),
        few=means.get("few"),
        images=len(truth),
        groups={name: GroupSize(int(chosen.sum()), int(images[chosen].sum())) for name, chosen in members.items()},
        borders={"many": many, "few": few},
        per_class=per_class,
        per_class_images=images,
        calibration_error=calibration_error(predictions.confidence, rank == 0) if probabilities else None,
    )


@dataclass(frozen=True)
class Confusion:
    """``images`` of the class ``true`` classified as ``predicted``; ``share`` is their share of the class, 0 to 1."""

    true: int
    predicted: int
    images: int
    share: float


def worst_confusions(predicted: ArrayLike, labels: ArrayLike, n_classes: int, top: int = 10) -> tuple[Confusion, ...]:
    """The at most ``top`` pairs of classes with the largest share of images confused, the largest first.

    Only pairs that occur are counted; no C × C matrix is formed. Both ``predicted`` and ``labels`` are (N,) integers in
    0 … C − 1; raises ``ValueError`` if they are not.
    """
    guess, truth = (checked_labels(values, n_classes) for values in (predicted, labels))
    if guess.shape != truth.shape:
        raise ValueError(f"predicted and labels must have one length, got {guess.shape} and {truth.shape}")
    wrong = guess != truth
    pairs, images = np.unique(truth[wrong] * n_classes + guess[wrong], return_counts=True)
    true, taken = np.divmod(pairs, n_classes)
    share = images / np.bincount(truth, minlength=n_classes)[true]
    first = np.lexsort((pairs, -images, -share))[:top]
    return tuple(Confusion(int(true[i]), int(taken[i]), int(images[i]), float(share[i])) for i in first)


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """The expected calibration error Σ_b n_b/N·|accuracy_b − confidence_b| in [0, 1] (Guo et al., eq. 3).

    ``confidence`` (N,) is the probability of the predicted class, ``correct`` (N,) whether that is the true one. The
    bins have equal width over (0, 1], each closed on the right. Raises ``ValueError`` if the lengths differ, are 0, or
    a probability is outside [0, 1].

    >>> calibration_error([1.0, 1.0], [True, False])
    0.5
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or not len(sure):
        raise ValueError(f"confidence and correct must have one length above 0, got {sure.shape} and {right.shape}")
    # float32 probabilities may exceed 1 by rounding
    if not ((sure >= 0) & (sure <= 1 + 1e-5)).all():
        raise ValueError(f"probabilities must be in [0, 1], got values from {sure.min()} to {sure.max()}")
    place = np.clip(np.ceil(sure * bins) - 1, 0, bins - 1).astype(np.int64)
    gap = np.bincount(place, weights=right - sure, minlength=bins)
    return float(np.abs(gap).sum() / len(sure))
