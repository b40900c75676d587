"""What an arm chose: which source classes serve which target classes, how many are needed, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity import STRATEGIES, SelectionCurve
from similarity.selection.curve import curves_from
from similarity.selection.pool import SourcePool
from similarity.selection.strategies.mutual_proximity import most_serving
from transfer.arm_comparison import compare_arms
from transfer.class_map import class_map
from transfer.plots import curve_plot, map_plot
from transfer.report.charts import curve_chart, map_chart
from transfer.report.pictures import Picture, Thumbnails, picture

#: Source classes that are shown for each target class; target classes with pictures, open and folded; and by name.
TOP, OPEN, PICTURED, NAMED = 3, 12, 60, 1000
#: Distances of a pool to a target up to which the curve is computed for a page.
_PAIRS = 5_000_000


@dataclass
class Choice:
    """The values of the template's part.

    Attributes:
        arm: Its name.
        classes: Number of chosen classes.
        served: Target classes with pictures, each with the chosen classes that serve it most.
        named: Rows of further target classes: the name, and the class that serves it most with its share.
        left: Number of target classes beyond those.
        map_picture, curve_picture: The map and the curve; None if there is none.
        charts: The same to point at, by name.
        knee: Sentence on the curve.
    """

    arm: str
    classes: int
    served: Sequence[Mapping[str, Any]]
    named: Sequence[Sequence[Any]]
    left: int
    map_picture: Picture | None
    curve_picture: Picture | None
    charts: Mapping[str, Mapping[str, Any]]
    knee: str


def shown_arm(result: Mapping[str, Any]) -> str | None:
    """The arm whose choice is shown: the most accurate one that chooses by a strategy, else by chance; None if none."""
    accuracy = compare_arms(result["arms"]).accuracy
    choosing = [
        arm
        for arm in result["arms"]
        if arm["arm"] in result["selections"] and not STRATEGIES[arm["strategy"]].takes_all
    ]
    by_strategy = [arm for arm in choosing if STRATEGIES[arm["strategy"]].place == 0]
    found = max(by_strategy or choosing, key=lambda arm: accuracy[arm["arm"]].value, default=None)
    return None if found is None else found["arm"]


def describe_choice(
    result: Mapping[str, Any], arm: Mapping[str, Any], banks: Mapping[str, Path], thumbnails: Thumbnails
) -> Choice:
    """Describe the choice of an arm for the first seed.

    Args:
        result: The results of a recipe.
        arm: One of its arms.
        banks: Dataset spec of the target and of each source → the file of its bank.
        thumbnails: Where pictures come from.

    Raises:
        InputError: A bank is not there, or lacks a chosen class.
    """
    opened = {name: FeatureBank.open(path) for name, path in banks.items()}
    target = opened.pop(result["target"])
    least = result["recipe"].get("select", {}).get("min_count", 0)
    pool = SourcePool.of([target], list(opened.values()), arm["geometry"], least)
    rows = result["selections"][arm["arm"]]
    chosen = _positions(pool, rows)
    marked = np.zeros(len(pool), dtype=bool)
    marked[chosen] = True
    places, shares = most_serving(pool.points, pool.metric.points(target.means), marked, TOP)
    points = class_map(pool, target, chosen)
    curve = None
    by_strategy = "influence" not in result["recipe"].get("select", {})  # else a table ordered the classes
    if by_strategy and len(pool) * len(target.classes) <= _PAIRS:
        curve = curves_from(pool, [target], STRATEGIES[arm["strategy"]], seed=result["recipe"]["seeds"][0])[0]
    charts: dict[str, Mapping[str, Any]] = {"map": map_chart(points)}
    if curve is not None:
        charts["curve"] = curve_chart(curve, [row["class"] for row in rows], len(rows))
    return Choice(
        arm=arm["arm"],
        classes=len(rows),
        served=_served(pool, target, places, shares, thumbnails),
        named=[
            (target.classes[j], pool.classes[places[j, 0]], f"{100 * shares[j, 0]:.1f}")
            for j in range(min(PICTURED, len(target.classes)), min(PICTURED + NAMED, len(target.classes)))
        ],
        left=max(0, len(target.classes) - PICTURED - NAMED),
        map_picture=picture(_map_alt(points), map_plot, points),
        curve_picture=None if curve is None else picture(_knee(curve, len(rows)), curve_plot, curve, len(rows)),
        charts=charts,
        knee="" if curve is None else _knee(curve, len(rows)),
    )


def _positions(pool: SourcePool, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    origin = zip(pool.bank, pool.classes, strict=True)
    place = {(pool.banks[bank].name, name): i for i, (bank, name) in enumerate(origin)}
    try:
        return np.array([place[row["source"], row["class"]] for row in rows], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"the banks have no class {error.args[0][1]!r} of {error.args[0][0]}") from error


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


def _knee(curve: SelectionCurve, chosen: int) -> str:
    """The curve in a sentence."""
    what = "of the target is served by" if curve.share is not None else "of the gain in distance comes from"
    text = f"{100 * curve.covered[curve.knee - 1]:.0f} % {what} the first {curve.knee:,} classes, the knee of the curve"
    if 0 < chosen <= len(curve.covered) and chosen != curve.knee:
        text += f", and {100 * curve.covered[chosen - 1]:.0f} % by the {chosen:,} that were chosen"
    return f"{text}. {curve.available:,} classes are available."


def _map_alt(points: Sequence[Mapping[str, Any]]) -> str:
    kinds = [point["kind"] for point in points]
    return (
        f"Map of {kinds.count('target')} target classes, {kinds.count('chosen')} chosen and {kinds.count('source')} "
        f"other source classes"
    )
