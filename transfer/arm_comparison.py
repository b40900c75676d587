"""Which arm of a recipe is best, by how much, and which ones the runs do not tell from it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from similarity import STRATEGIES
from transfer.arm import arm_of
from transfer.intervals import Estimate, difference_of, mean_of, percent, points, share_of
from transfer.uses import USES

#: Names in a sentence.
_LISTED = 12


@dataclass(frozen=True)
class ArmComparison:
    """The arms of a recipe against the best one.

    Attributes:
        best: The arm of the highest mean accuracy, the first of equals.
        accuracy: Arm → mean top-1 accuracy, 0 to 1, with its 95 % interval, which is within 0 to 1.
        lead: Other arm → accuracy of the best less that of the other, with its 95 % interval.
        tied: Arms that the runs do not tell from the best: the interval of the lead has 0 inside.
        seeds: Number of runs of each arm. Intervals are those of the mean over the seeds, with leads paired over them;
            of one seed, those of a share of the test images, which leave out the variation between seeds.
    """

    best: str
    accuracy: Mapping[str, Estimate]
    lead: Mapping[str, Estimate]
    tied: tuple[str, ...]
    seeds: int


def compare_arms(arms: Sequence[Mapping[str, Any]]) -> ArmComparison:
    """Compare arms as they stand in the results of a recipe.

    Args:
        arms: Mappings with ``arm``, the name, and ``runs``: one mapping a seed with ``top1`` and ``images``, the seeds
            in the same order for every arm.
    """
    top1 = {arm["arm"]: [run["top1"] for run in arm["runs"]] for arm in arms}
    images = arms[0]["runs"][0]["images"]
    seeds = len(arms[0]["runs"])
    accuracy = {name: _accuracy(found, images) for name, found in top1.items()}
    best = max(accuracy, key=lambda name: accuracy[name].value)  # the first of equals
    lead = {}
    for name, found in top1.items():
        if name == best:
            continue
        if seeds > 1:
            lead[name] = mean_of([mine - theirs for mine, theirs in zip(top1[best], found, strict=True)])
        else:
            lead[name] = difference_of(accuracy[best], accuracy[name])
    tied = tuple(name for name, one in lead.items() if one.low <= 0)
    return ArmComparison(best, accuracy, lead, tied, seeds)


def _accuracy(top1: Sequence[float], images: int) -> Estimate:
    """The accuracy of an arm by that of its seeds, with an interval within 0 to 1, as Student's may not be."""
    if len(top1) == 1:
        return share_of(top1[0], images)
    found = mean_of(top1)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0))


def choosing_arm(arms: Sequence[Mapping[str, Any]], selections: Container[str]) -> str | None:
    """The arm whose choice is shown: the most accurate one that chooses by a strategy, else by chance; None if none.

    An arm that draws from all classes by their shares chooses none.

    Args:
        arms: As in :func:`compare_arms`.
        selections: Names of the arms that have source classes.
    """
    accuracy = compare_arms(arms).accuracy
    weighing = {arm["arm"] for arm in weighing_arms(arms)}
    choosing = [
        arm
        for arm in arms
        if arm["arm"] in selections and arm["arm"] not in weighing and not STRATEGIES[arm["strategy"]].takes_all
    ]
    by_strategy = [arm for arm in choosing if STRATEGIES[arm["strategy"]].place == 0]
    found = max(by_strategy or choosing, key=lambda arm: accuracy[arm["arm"]].value, default=None)
    return None if found is None else str(found["arm"])


def weighing_arms(arms: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The arms that draw from all source classes by their shares of the target, and so choose none."""
    return [arm for arm in arms if arm.get("strategy") is not None and USES[arm.get("use") or "subset"].of_all]


def say_weighing(arms: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on the arms that choose no classes but weigh all of them; empty if there is none."""
    names = [str(arm["arm"]) for arm in weighing_arms(arms)]
    if not names:
        return ""
    verbs = "draws from all source classes by the share that each serves, and chooses"
    if len(names) > 1:
        verbs = "draw from all source classes by the share that each serves, and choose"
    return f"{listed(names)} {verbs} none."


def headline(result: Mapping[str, Any]) -> str:
    """One sentence of a recipe's results: the best arm, how sure its accuracy is, by how much it leads, and its ties.

    The lead is over the first of these that there is: random classes, scratch, the next best arm.
    """
    arms, recipe = result["arms"], result["recipe"]
    found, described = compare_arms(arms), {arm["arm"]: arm_of(arm).subject(recipe.get("classes")) for arm in arms}
    own = found.accuracy[found.best]
    text = (
        f"{described[found.best]} ({found.best}) gives a top-1 accuracy of {percent(own.value)} % "
        f"(95 % interval {percent(own.low)} to {percent(own.high)})"
    )
    beside = _reference(arms, found)
    if beside is not None:
        lead = found.lead[beside]
        led = points(lead.value).removeprefix("+")
        text += f", {led} points above {beside} ({points(lead.low)} to {points(lead.high)})"
    if not found.lead:
        return f"{text}."
    if not found.tied:
        return f"{text}. No other arm is tied with it."
    return f"{text}. {say_tied(found.tied, 'runs' if found.seeds > 1 else 'test images')}"


def say_tied(names: Sequence[str], judges: str) -> str:
    """One sentence on what is tied with the best, by what judged them, such as ``runs``.

    >>> say_tied(["a", "b"], "test images")
    'It is tied with a and b: the test images do not show which of them is better.'
    """
    return f"It is tied with {listed(names)}: the {judges} do not show which of them is better."


def _reference(arms: Sequence[Mapping[str, Any]], found: ArmComparison) -> str | None:
    """The arm that the best one is held against."""
    others = [arm for arm in arms if arm["arm"] != found.best]
    chance = [arm["arm"] for arm in others if arm.get("strategy") == "random"]
    scratch = [arm["arm"] for arm in others if arm.get("strategy") is None and not arm.get("init")]
    nearest = sorted(found.lead, key=lambda name: found.lead[name].value)
    return next(iter([*chance, *scratch, *nearest]), None)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: ``a, b and c``; of many, the first ones and the number of the others."""
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 2], f"{len(names) - _LISTED + 2:,} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
