"""The gain that can be expected of a choice of source classes, or of a source: from trainings that were measured.

``measured_gains.csv`` holds what choices gained in top-1 on targets that they were made for, over choices by chance and
over all classes, and how near they were. Within one kind of choice the gain is fitted by a line in the nearness

    1 − D(choice) / D(chance),

where D is the mean distance of the target's classes to their nearest chosen class: 0 is as near as chance, 1 means that
each target class is chosen itself. The interval is the quantile of the errors that the line makes on targets that it
was not fitted to, each family of targets being left out in turn. A case that differs from every measured one in size,
nearness or features has no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from features.bank import FeatureBank
from features.infrastructure.formats.tables import read_provenance, read_rows
from similarity.distances import shares

#: Probability of the intervals: the most that so few families of targets can calibrate.
LEVEL = 0.8
#: Families of targets without which no error of a left-out one is told.
LEAST_FAMILIES = 4
#: What tells one measured choice from another of its kind: a case beyond the range of one of these has no figure.
SIZES = {
    "share": "choices of {} of the source classes",
    "target_classes": "targets of {} classes",
    "images": "{} labelled images a class",
    "nearness": "a nearness of {}",
}
#: Length of the shortest and of the longest measured pre-training, in passes over the images of all source classes, and
#: the length after which a choice was no better than all classes.
PASSES, TOO_LONG = (6, 11), 23
#: What a gain is measured over: choices by chance of the same size, and all source classes together.
OVERS = ("over_random", "over_all")
COLUMNS = ("kind", "target", "family", "choice", "image_size", *SIZES, *OVERS)
TABLE = Path(__file__).with_name("measured_gains.csv")


@dataclass(frozen=True)
class Gain:
    """An expected gain in top-1 accuracy, in points, and its interval of the probability :data:`LEVEL`."""

    points: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.points:+.1f} ({100 * LEVEL:.0f} %: {self.low:+.1f} to {self.high:+.1f})"


@dataclass(frozen=True)
class Expectation:
    """What a choice can be expected to gain.

    Attributes:
        over_random: The gain over a choice by chance of the same size; None if the measurements do not reach the case.
        over_all: The gain over all source classes together.
        sizes: The case: a value for each of :data:`SIZES`.
        unknown: Why there is no figure, in words; None if there is one.
    """

    over_random: Gain | None
    over_all: Gain | None
    sizes: Mapping[str, float]
    unknown: str | None = None

    def describe(self, chance: str) -> str:
        """One line; ``chance`` says what a choice by chance would be."""
        if self.over_random is None or self.over_all is None:
            covers = "the toolkit's own benchmark does not cover this case"
            return f"no gain in accuracy over {chance} is stated, because {covers}: it was {self.unknown}"
        return (
            f"by such a choice, small networks gained {self.over_random} points of top-1 over {chance}, and "
            f"{self.over_all} over all classes together; their pre-training was as long as {PASSES[0]} to {PASSES[1]} "
            f"passes over all source images, and after {TOO_LONG} passes 40 chosen classes were no better than all"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Measured:
    """The measured choices of one kind.

    Attributes:
        sizes: (N,) values of each of :data:`SIZES`.
        gains: (N,) gain in points over chance (over_random) and over all classes (over_all).
        families: (N,) family of the target: targets that share classes are of one.
        image_size: Size in pixels of the images whose features the nearness was computed from.
        backbone: The feature extractor of the banks.
        weights_sha256: The hash of its weights.
        geometry: The geometry of the distances.
    """

    sizes: Mapping[str, NDArray[np.float64]]
    gains: Mapping[str, NDArray[np.float64]]
    families: NDArray[np.str_]
    image_size: int
    backbone: str
    weights_sha256: str
    geometry: str

    def at(self, rows: NDArray[np.bool_]) -> Measured:
        """Some of the choices."""
        return replace(
            self,
            sizes={name: values[rows] for name, values in self.sizes.items()},
            gains={name: values[rows] for name, values in self.gains.items()},
            families=self.families[rows],
        )

    def beyond(self, name: str, value: float) -> str:
        """The measured range of one of :data:`SIZES`, in words, if a value is beyond it; else empty."""
        low, high = self.sizes[name].min(), self.sizes[name].max()
        if low <= value <= high:
            return ""
        span = f"{low:.3g} to {high:.3g}" if low < high else f"{low:.3g}"
        return SIZES[name].format(span) + f" (here {value:.3g})"

    def gain(self, over: str, nearness: float) -> Gain:
        """The gain that the line expects at a nearness, and its interval.

        The half-width is the quantile of the absolute errors, in which each family weighs the same, since a new target
        is of a new family. Of F families it is that of LEVEL · (F + 1) / F, as in conformal prediction. Its coverage
        is checked in the benchmark, not proved: the line is fitted to all families, and an error comes from a line
        without its own family.
        """
        errors = np.abs(self.errors(over))
        _, family, sizes = np.unique(self.families, return_inverse=True, return_counts=True)
        order = np.argsort(errors, kind="stable")
        reached = np.cumsum(1 / sizes[family[order]])  # up to the number of families
        place = min(int(np.searchsorted(reached, LEVEL * (len(sizes) + 1) - 1e-9)), len(errors) - 1)
        width = float(errors[order[place]])
        points = float(_line(self.sizes["nearness"], self.gains[over]) @ (1, nearness))
        return Gain(points, points - width, points + width)

    def errors(self, over: str) -> NDArray[np.float64]:
        """(N,) gain of each choice less what the line expects that was fitted to the other families."""
        nearness, gains = self.sizes["nearness"], self.gains[over]
        expected = np.empty(len(gains))
        for family in np.unique(self.families):
            left_out = self.families == family
            line = _line(nearness[~left_out], gains[~left_out])
            expected[left_out] = line[0] + line[1] * nearness[left_out]
        return gains - expected


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) constant and slope of least squares."""
    return np.asarray(np.linalg.lstsq(np.stack([np.ones(len(x)), x], axis=1), y, rcond=None)[0], dtype=np.float64)


