"""The data that measures are computed from, loaded once and shared by all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.geometry import DEFAULT_GEOMETRY, Geometry, fit_geometry
from similarity.measures.checks import checked_posterior
from similarity.measures.sampling import MOST_IMAGES, sample
from similarity.measures.source_classifier import source_posterior
from similarity.transport.earth_movers_distance import TransportResult, emd

#: The inputs that a measure can need beyond the target's class statistics.
NEEDS = ("target images", "source", "source images", "posterior", "parameters")


@dataclass(frozen=True, eq=False)
class TargetImages:
    """The images that a target's bank keeps, read-only.

    Attributes:
        features: (N, D).
        labels: (N,) indices into the bank's classes.
    """

    features: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """A target, and the source or the model that it is compared with.

    Attributes:
        target: The target's bank. Most measures need its image features (``keep_images``).
        source: The source's bank under the same backbone, cut to the classes compared; None to compare models.
        posterior: (N, Z) source class probabilities of each image that the target keeps, in the bank's order, from
            the model's own head. By default they are estimated from the source's class statistics.
        parameters: Number of parameters of the model.
        geometry: Where class means are compared: a name, which is fitted to this pair alone, or a geometry fitted to
            all sources of a comparison (see :func:`side_by_side`).
        seed: Seed of every random sample.
        first: Evidence on the same target, whose images this one shares (see :func:`side_by_side`).
        solved: The transport between the class means in ``geometry``, if it has been solved before.

    Raises:
        InputError: Target and source cannot be compared.
        ValueError: ``posterior`` does not hold probabilities, or ``parameters`` is not positive.
    """

    target: FeatureBank
    source: FeatureBank | None = None
    posterior: NDArray[np.floating] | None = None
    parameters: int | None = None
    geometry: str | Geometry = DEFAULT_GEOMETRY
    seed: int = 0
    first: Evidence | None = field(default=None, repr=False)
    solved: TransportResult | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.source is not None:
            self.target.require_comparable(self.source)
        if self.posterior is not None:
            object.__setattr__(self, "posterior", checked_posterior(self.posterior))
        if self.parameters is not None and not self.parameters > 0:
            raise ValueError(f"parameters must be a positive number, got {self.parameters}")

    def lacks(self, need: str) -> str | None:
        """Why one of :data:`NEEDS` is not met and how to meet it; None if it is met."""
        if need == "target images" and not self.target.keeps_images:
            return f"needs the target's images: {_how_to_keep(self.target)}"
        if need == "source" and self.source is None:
            return "needs a source: give its bank"
        if need == "source images":
            if self.source is None:
                return "needs the images of a source: give its bank, extracted with `keep_images`"
            if not self.source.keeps_images:
                return f"needs the source's images: {_how_to_keep(self.source)}"
        if need == "posterior" and self.posterior is None and self.source is None:
            return "needs class probabilities: give a model with its classifier, or the bank of a source"
        if need == "parameters" and self.parameters is None:
            return "needs the number of parameters: give a model"
        return None

    @property
    def given_source(self) -> FeatureBank:
        """The source; raises `InputError` if there is none."""
        if self.source is None:
            raise InputError(str(self.lacks("source")))
        return self.source

    @cached_property
    def images(self) -> TargetImages:
        """The target's images; raises `InputError` if it keeps none, or a feature is NaN or infinite."""
        if self.first is not None:
            return self.first.images
        features, labels = _finite_images(self.target)
        rows = features.astype(np.float64)
        rows.flags.writeable = labels.flags.writeable = False
        return TargetImages(rows, labels)

    @property
    def labelled(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(N, D) features and (N,) labels of the target's images; raises `InputError` if all are of one class."""
        features, labels = self.images.features, self.images.labels
        if labels.min() == labels.max():
            only = self.target.classes[labels[0]]
            raise InputError(
                f"{self.target.name}: all its images are of the class {only!r}; the measure compares classes and "
                f"needs at least two"
            )
        return features, labels

    @cached_property
    def metric(self) -> Geometry:
        """The fitted geometry."""
        if isinstance(self.geometry, Geometry):
            return self.geometry
        return fit_geometry(self.geometry, [self.target], [self.given_source])

    @cached_property
    def transport(self) -> TransportResult:
        """The transport from the source's class means to the target's, solved at most once."""
        if self.solved is not None:
            return self.solved
        source, points = self.given_source, self.metric.points
        return emd(points(source.means), source.counts, points(self.target.means), self.target.counts)

    @cached_property
    def source_labels(self) -> NDArray[np.float64]:
        """(N, Z) source class probabilities of each image of the target: ``posterior``, or an estimate."""
        features = self.images.features
        if self.posterior is None:
            return source_posterior(features, self.given_source)
        if len(self.posterior) != len(features):
            raise InputError(
                f"{self.target.name}: keeps {len(features)} images, but there are class probabilities for "
                f"{len(self.posterior)}; compute them from the same images"
            )
        return np.asarray(self.posterior, dtype=np.float64)

    @cached_property
    def source_sample(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(n, D) features and (n,) labels of a random sample of at most 5,000 images of the source."""
        features, labels = _finite_images(self.given_source)
        drawn = sample(features, MOST_IMAGES, self.seed)
        return features[drawn].astype(np.float64), labels[drawn]


def side_by_side(
    target: FeatureBank,
    sources: Sequence[FeatureBank],
    *,
    geometry: str | Geometry = DEFAULT_GEOMETRY,
    seed: int = 0,
    transports: Sequence[TransportResult] | None = None,
) -> list[Evidence]:
    """Evidence on several sources of one target, which share one geometry and the target's images.

    Args:
        target: The target's bank.
        sources: The sources' banks, at least one, cut to the classes compared.
        geometry: One of :data:`similarity.GEOMETRIES`, fitted to all banks together, or a fitted geometry.
        seed: Seed of every random sample.
        transports: The transport of each source in ``geometry``, if solved before.

    Raises:
        ValueError: ``sources`` is empty, or there is another number of ``transports``.
        InputError: The banks cannot be compared, the geometry is unknown, or it is centred and the sources have only
            one class in total.
    """
    if not sources:
        raise ValueError("sources must hold at least one feature bank, got none")
    metric = geometry if isinstance(geometry, Geometry) else fit_geometry(geometry, [target], sources)
    solutions: Sequence[TransportResult | None] = transports or [None] * len(sources)
    first = None
    found = []
    for source, solved in zip(sources, solutions, strict=True):
        found.append(Evidence(target, source, geometry=metric, seed=seed, first=first, solved=solved))
        first = found[0]
    return found


def _how_to_keep(bank: FeatureBank) -> str:
    """What to do about missing image features, as the end of a sentence."""
    return (
        f"{bank.name} is made of class means, not of images"
        if bank.is_of_means
        else f"extract {bank.name} with `keep_images`"
    )


def _finite_images(bank: FeatureBank) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Features and labels of the images that a bank keeps, if all features are finite."""
    features, labels, _ = bank.images()
    if not np.isfinite(features).all():
        raise InputError(f"{bank.name}: the image features hold NaN or infinity; extract the bank again")
    return features, labels
