"""The interactive parts of a page, in the language of Vega-Lite: a map, a curve and a confusion matrix.

They show on a page what :mod:`transfer.plots` draws on paper, with the names under the pointer. Data stand in them as
data: no name becomes an expression.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from similarity.selection.curve import SelectionCurve
from transfer.plots.choice import COVERED, GAIN, KINDS, NAMED_POINTS, SHARE, name_of
from transfer.plots.labels import Side, sides_of_names
from transfer.plots.style import ACCENT, MAIN

#: Version of the language that the library of the page reads.
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
#: Points of a curve at most.
_POINTS = 500
#: Pixels of the map: its height, the width on the narrowest screen, the margin around its points, the longest name, and
#: a letter of a name.
_HEIGHT, _NARROWEST, _MARGIN, _LONGEST_NAME, _A_LETTER = 380, 350, 20, 130, 6.2


@functools.cache
def library() -> str:
    """The scripts of Vega, Vega-Lite and vega-embed, about 0.9 MB; they load nothing, and need no ``eval``."""
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]


def map_chart(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The classes of :func:`transfer.class_map.class_map`; a click on a kind in the legend singles it out."""
    kinds = [kind for kind in KINDS if any(point["kind"] == kind for point in points)]
    names = {kind: name_of(points, kind) for kind in kinds}
    shapes = {"source": "circle", "chosen": "square", "target": "triangle-up"}
    order = list(KINDS)  # target classes are drawn last, on top
    ordered = sorted(points, key=lambda point: order.index(point["kind"]))
    rows = [point | {"kind": names[point["kind"]], "area": 2.5 * KINDS[point["kind"]][2]} for point in ordered]
    domain = list(names.values())
    kind = {"field": "kind", "type": "nominal"}
    axis = {"type": "quantitative", "axis": None, "scale": {"zero": False, "nice": False, "padding": _MARGIN}}
    place = {"x": {"field": "x", **axis}, "y": {"field": "y", **axis}}
    marks = {
        "params": [{"name": "shown", "select": {"type": "point", "fields": ["kind"]}, "bind": "legend"}],
        "mark": {"type": "point", "filled": True},
        "encoding": place
        | {
            "color": {
                **kind,
                "scale": {"domain": domain, "range": [KINDS[name][0] for name in kinds]},
                "legend": {"title": None, "orient": "bottom", "direction": "horizontal", "columns": 2},
            },
            "shape": {**kind, "scale": {"domain": domain, "range": [shapes[name] for name in kinds]}},
            "size": {"field": "area", "type": "quantitative", "scale": None, "legend": None},
            "opacity": {"condition": {"param": "shown", "value": 0.85}, "value": 0.08},
            "tooltip": [
                {"field": "class", "title": "class"},
                {"field": "dataset", "title": "dataset"},
                {"field": "images", "title": "images"},
                {"field": "kind", "title": "kind"},
            ],
        },
    }
    return _spec(rows, height=_HEIGHT, layer=[marks, *_names_of_targets(points, place)])


