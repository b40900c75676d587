"""All measures of transferability under one contract: what each needs, and what its value promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice
from similarity.measures.accuracy import knn_accuracy, linear_probe
from similarity.measures.coding_rate import transrate
from similarity.measures.dataset_transport import label_distances, otdd
from similarity.measures.discriminability import h_score
from similarity.measures.evidence import Evidence
from similarity.measures.gaussian import frechet, total_moments
from similarity.measures.kernel import mmd
from similarity.measures.marginal_likelihood import logme
from similarity.measures.overlap import gbc, principal_gaussians
from similarity.measures.source_labels import leep, nce
from similarity.transport.earth_movers_distance import emd

Direction = Literal["higher", "lower"]
#: What a table sets side by side: source domains under one backbone, or models.
Comparison = Literal["sources", "models"]


@dataclass(frozen=True)
class Measure:
    """A measure of transferability.

    Attributes:
        name: What a person types.
        meaning: One line.
        needs: What it asks for beyond the target's class statistics, of :data:`similarity.measures.evidence.NEEDS`.
        direction: Which values promise better transfer.
        compares: What its value tells apart. A measure of ``"models"`` looks at the target alone, and is the same for
            all sources under one backbone.
        function: Its value, a finite float.
    """

    name: str
    meaning: str
    needs: frozenset[str]
    direction: Direction
    compares: Literal["sources", "models", "both"]
    function: Callable[[Evidence], float]


@dataclass(frozen=True)
class Score:
    """A measured value.

    Attributes:
        value: In the unit that the measure's function states.
        seconds: What it took; pieces that measures share count for the one that came first.
    """

    value: float
    seconds: float


@dataclass(frozen=True)
class Unmeasured:
    """A measure that could not be taken.

    Attributes:
        reason: Why, and what to do about it.
    """

    reason: str


def measure(
    names: Iterable[str], evidence: Evidence, *, comparing: Comparison | None = None
) -> dict[str, Score | Unmeasured]:
    """Take measures, in the order of their names.

    Args:
        names: Of :data:`MEASURES`.
        evidence: What they may look at.
        comparing: What the values will stand beside: those of other sources, or of other models. Measures that cannot
            tell these apart are left out, with that reason. None takes them all.

    Returns:
        A score or a reason for every name.

    Raises:
        InputError: There is no such measure.
        ValueError: ``comparing`` is something else.
    """
    if comparing is not None and comparing not in get_args(Comparison):
        raise ValueError(f"comparing must be one of {', '.join(get_args(Comparison))}, got {comparing!r}")
    return {name: _taken(_measure(name), evidence, comparing) for name in names}


def values(taken: Mapping[str, Score | Unmeasured]) -> dict[str, float | None]:
    """The value of each measure; None for one that could not be taken."""
    return {name: one.value if isinstance(one, Score) else None for name, one in taken.items()}


def reasons(rows: Iterable[Mapping[str, Score | Unmeasured]]) -> dict[str, str]:
    """Why measures could not be taken, the first reason of each."""
    found: dict[str, str] = {}
    for taken in rows:
        for name, one in taken.items():
            if isinstance(one, Unmeasured):
                found.setdefault(name, one.reason)
    return found


def measure_names(asked: Sequence[str]) -> list[str]:
    """Names of measures, checked; every one in the order of display where ``all`` is among those asked for.

    Raises:
        InputError: There is no such measure.
    """
    return list(MEASURES) if "all" in asked else [_measure(name).name for name in dict.fromkeys(asked)]


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise InputError(f"{name}: there is no such measure of transferability; {choice(name, MEASURES)}")
    return MEASURES[name]


def _taken(wanted: Measure, evidence: Evidence, comparing: Comparison | None) -> Score | Unmeasured:
    if comparing is not None and wanted.compares not in (comparing, "both"):
        return Unmeasured(
            "looks at the target under the model alone: the same for every source"
            if comparing == "sources"
            else "tells source domains apart, not models"
        )
    for need in sorted(wanted.needs):
        reason = evidence.lacks(need)
        if reason is not None:
            return Unmeasured(reason)
    start = time.perf_counter()
    try:
        value = wanted.function(evidence)
    except InputError as error:  # such as one class only: the other measures can do without
        return Unmeasured(str(error))
    return Score(float(value), time.perf_counter() - start)


def _emd(evidence: Evidence) -> float:
    source, target, points = evidence.given_source, evidence.target, evidence.metric.points
    return emd(points(source.means), source.counts, points(target.means), target.counts).value


def _frechet(evidence: Evidence) -> float:
    return frechet(*total_moments(evidence.given_source), *total_moments(evidence.target))


def _mmd(evidence: Evidence) -> float:
    source, _ = evidence.source_sample
    target = evidence.images.features
    if min(len(source), len(target)) < 2:
        one = evidence.given_source if len(source) < 2 else evidence.target
        raise InputError(f"{one.name}: keeps one image only, whose spread nothing tells; give at least two")
    return mmd(source, target, bandwidth=evidence.bandwidth, seed=evidence.seed)


def _otdd(evidence: Evidence) -> float:
    source, target = evidence.given_source, evidence.target
    between = label_distances(source.means, source.variances, target.means, target.variances)
    images = evidence.images
    return otdd(*evidence.source_sample, images.features, images.labels, between, seed=evidence.seed)


def _leep(evidence: Evidence) -> float:
    return leep(evidence.source_labels, evidence.labelled[1])


def _nce(evidence: Evidence) -> float:
    return nce(evidence.source_labels, evidence.labelled[1])


def _linear_probe(evidence: Evidence) -> float:
    features, labels = evidence.labelled
    if len(set(labels.tolist())) == len(labels):
        raise InputError(
            f"{evidence.target.name}: keeps one image a class, none to test on; extract at least two images a class"
        )
    return linear_probe(features, labels, seed=evidence.seed)


def _gbc(evidence: Evidence) -> float:
    target = evidence.target
    if len(target.classes) == 1:
        raise InputError(f"{target.name}: has one class only, which overlaps with no other; give at least two classes")
    return gbc(*principal_gaussians(target))


def _source_images(evidence: Evidence) -> float:
    return float(evidence.given_source.counts.sum())


def _parameters(evidence: Evidence) -> float:
    return float(evidence.parameters or 0)


_SOURCE = frozenset({"source"})
_BOTH_IMAGES = frozenset({"source", "source images", "target images"})
_LABELLED = frozenset({"target images"})
_PREDICTED = frozenset({"target images", "posterior"})

#: Every measure by its name, in the order of display: distances of two domains, what source classes say of the
#: target's labels, how well the target's classes come apart, baselines.
MEASURES: dict[str, Measure] = {
    row.name: row
    for row in (
        Measure(
            "emd",
            "Earth Mover's Distance of the class means in a geometry (Cui et al. 2018)",
            _SOURCE,
            "lower",
            "sources",
            _emd,
        ),
        Measure(
            "frechet",
            "squared Fréchet distance of the two sets of images as Gaussians (Heusel et al. 2017)",
            _SOURCE,
            "lower",
            "sources",
            _frechet,
        ),
        Measure(
            "mmd",
            "squared maximum mean discrepancy of the images under a Gaussian kernel (Gretton et al. 2012)",
            _BOTH_IMAGES,
            "lower",
            "sources",
            _mmd,
        ),
        Measure(
            "otdd",
            "optimal transport of the labelled images, labels as Gaussians (Alvarez-Melis and Fusi 2020)",
            _BOTH_IMAGES,
            "lower",
            "sources",
            _otdd,
        ),
        Measure(
            "leep",
            "log expected prediction of the labels from the source's class probabilities (Nguyen et al. 2020)",
            _PREDICTED,
            "higher",
            "both",
            _leep,
        ),
        Measure(
            "nce",
            "minus the entropy of the labels given the source's likeliest class (Tran et al. 2019)",
            _PREDICTED,
            "higher",
            "both",
            _nce,
        ),
        Measure(
            "knn",
            "leave-one-out accuracy of the 5 nearest neighbours by cosine",
            _LABELLED,
            "higher",
            "models",
            lambda evidence: knn_accuracy(*evidence.labelled, seed=evidence.seed),
        ),
        Measure(
            "linear-probe",
            "cross-validated accuracy of logistic regression",
            _LABELLED,
            "higher",
            "models",
            _linear_probe,
        ),
        Measure(
            "logme",
            "log evidence of a Bayesian linear model of the labels (You et al. 2021)",
            _LABELLED,
            "higher",
            "models",
            lambda evidence: logme(*evidence.labelled),
        ),
        Measure(
            "h-score",
            "the features' variance between classes over the whole, shrunk (Bao et al. 2019, Ibrahim et al. 2022)",
            _LABELLED,
            "higher",
            "models",
            lambda evidence: h_score(*evidence.labelled),
        ),
        Measure(
            "transrate",
            "coding rate of all features less that of each class (Huang et al. 2022)",
            _LABELLED,
            "higher",
            "models",
            lambda evidence: transrate(*evidence.labelled),
        ),
        Measure(
            "gbc",
            "minus the overlap of the classes as Gaussians in 64 principal components (Pándy et al. 2022)",
            frozenset(),
            "higher",
            "models",
            _gbc,
        ),
        Measure(
            "source-images", "number of images of the source, a baseline", _SOURCE, "higher", "sources", _source_images
        ),
        Measure(
            "parameters",
            "number of parameters of the model, a baseline",
            frozenset({"parameters"}),
            "higher",
            "models",
            _parameters,
        ),
    )
}
