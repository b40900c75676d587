"""All measures of transferability under one contract: what each needs, and which values are better."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError, as_typed
from similarity.measures.evidence import Evidence

#: The rows of a table of measures: source domains under one backbone, or models.
Comparison = Literal["sources", "models"]


@dataclass(frozen=True)
class Measure:
    """A measure of transferability.

    Attributes:
        name: The name that users type.
        meaning: One line.
        needs: Inputs beyond the target's class statistics, from :data:`similarity.measures.evidence.NEEDS`.
        direction: Which values predict better transfer.
        function: Computes a finite float.
        compares: What its values distinguish. A measure of ``"models"`` depends on the target alone, and is the same
            for all sources under one backbone.
        place: Its place in tables: 0 for distances between domains, 1 for the predictability of labels from source
            classes, 2 for the separation of the target's classes, 3 for baselines.
    """

    name: str
    meaning: str
    needs: frozenset[str]
    direction: Literal["higher", "lower"]
    function: Callable[[Evidence], float]
    compares: Literal["sources", "models", "both"] = "models"
    place: int = 2


#: Every measure by its name.
MEASURES = Catalogue("measure of transferability", Measure, "similarity.measures", "transfer.measures")
#: The measure that orders models by default: see ``benchmarks/measures.py``.
DEFAULT_MEASURE = "linear-probe"


@dataclass(frozen=True)
class Score:
    """The value of a measure.

    Attributes:
        value: In the unit that the measure's function states.
        seconds: Computing time. Intermediate results that measures share count for the first of them.
    """

    value: float
    seconds: float


@dataclass(frozen=True)
class Unmeasured:
    """Why a measure could not be computed, and how to change that."""

    reason: str


def measure(
    names: Iterable[str], evidence: Evidence, *, comparing: Comparison | None = None
) -> dict[str, Score | Unmeasured]:
    """Compute measures, in the order of ``names``.

    Args:
        names: Keys of :data:`MEASURES`.
        evidence: The data to compute them from.
        comparing: Whether the values will be compared between sources or between models. Measures that do not
            distinguish these are left out, with that reason. None computes all.

    Raises:
        InputError: A name is unknown.
        ValueError: ``comparing`` has another value.
    """
    if comparing is not None and comparing not in get_args(Comparison):
        raise ValueError(f"comparing must be one of {', '.join(get_args(Comparison))}, got {comparing!r}")
    return {name: _computed(MEASURES.find(name, "measures"), evidence, comparing) for name in names}


def values(taken: Mapping[str, Score | Unmeasured]) -> dict[str, float | None]:
    """The value of each measure; None if it could not be computed."""
    return {name: one.value if isinstance(one, Score) else None for name, one in taken.items()}


def reasons(rows: Iterable[Mapping[str, Score | Unmeasured]]) -> dict[str, str]:
    """For each measure that could not be computed for some row, the first reason, as the command line says it."""
    found: dict[str, str] = {}
    for taken in rows:
        for name, one in taken.items():
            if isinstance(one, Unmeasured):
                found.setdefault(name, as_typed(one.reason))
    return found


def measure_names(requested: Sequence[str], argument: str = "measures") -> list[str]:
    """The requested measures without repetition; ``all`` stands for every measure in the order of display.

    Raises:
        InputError: A name is unknown; the message names the ``argument`` that holds it.
    """
    if "all" in requested:
        return list(MEASURES)
    return [MEASURES.find(name, argument).name for name in dict.fromkeys(requested)]


def _computed(row: Measure, evidence: Evidence, comparing: Comparison | None) -> Score | Unmeasured:
    if comparing is not None and row.compares not in (comparing, "both"):
        return Unmeasured(
            "measures the model on the target, so it is the same for every source"
            if comparing == "sources"
            else "compares source domains, not models"
        )
    for need in sorted(row.needs):
        reason = evidence.lacks(need)
        if reason is not None:
            return Unmeasured(reason)
    start = time.perf_counter()
    try:
        value = row.function(evidence)
    except InputError as error:  # such as a single class: other measures can still be computed
        return Unmeasured(str(error))
    return Score(float(value), time.perf_counter() - start)
