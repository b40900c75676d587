"""Which arm of a recipe is best, by how much, and which ones the runs do not tell from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfer.intervals import Figure, difference_of, mean_of, share_of


@dataclass(frozen=True)
class ArmComparison:
    """The arms of a recipe against the best one.

    Attributes:
        best: The arm of the highest mean accuracy, the first of equals.
        accuracy: Arm → mean top-1 accuracy, 0 to 1, with its 95 % interval.
        lead: Other arm → accuracy of the best less that of the other, with its 95 % interval.
        tied: Arms that the runs do not tell from the best: the interval of the lead has 0 inside.
        seeds: Number of runs of each arm. Intervals are those of the mean over the seeds, with leads paired over them;
            of one seed, those of a share of the test images, which leave out the variation between seeds.
    """

    best: str
    accuracy: Mapping[str, Figure]
    lead: Mapping[str, Figure]
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
    accuracy = {name: mean_of(found) if seeds > 1 else share_of(found[0], images) for name, found in top1.items()}
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
