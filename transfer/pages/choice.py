"""What an arm chose: which source classes serve which target classes, how many are needed, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity import STRATEGIES, SelectionCurve
from similarity.selection.curve import curves_from
from similarity.selection.payoff import positions
from similarity.selection.pool import SourcePool
from similarity.selection.strategies.mutual_proximity import most_serving
from transfer.arm_comparison import listed
from transfer.class_map import class_map
from transfer.intervals import percent
from transfer.pages.charts import curve_chart, map_chart
from transfer.pages.pictures import Picture, Thumbnails, picture
from transfer.plots import curve_plot, map_plot
from transfer.plots.choice import number_of

#: Source classes that are shown for each target class; target classes with pictures, and further ones by name.
TOP, PICTURED, NAMED = 3, 60, 1000
#: Distances of a pool to a target up to which the curve is computed for a page.
_PAIRS = 5_000_000


@dataclass
class Choice:
    """The values of the template's part.

    Attributes:
        arm: Its name.
        available: Number of source classes, chosen or not.
        served: Target classes with pictures, each with the chosen classes that serve it most.
        named: Rows of further target classes: the name, and the class that serves it most with its share.
        left: Number of target classes beyond those.
        map_picture, map_note: The map, and which part of the classes it holds, if not all.
        curve_picture: The curve; None if there is none.
        charts: The same to point at, by name.
        knee, curve_note: Sentences on the curve, and what its lines mean.
    """

    arm: str
    available: int
    served: Sequence[Mapping[str, Any]]
    named: Sequence[Sequence[Any]]
    left: int
    map_picture: Picture
    map_note: str
    curve_picture: Picture | None
    charts: Mapping[str, Mapping[str, Any]]
    knee: str
    curve_note: str


def describe_choice(
    result: Mapping[str, Any], arm: Mapping[str, Any], banks: Mapping[str, FeatureBank], thumbnails: Thumbnails
) -> Choice:
    """Describe the choice of an arm for the first seed.

    Args:
        result: The results of a recipe.
        arm: One of its arms.
        banks: Dataset spec of the target and of each source → its bank, as far as it is at hand.
        thumbnails: Where pictures come from.

    Raises:
        InputError: A bank is not there, or lacks a chosen class.
    """
    if missing := [spec for spec in result["banks"] if spec not in banks]:
        raise InputError(f"the bank of {listed(missing)} is not at hand")
    target = banks[result["target"]]
    sources = [banks[spec] for spec in result["banks"] if spec != result["target"]]
    least = result["recipe"].get("select", {}).get("min_count", 0)
    pool = SourcePool.of([target], sources, arm["geometry"], least)
    rows = result["selections"][arm["arm"]]
    chosen = positions(pool, [(row["source"], row["class"]) for row in rows])
    marked = np.zeros(len(pool), dtype=bool)
    marked[chosen] = True
    places, shares = most_serving(pool.points, pool.metric.points(target.means), marked, TOP, PICTURED + NAMED)
    points = class_map(pool, target, chosen)
    curve, taken, knee = None, 0, ""
    if len(pool) * len(target.classes) <= _PAIRS:
        curve = curves_from(pool, [target], STRATEGIES[arm["strategy"]], seed=result["recipe"]["seeds"][0])[0]
        taken = _taken(curve, chosen)
        knee = _knee(curve, taken, len(rows))
    charts: dict[str, Mapping[str, Any]] = {"map": map_chart(points)}
    if curve is not None:
        order = () if curve.classes is None else curve.classes
        charts["curve"] = curve_chart(curve, [pool.classes[i] for i in order], taken)
    return Choice(
        arm=arm["arm"],
        available=len(pool),
        served=_served(pool, target, places, shares, thumbnails),
        named=[
            (target.classes[j], pool.classes[places[j, 0]], percent(float(shares[j, 0])))
            for j in range(min(PICTURED, len(target.classes)), min(PICTURED + NAMED, len(target.classes)))
        ],
        left=max(0, len(target.classes) - PICTURED - NAMED),
        map_picture=picture(f"Map of {_kinds(points)}", map_plot, points),
        map_note=_thinned(points),
        curve_picture=None if curve is None else picture(knee, curve_plot, curve, taken or None),
        charts=charts,
        knee=knee,
        curve_note="" if curve is None else _meaning(curve),
    )


def _served(
    pool: SourcePool,
    target: FeatureBank,
    places: NDArray[np.int64],
    shares: NDArray[np.float64],
    thumbnails: Thumbnails,
) -> list[dict[str, Any]]:
    number = min(PICTURED, len(target.classes))
    of_targets = thumbnails.of_classes(target.name, target.classes[:number])
    wanted: dict[str, list[str]] = {}
    for i in places[:number].ravel():
        wanted.setdefault(pool.banks[pool.bank[i]].name, []).append(pool.classes[i])
    pictures = {
        (source, name): address
        for source, names in wanted.items()
        for name, address in zip(names, thumbnails.of_classes(source, names), strict=True)
    }
    found = []
    for j in range(number):
        sources = [
            {
                "class": pool.classes[i],
                "source": pool.banks[pool.bank[i]].name,
                "share": float(share),
                "picture": pictures[pool.banks[pool.bank[i]].name, pool.classes[i]],
            }
            for i, share in zip(places[j], shares[j], strict=True)
        ]
        found.append({"class": target.classes[j], "picture": of_targets[j], "sources": sources})
    return found


def _taken(curve: SelectionCurve, chosen: NDArray[np.int64]) -> int:
    """The number of chosen classes if these are the first ones of a curve, else 0."""
    if curve.classes is None or not np.array_equal(np.sort(chosen), np.sort(curve.classes[: len(chosen)])):
        return 0
    return len(chosen)


def _knee(curve: SelectionCurve, taken: int, chosen: int) -> str:
    """The curve in sentences; ``taken`` is the number of chosen classes if they are its first ones, else 0."""
    verb, what = ("serve", "of the target") if curve.share is not None else ("give", "of the gain in nearness")
    first = f"first {curve.knee:,} classes" if curve.knee > 1 else "first class"
    end = "" if curve.knee > 1 else "s"
    text = f"At the knee of the curve, beyond which a class adds less than the average class, the {first} {verb}{end} "
    text += f"{100 * curve.covered[curve.knee - 1]:.0f} % {what}"
    if taken and taken != curve.knee:
        text += f"; the {taken:,} that were chosen {verb} {100 * curve.covered[taken - 1]:.0f} %"
    text += f". {curve.available:,} classes are available."
    if chosen > len(curve.covered):
        text += f" The curve ends before the {chosen:,} that were chosen."
    elif not taken:
        text += f" The {chosen:,} chosen classes are not the first ones of this curve, so that they are not marked."
    return text


def _meaning(curve: SelectionCurve) -> str:
    """What the lines of the curve mean, in sentences."""
    gain = (
        "The gain in nearness is how far the mean distance of the target's classes to their nearest chosen class has "
        "come down, from that of the first class alone (0 %) to that of all source classes (100 %)."
    )
    if curve.share is None:
        return gain
    served = "The share served is the part of the target that the chosen classes carry together."
    return f"{served} {gain} So one class alone serves a share, and its gain is 0."


def _kinds(points: Sequence[Mapping[str, Any]]) -> str:
    """How many classes of each kind a map holds."""
    target, chosen, source = (number_of(points, kind) for kind in ("target", "chosen", "source"))
    return f"{target} target classes, {chosen} chosen and {source} other source classes"


def _thinned(points: Sequence[Mapping[str, Any]]) -> str:
    """Which part of the classes a map holds, in a sentence; empty if it holds all."""
    kinds = _kinds(points)
    return f"It shows {kinds}, drawn at random." if " of " in kinds else ""