@cache
def measured(kind: str, path: Path = TABLE) -> tuple[Measured, ...]:
    """The measured choices of a kind, ``classes`` or whole ``domains``: one entry for each size of images."""
    found = read_provenance(path, kind="table of gains")
    table = [row for _, row in read_rows(path, COLUMNS, kind="table of gains") if row["kind"] == kind]

    def of(image_size: int) -> Measured:
        rows = [row for row in table if int(row["image_size"]) == image_size]
        return Measured(
            sizes={name: np.array([float(row[name]) for row in rows]) for name in SIZES},
            gains={name: np.array([float(row[name]) for row in rows]) for name in OVERS},
            families=np.array([row["family"] for row in rows]),
            image_size=image_size,
            backbone=found["backbone"],
            weights_sha256=found["weights_sha256"],
            geometry=found["geometry"],
        )

    return tuple(of(size) for size in sorted({int(row["image_size"]) for row in table}))


def expected_gain(
    kind: str,
    banks: Sequence[FeatureBank],
    geometry: str,
    sizes: Mapping[str, float],
    nearness: Callable[[], float],
) -> Expectation:
    """What a choice can be expected to gain, or why that is not known.

    Args:
        kind: ``classes`` or ``domains``.
        banks: The target and the sources.
        geometry: The geometry of the nearness.
        sizes: A value for each of :data:`SIZES` but the nearness.
        nearness: The nearness, which is only computed for a case that the measurements may reach.
    """
    known, unknown = _measured_for(kind, banks, geometry)
    if known is None:
        return Expectation(None, None, sizes, unknown)
    if beyond := [part for name in sizes if (part := known.beyond(name, sizes[name]))]:
        return Expectation(None, None, sizes, f"measured for {' and '.join(beyond)}")
    sizes = {**sizes, "nearness": nearness()}
    if part := known.beyond("nearness", sizes["nearness"]):
        return Expectation(None, None, sizes, f"measured for {part}")
    over_random, over_all = (known.gain(over, sizes["nearness"]) for over in OVERS)
    return Expectation(over_random, over_all, sizes)


def _measured_for(kind: str, banks: Sequence[FeatureBank], geometry: str) -> tuple[Measured | None, str]:
    """The measured choices that were made from such features, or None and what was measured instead, in words."""
    entries = measured(kind)
    known = entries[0]
    if others := [bank for bank in banks if bank.attrs.get("weights_sha256") != known.weights_sha256]:
        weights = others[0].attrs.get("weights")
        other = f"{others[0].attrs.get('backbone')}" + (f" with weights {weights}" if weights else "")
        return None, f"measured with published features of {known.backbone}, not of {other}"
    here = {int(bank.attrs.get("image_size", 0)) for bank in banks}
    of_size = [one for one in entries if here == {one.image_size}]
    if not of_size:
        there, sizes = (" or ".join(map(str, sorted(found))) for found in ({one.image_size for one in entries}, here))
        return None, f"measured with images of {there} pixels, not of {sizes}"
    known = of_size[0]
    if geometry != known.geometry:
        return None, f"measured in the geometry {known.geometry}, not in {geometry}"
    if (families := len(np.unique(known.families))) < LEAST_FAMILIES:
        return None, f"measured on targets of {families} kinds, and {LEAST_FAMILIES} are needed"
    return known, ""


def case(share: float, target: FeatureBank) -> dict[str, float]:
    """The sizes of a choice that takes a share of the source classes, without its nearness."""
    return {"share": share, "target_classes": len(target.classes), "images": float(target.counts.mean())}


def nearness(distances: NDArray[np.float64], target: NDArray[np.number], chosen: NDArray[np.integer]) -> float:
    """How much nearer a target's classes are to their nearest chosen class than by chance: 1 − D(choice) / D(chance).

    The expectation over all choices of the same size is exact: the r-th nearest of S classes is the nearest chosen one
    of K in C(S − r, K − 1) of C(S, K) choices.

    Args:
        distances: (S, T) distance of each source class to each target class.
        target: (T,) images of each target class.
        chosen: (K,) positions of the chosen source classes.
    """
    weights = shares(target)
    sources, size = len(distances), len(chosen)
    ranks = np.arange(1, sources - size + 2)
    first = np.exp(_log_choices(sources - ranks, size - 1) - _log_choices(np.array(sources), size))
    by_chance = first @ np.sort(distances, axis=0)[: len(ranks)] @ weights
    return float(1 - distances[chosen].min(axis=0) @ weights / by_chance) if by_chance > 0 else 0.0


def _log_choices(n: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """Logarithm of the number of ways to take k of n."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def nearness_of_source(distances: Sequence[float], chosen: int) -> float:
    """:func:`nearness` of one source among several, by their nearest-class distances: chance takes any of them."""
    by_chance = float(np.mean(distances))
    return 1 - distances[chosen] / by_chance if by_chance > 0 else 0.0
