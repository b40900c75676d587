"""The JSON files of a recipe's results and of a trial: what they must hold to be read back.

Results of earlier versions lack the entries that may be missing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypedDict

from features.infrastructure.errors import InputError
from features.infrastructure.formats.shapes import Count, Share
from features.infrastructure.formats.structured_files import read_json
from features.infrastructure.options import Range
from similarity import STRATEGIES
from transfer.arm import arm_of
from transfer.recipe_steps import holds_steps

#: The files: results of a recipe; verdict and options of a trial.
RESULT, VERDICT, TRIAL = "result.json", "verdict.json", "trial.json"
_AGAIN = "remove it and give the command again that wrote it, which reuses the finished steps"

_Number = float | None


class _Domain(TypedDict):
    source: str
    emd: float
    similarity: Share
    nearest_class_distance: float
    nearest_class_distance_estimate: _Number
    nearest_class_distance_interval: tuple[_Number, _Number]
    nearer_than_next: Share | None
    classes: Count
    images: Count | None


class _Ranking(TypedDict):
    domains: list[_Domain]


class _ArmRun(TypedDict):
    run: str
    top1: Share
    images: Annotated[int, Range(1)]


class _Arm(TypedDict):
    arm: str
    runs: list[_ArmRun]


class _Choosing(_Arm, total=False):
    strategy: str | None
    use: str
    geometry: str
    init: str | None
    classes: int | None
    drop: int | None


_Row = TypedDict("_Row", {"source": str, "class": str, "rank": Count, "weight": Share | None})


class _Recipe(TypedDict):
    name: str
    target: str
    test: str
    seeds: list[int]
    classes: int | None
    sources: list[str]
    arms: dict[str, dict[str, Any]]


class _RecipeSteps(_Recipe, total=False):
    select: dict[str, Any]


class Result(TypedDict):
    """``result.json``."""

    name: str
    target: str
    arms: list[_Choosing]
    domains: list[_Domain]
    selections: dict[str, list[_Row]]
    recipe: _RecipeSteps
    banks: dict[str, str]
    versions: dict[str, str | None]
    seconds: Annotated[float, Range(0)]


class _Figure(TypedDict):
    value: float
    low: float
    high: float


class Verdict(TypedDict):
    """``verdict.json``."""

    sentences: list[str]
    best: str
    accuracy: dict[str, _Figure]
    lead: dict[str, _Figure]
    tied: list[str]
    optimism: float
    images: Count
    starts: dict[str, str]
    left_out: dict[str, float]


class _Plan(TypedDict):
    left_out: dict[str, float]
    pretraining: Count


class TrialOptions(TypedDict):
    """``trial.json``."""

    options: dict[str, Any]
    inputs: list[str]
    recipe_sha256: str
    plan: _Plan


def read_ranking(path: Path) -> list[dict[str, Any]]:
    """The source domains of a ranking, nearest first, as :meth:`similarity.Ranking.to_json` has them.

    Raises:
        InputError: The file is damaged.
    """
    found: list[dict[str, Any]] = read_json(path, "ranking", _Ranking, advice=_AGAIN, maker="transfer rank")["domains"]
    return found


def read_result(path: Path) -> dict[str, Any]:
    """The results of a recipe.

    Raises:
        InputError: The file is damaged, or its parts do not fit together.
    """
    found: dict[str, Any] = read_json(path, "file of results", Result, advice=_AGAIN, maker="transfer run")
    arms = {arm["arm"]: arm for arm in found["arms"]}
    recipe = found["recipe"]
    runs = {len(arm["runs"]) for arm in found["arms"]}
    faults = [
        ("it has no arm", not arms),
        ("two arms have one name", len(arms) < len(found["arms"])),
        ("an arm has no run, or fewer than another", len(runs) != 1 or 0 in runs),
        ("'recipe.seeds' is empty", not recipe["seeds"]),
        ("'arms' and 'recipe.arms' differ", set(arms) != set(recipe["arms"])),
        ("'selections' names another arm", not set(found["selections"]) <= set(arms)),
        ("'banks' lacks that of 'target'", found["target"] not in found["banks"]),
        ("'banks' has none of a source", found["selections"] and len(found["banks"]) < 2),
    ]
    if wrong := [fault for fault, holds in faults if holds]:
        raise InputError(f"{path}: not a readable file of results ({wrong[0]}); {_AGAIN}")
    for name, arm in arms.items():
        try:
            for given in (arm, recipe["arms"][name]):
                known = asdict(arm_of(given))
                given.update({option: value for option, value in known.items() if option not in given})
                if name in found["selections"]:
                    STRATEGIES.find(str(given["strategy"]))
        except InputError as error:
            raise InputError(f"{path}: not a readable file of results (arm {name}: {error}); {_AGAIN}") from error
    return found


def check_finished(directory: Path) -> None:
    """Raise ``InputError`` if a directory without results holds a trial or a recipe that is not finished."""
    if (directory / TRIAL).is_file():
        raise InputError(f"{directory}: is a trial that is not finished; the same transfer try goes on with it")
    if holds_steps(directory):
        raise InputError(
            f"{directory}: holds a recipe that is not finished; the same transfer run (or transfer demo) goes on with "
            f"it, and transfer run --dry-run says what is left"
        )


def read_verdict(directory: Path) -> dict[str, Any] | None:
    """The verdict of a trial whose results stand in a directory; None without one.

    Raises:
        InputError: The file is damaged.
    """
    path = directory / VERDICT
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path, "verdict of a trial", Verdict, advice=_AGAIN, maker="transfer try")
    if not found["sentences"] or found["best"] not in found["accuracy"]:
        raise InputError(f"{path}: not a readable verdict of a trial ('best' or its sentences are missing); {_AGAIN}")
    return found


def read_trial(directory: Path) -> dict[str, Any] | None:
    """The options and the plan of a trial that was begun in a directory; None without them.

    Raises:
        InputError: The file is damaged.
    """
    path = directory / TRIAL
    if not path.is_file():
        return None
    kind = "file of a trial's options"
    found: dict[str, Any] = read_json(path, kind, TrialOptions, advice=_AGAIN, maker="transfer try")
    return found
