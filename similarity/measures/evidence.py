"""What a measure may look at, read once and shared by all of them."""

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
from similarity.measures.kernel import MOST_IMAGES, median_distance
from similarity.measures.sampling import sample
from similarity.measures.source_labels import source_posterior

#: What a measure can need beyond the target's class statistics.
NEEDS = ("target images", "source", "source images", "posterior", "parameters")


class TargetImages:
    """The image features that a target's bank keeps, read when they are first asked for.

    Args:
        bank: The target's bank.
    """

    def __init__(self, bank: FeatureBank) -> None:
        self._bank = bank

    @property
    def features(self) -> NDArray[np.float64]:
        """(N, D), not to be written to.

        Raises:
            InputError: The bank keeps none, or one is NaN or infinite.
        """
        return self._read[0]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) places among the bank's classes."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        features, labels, _ = self._bank.images()
        _require_finite(self._bank, features)
        rows = features.astype(np.float64)
        rows.flags.writeable = labels.flags.writeable = False
        return rows, labels


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a target, beside a source or under a model.

    Attributes:
        target: The target's bank; most measures ask for its images (``--keep-images``).
        source: The source's bank under the same backbone, cut to the classes that take part; None where models are
            compared.
        posterior: (N, Z) probabilities of the source's classes for each image that the target keeps, in the bank's
            order, from the model's own head. Where there is none, the source's class statistics make one.
        parameters: Number of the model's parameters.
        geometry: Where class means are compared: the name of one, which is then fitted to this pair alone, or one
            that was fitted to all sources of a comparison (see :func:`side_by_side`).
        seed: Of every draw.
        shared: The target's images where another evidence has read them already; see :func:`side_by_side`.

    Raises:
        InputError: Target and source cannot be compared.
        ValueError: ``posterior`` holds no probabilities, or ``parameters`` is not positive.
    """

    target: FeatureBank
    source: FeatureBank | None = None
    posterior: NDArray[np.floating] | None = None
    parameters: int | None = None
    geometry: str | Geometry = DEFAULT_GEOMETRY
    seed: int = 0
    shared: TargetImages | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.source is not None:
            self.target.require_comparable(self.source)
            widths = self.target.means.shape[1], self.source.means.shape[1]
            if widths[0] != widths[1]:
                raise InputError(
                    f"{self.target.name} and {self.source.name} cannot be compared: features of width {widths[0]} and "
                    f"{widths[1]}; extract both with the same backbone"
                )
        if self.posterior is not None:
            object.__setattr__(self, "posterior", checked_posterior(self.posterior))
        if self.parameters is not None and not self.parameters > 0:
            raise ValueError(f"parameters must be a positive number, got {self.parameters}")

    @cached_property
    def images(self) -> TargetImages:
        """The target's images, read when they are first asked for."""
        return self.shared or TargetImages(self.target)

    def lacks(self, need: str) -> str | None:
        """Why one of :data:`NEEDS` is not met, with what to do; None where it is."""
        if need == "target images" and not self.target.keeps_images:
            return f"needs the target's images: extract {self.target.name} with --keep-images"
        if need == "source" and self.source is None:
            return "needs a source: give its bank"
        if need == "source images":
            if self.source is None:
                return "needs the images of a source: give its bank, extracted with --keep-images"
            if not self.source.keeps_images:
                return f"needs the source's images: extract {self.source.name} with --keep-images"
        if need == "posterior" and self.posterior is None and self.source is None:
            return "needs class probabilities of a source: give its bank, or a model with its classifier"
        if need == "parameters" and self.parameters is None:
            return "needs the number of parameters: give a model"
        return None

    @property
    def given_source(self) -> FeatureBank:
        """The source.

        Raises:
            InputError: There is none.
        """
        if self.source is None:
            raise InputError(str(self.lacks("source")))
        return self.source

    @property
    def labelled(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(N, D) features and (N,) labels of the target's images.

        Raises:
            InputError: The target keeps no images, or those of one class only.
        """
        features, labels = self.images.features, self.images.labels
        if labels.min() == labels.max():
            only = self.target.classes[labels[0]]
            raise InputError(
                f"{self.target.name}: all its images are of the class {only!r}; the measure tells classes apart and "
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
    def bandwidth(self) -> float:
        """Median distance of two of the target's images: the one σ that all its sources are measured with."""
        return median_distance(self.images.features, seed=self.seed)

    @cached_property
    def source_labels(self) -> NDArray[np.float64]:
        """(N, Z) probabilities of the source's classes for each image of the target.

        Raises:
            InputError: They are not for as many images as the target keeps, or cannot be made from the source.
        """
        features = self.images.features
        if self.posterior is None:
            return source_posterior(features, self.given_source)
        if len(self.posterior) != len(features):
            raise InputError(
                f"{self.target.name}: keeps {len(features)} images, but there are class probabilities for "
                f"{len(self.posterior)}; make them from the same images"
            )
        return np.asarray(self.posterior, dtype=np.float64)

    @cached_property
    def source_sample(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Features (n, D) and labels (n,) of at most 5,000 of the source's images, drawn by chance.

        Raises:
            InputError: The source keeps no images, or one is NaN or infinite.
        """
        source = self.given_source
        features, labels, _ = source.images()
        _require_finite(source, features)
        drawn = sample(features, MOST_IMAGES, self.seed)
        return features[drawn].astype(np.float64), labels[drawn]


def side_by_side(
    target: FeatureBank, sources: Sequence[FeatureBank], *, geometry: str | Geometry = DEFAULT_GEOMETRY, seed: int = 0
) -> list[Evidence]:
    """Evidence on several sources of one target, in one geometry and with the target read once.

    Args:
        target: The target's bank.
        sources: The sources' banks, at least one, cut to the classes that take part.
        geometry: One of :data:`similarity.GEOMETRIES`, fitted to all banks together as for a ranking, or one that is.
        seed: Of every draw.

    Raises:
        ValueError: There is no source.
        InputError: Banks cannot be compared, there is no such geometry, or the sources have one class in all and the
            geometry takes their centre off.
    """
    if not sources:
        raise ValueError("sources must hold at least one feature bank, got none")
    metric = geometry if isinstance(geometry, Geometry) else fit_geometry(geometry, [target], sources)
    images = TargetImages(target)
    return [Evidence(target, source, geometry=metric, seed=seed, shared=images) for source in sources]


def _require_finite(bank: FeatureBank, features: NDArray[np.floating]) -> None:
    """Refuse a bank whose image features are not all numbers."""
    if not np.isfinite(features).all():
        raise InputError(f"{bank.name}: the image features hold NaN or infinity; extract the bank again")