def _names_of_targets(points: Sequence[dict[str, Any]], place: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A layer of names for each side on which some stand: few target classes have their names beside them."""
    targets = [point for point in points if point["kind"] == "target"]
    if len(targets) > NAMED_POINTS:
        return []
    size = np.array([_NARROWEST, _HEIGHT]) - 2 * _MARGIN
    widths = [min(_LONGEST_NAME, _A_LETTER * len(str(one["class"]))) for one in targets]
    layers: dict[Side, list[dict[str, Any]]] = {}
    for one, side in zip(targets, sides_of_names(points, targets, size, widths, height=12.0), strict=True):
        if side is not None:
            layers.setdefault(side, []).append({key: one[key] for key in ("x", "y", "class")})
    return [
        {
            "data": {"values": named},
            "mark": {
                "type": "text",
                "align": "left" if side.across > 0 else "right",
                "baseline": "middle",
                "dx": 7 * side.across,
                "dy": -side.up,
                "limit": _LONGEST_NAME,
            },
            "encoding": {**place, "text": {"field": "class"}},
        }
        for side, named in layers.items()
    ]


def curve_chart(curve: SelectionCurve, classes: Sequence[str], chosen: int) -> dict[str, Any]:
    """What each number of classes covers.

    Args:
        curve: The curve.
        classes: (K,) class names in the order taken; empty if they are not known.
        chosen: Number of classes to mark; 0 for none.
    """
    size = len(curve.distance)
    kept = np.unique(np.concatenate([np.linspace(0, size - 1, min(size, _POINTS)).astype(int), [curve.knee - 1]]))
    rows = [
        {
            "classes": int(k) + 1,
            "added": classes[k] if k < len(classes) else "",
            "images": None if curve.images is None else int(curve.images[k]),
            "covered": round(100 * float(values[k]), 2),
            "of": name,
        }
        for name, values in ((SHARE, curve.share), (GAIN, curve.gain))
        if values is not None
        for k in kept
    ]
    drawn = [name for name in (SHARE, GAIN) if any(row["of"] == name for row in rows)]
    place = {"field": "classes", "type": "quantitative", "title": "chosen classes", "axis": {"tickMinStep": 1}}
    height = {"field": "covered", "type": "quantitative", "title": COVERED}
    series = {
        "field": "of",
        "type": "nominal",
        "scale": {"domain": drawn, "range": [{SHARE: ACCENT}.get(name, MAIN) for name in drawn]},
        "legend": {
            "title": None,
            "orient": "bottom",
            "symbolType": "stroke",
            "symbolStrokeWidth": 3,
            "symbolOpacity": 1,
        },
    }
    marks = [{"classes": curve.knee, "text": f"knee: {curve.knee:,}", "at": 250}]
    if 0 < chosen <= size and chosen != curve.knee:
        marks.append({"classes": chosen, "text": f"chosen: {chosen:,}", "at": 234})
    tooltip = [
        {"field": "classes", "title": "classes"},
        {"field": "added", "title": "the last of them"},
        {"field": "images", "title": "images"},
        {"field": "covered", "title": "covered, %"},
        {"field": "of", "title": "by"},
    ]
    line: dict[str, Any] = {
        "mark": {"type": "line", "point": {"size": 40, "opacity": 1 if len(kept) <= 40 else 0}},
        "encoding": {"x": place, "y": height, "color": series},
    }
    line["encoding"]["strokeDash"] = {"field": "of", "type": "nominal", "scale": {"domain": drawn}}
    line["encoding"]["tooltip"] = tooltip
    rule = {"data": {"values": marks}, "mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"x": place}}
    text = {
        "data": {"values": marks},
        "mark": {"type": "text", "align": "left", "dx": 4, "baseline": "bottom"},
        "encoding": {
            "x": place,
            "y": {"field": "at", "type": "quantitative", "scale": None},
            "text": {"field": "text"},
        },
    }
    return _spec(rows, height=260, layer=[line, rule, text])


def confusion_chart(cells: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """The cells of a confusion matrix that hold images: ``true``, ``predicted``, ``images`` and ``share``, 0 to 1."""
    rows = [dict(cell) | {"share": round(100 * cell["share"], 1)} for cell in cells]
    labels = {"labelLimit": 110, "labelOverlap": True, "labelFontSize": 10 if len(classes) <= 30 else 8}
    axis = {"type": "nominal", "sort": list(classes), "scale": {"domain": list(classes)}}
    return _spec(
        rows,
        height=len(classes) * (22 if len(classes) <= 15 else 14),
        view={"fill": "#f6f7f9"},  # the largest shares are dark
        mark={"type": "rect"},
        encoding={
            "x": {"field": "predicted", "title": "predicted class", "axis": labels | {"labelAngle": -90}, **axis},
            "y": {"field": "true", "title": "true class", "axis": labels, **axis},
            "color": {
                "field": "share",
                "type": "quantitative",
                "title": "share of the true class, %",
                "scale": {"domain": [0, 100], "scheme": "cividis", "reverse": True},
                "legend": {"orient": "bottom", "direction": "horizontal"},
            },
            "tooltip": [
                {"field": "true", "title": "true class"},
                {"field": "predicted", "title": "predicted"},
                {"field": "images", "title": "images"},
                {"field": "share", "title": "share, %"},
            ],
        },
    )


def _spec(rows: Sequence[Mapping[str, Any]], **parts: Any) -> dict[str, Any]:
    """A chart of the width of its place, which shows the rows of a table."""
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(rows)},
        **parts,
    }
