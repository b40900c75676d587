"""The tables of what a choice gains, and of what predicts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recorded import plus_minus, recorded, written

Rows = Iterator[Sequence[str]]

#: The pools of ``selection_pays.json``, in words: the length of a pre-training in passes over all images of the pool.
POOLS = {
    "lake": "mixed lake, 6 passes",
    "lake-longer": "mixed lake, 23 passes",
    "whole-lake-longer": "whole lake, 6 passes",
    "tiny-imagenet": "hard case, 11 passes",
    "tiny-imagenet-longer": "hard case, 42 passes",
    "tiny-imagenet-larger": "hard case, 11 passes, ResNet-20",
}
#: Pools whose arms have a table of their own.
OWN_TABLES = ("lake", "tiny-imagenet")
LESS = ("less_random", "less_all")
LESS_OF = ("less random", "less all classes", "kinds, less random", "kinds, less all classes")
USES = ("choice, use", "top-1, %", *LESS_OF)
CHANGES = ("source, length", "choice", "targets × seeds", *LESS_OF)


def uses(pool: str, labelled: str) -> Rows:
    found = recorded("selection_pays")["pools"].get(pool, {"labelled": {labelled: {}}})
    for name, arm in found["labelled"][labelled].items():
        if not _is_sized(name):
            top1 = [value for target, value in arm["top1"].items() if target != "birds"]
            yield name, written(sum(top1) / len(top1), ".1f"), *_differences(arm)


def changes() -> Rows:
    """Of the pools that have no table of their own, all arms but those of all and of random classes.

    Of the others, the default's choices of every size. An arm is left out until it is measured on every target.
    """
    for pool, words in POOLS.items():
        found = recorded("selection_pays")["pools"].get(pool, {"labelled": {"few": {}}})
        few = found["labelled"]["few"]
        every = set(few.get("default, subset", {"top1": {}})["top1"]) - {"birds"}  # whose parts are others
        for name, arm in few.items():
            kept = name == "default, subset" or _is_sized(name) or pool not in OWN_TABLES
            if kept and not name.startswith(("all", "random")) and every <= set(arm["top1"]):
                choice, seeds = _in_words(name, found["protocol"]["classes"]), " or ".join(map(str, arm["seeds"]))
                yield words, choice, f"{len(every)} × {seeds}", *_differences(arm)


def _is_sized(name: str) -> bool:
    """Whether an arm has another number of classes than usual, such as ``default-80, subset``."""
    return name.partition(",")[0][-1].isdigit()


def _in_words(name: str, classes: int) -> str:
    """The number of classes of the default's choice, or that it is by hand; and its use, if that is not a subset.

    ``classes`` is the number of a choice that does not name one.
    """
    choice, _, use = name.partition(", ")
    words = "by hand" if choice == "hand" else f"{choice.partition('-')[2] or classes} classes"
    return words if use == "subset" else f"{words}, {use}"


def _differences(arm: dict[str, Any]) -> Iterator[str]:
    """The differences of an arm to random and to all classes, over targets and over kinds of targets."""
    differences = [arm.get(key, {}) for key in LESS]
    for one in [*differences, *(one.get("of_families", {}) for one in differences)]:
        yield plus_minus(one["mean"], one["error"], "+.1f") if one else ""


def correlations() -> Rows:
    found = recorded("similarity_predicts")["within_target_rank_correlation"]
    for name, row in sorted(found.items(), key=lambda entry: -entry[1]["mean"]):
        low, high = (written(end, ".2f") for end in row["interval"])
        yield f"`{name}`", written(row["mean"], ".2f"), f"{low} to {high}"


def left_out() -> Rows:
    for kind, row in recorded("influence")["leave_out"].items():
        yield kind, plus_minus(100 * row["mean"], row["error"] and 100 * row["error"], "+.2f")


def influences() -> Rows:
    found = recorded("influence")
    designs = [found.get(design, {}).get("predicted_by", {}) for design in ("tenths", "halves")]
    for name in dict.fromkeys(name for rows in designs for name in rows):
        cells = [
            plus_minus(rows[name]["mean"], rows[name]["error"], "+.2f") if name in rows else "" for rows in designs
        ]
        yield f"`{name}`", *cells


def gains() -> Rows:
    for name, row in recorded("measured_gains").items():
        if isinstance(row, dict) and "held" in row:
            held = (f"{100 * share:.0f} %" for share in (row["held"], min(row["held_of"].values())))
            yield name, written(row["rank_correlation"], ".2f"), written(row["error"], ".1f"), *held
