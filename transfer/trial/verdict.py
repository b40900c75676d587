"""Which start wins: accuracies on the same held-out images, compared in pairs, and said in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.intervals import Estimate, percent, points, wilson
from transfer.trial.plan import CONTINUED, FINE_TUNED, PROBE, SELECTED

#: The normal quantile of a 95 % interval.
_Z = 1.959964
#: Bootstrap replicates of the held-out images.
_REPLICATES = 2000
#: What the first sentence calls each start.
_HOW = {
    PROBE: "A linear probe on {model}",
    FINE_TUNED: "Fine-tuned {model}",
    CONTINUED: "{model}, trained further on the chosen source classes and then fine-tuned,",
    SELECTED: "A network that was pre-trained on the chosen source classes alone and then fine-tuned",
}
#: Images that are resampled at once, which limits the memory.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        best: The start of the highest accuracy on the held-out images, the cheapest of equals.
        accuracy: Start → top-1 accuracy, 0 to 1.
        lead: Other start → accuracy of the best less that of the other, paired over the images.
        tied: Starts that the images do not tell from the best: the interval of the lead has 0 inside.
        optimism: How much too high the accuracy of the best is because these images chose it.
        images: Number of held-out images.
    """

    best: str
    accuracy: Mapping[str, Estimate]
    lead: Mapping[str, Estimate]
    tied: tuple[str, ...]
    optimism: float
    images: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(correct: Mapping[str, NDArray[np.bool_]], seed: int = 0) -> Verdict:
    """Compare starts by which held-out images each got right.

    Args:
        correct: Start → (N,) whether each image was classified correctly; the cheapest start first.
        seed: Seed of the bootstrap for ``optimism``.
    """
    names, hits = list(correct), np.array(list(correct.values()), dtype=bool)
    best = int(np.argmax(hits.sum(axis=1)))  # the first of equals
    lead = {name: lead_of(hits[best], hits[i]) for i, name in enumerate(names) if i != best}
    return Verdict(
        best=names[best],
        accuracy={name: accuracy_of(row) for name, row in zip(names, hits, strict=True)},
        lead=lead,
        tied=tuple(name for name, one in lead.items() if one.low <= 0),
        optimism=optimism(hits, seed),
        images=hits.shape[1],
    )


def accuracy_of(hits: NDArray[np.bool_]) -> Estimate:
    """The share of (N,) images that were classified correctly, and Wilson's interval."""
    correct, images = int(hits.sum()), hits.size
    return Estimate(correct / images, *wilson(correct, images))


def lead_of(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Estimate:
    """The difference of two accuracies on the same (N,) images, and its interval.

    Half an image is added to each of the four cells of the table of both (Agresti and Min, "Simple improved confidence
    intervals for comparing matched proportions", Statistics in Medicine 24, 2005).
    """
    gained, lost, images = int((one & ~other).sum()), int((other & ~one).sum()), one.size
    b, c, n = gained + 0.5, lost + 0.5, images + 2
    spread = _Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return Estimate((gained - lost) / images, max(-1.0, (b - c) / n - spread), min(1.0, (b - c) / n + spread))


def optimism(hits: NDArray[np.bool_], seed: int) -> float:
    """How much higher the best of (M, N) starts seems than it is, by the bootstrap over the N images.

    It is the mean, over replicates, of the accuracy in the replicate of the start that is best there, less its accuracy
    on all images.
    """
    images, rng = hits.shape[1], np.random.default_rng(seed)
    accuracy, found = hits.mean(axis=1), []
    for first in range(0, _REPLICATES, rows := max(1, _BLOCK // images)):
        number = min(rows, _REPLICATES - first)
        drawn = rng.multinomial(images, np.full(images, 1 / images), size=number) @ hits.T / images
        best = drawn.argmax(axis=1)
        found.append(drawn[np.arange(number), best] - accuracy[best])
    return max(0.0, float(np.concatenate(found).mean()))


def sentences(
    verdict: Verdict,
    model: str,
    left_out: Mapping[str, float],
    sources: Sequence[str],
    pretraining: int,
    tuning: int | None = None,
) -> list[str]:
    """Say a verdict: what wins, by how much, and whether pre-training on a choice is worth it.

    Args:
        verdict: The verdict.
        model: The published model.
        left_out: For each start that was left out, the minutes that a trial with it takes.
        sources: The sources that were given.
        pretraining: Steps of a pre-training on the choice.
        tuning: Steps of each fine-tuning; None if none was tried.
    """
    best, own = verdict.best, verdict.accuracy[verdict.best]
    first = (
        f"{_HOW[best].format(model=model)} is right on {percent(own.value)} % of the {verdict.images:,} held-out "
        f"photographs (95 % interval {percent(own.low)} to {percent(own.high)})."
    )
    second = _second(verdict)
    if tuning is not None:
        second += f" Fine-tuning took {tuning:,} step{'s' * (tuning != 1)}."
    return [first, second, _third(verdict, left_out, sources, pretraining)]


def say_left_out(left_out: Mapping[str, float]) -> str:
    """One sentence on the starts that did not fit, with the time that each needs; empty if all did.

    >>> say_left_out({"fine-tuned": 7.2, "continued on the choice": 12})
    'Left out, because the time is too short: fine-tuned (--minutes 8), continued on the choice (--minutes 12).'
    """
    if not left_out:
        return ""
    named = ", ".join(f"{name} (--minutes {math.ceil(minutes)})" for name, minutes in left_out.items())
    return f"Left out, because the time is too short: {named}."


def _second(verdict: Verdict) -> str:
    if not verdict.lead:
        return "Nothing else was tried in this time."
    if verdict.tied:
        others = " and ".join(f"{name} (a lead of {_points(verdict.lead[name])})" for name in verdict.tied)
        cheapest = next(name for name in verdict.accuracy if name in (verdict.best, *verdict.tied))
        advice = "" if cheapest == verdict.best else f"; the cheapest of them is {cheapest}"
        return f"It is tied with {others}: the photographs do not tell these starts apart{advice}."
    name, nearest = min(verdict.lead.items(), key=lambda one: one[1].value)
    return f"It beats the next best, {name}, by {_points(nearest)}."


def _third(verdict: Verdict, left_out: Mapping[str, float], sources: Sequence[str], steps: int) -> str:
    used = [name for name in (CONTINUED, SELECTED) if name in verdict.accuracy]
    if not sources:
        return "Pre-training on chosen source classes was not tried; give --source to have it compared."
    if not used:
        fitting = f"does not fit into this time; --minutes {math.ceil(left_out.get(CONTINUED, 0.0))} compares it"
        return f"Pre-training on chosen source classes {fitting}."
    what = f"Pre-training on chosen source classes, for {steps:,} steps,"
    if verdict.best in used:
        told = all(lead.low > 0 for name, lead in verdict.lead.items() if name not in used)
        worth = "is worth it here" if told else "may be worth it, which more photographs would tell"
        return f"{what} {worth}."
    gap = min((verdict.lead[name] for name in used), key=lambda one: one.value)
    worth = "is not worth it here" if gap.low > 0 else "makes no difference that these photographs can tell"
    return f"{what} {worth}: the best start without it leads by {_points(gap)}."


def _points(lead: Estimate) -> str:
    return f"{points(lead.value)} points ({points(lead.low)} to {points(lead.high)})"
