"""The tables of what a choice gains, and of what predicts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recorded import plus_minus, recorded, written

Rows = Iterator[Sequence[str]]

#: The pools of ``selection_pays.json``, in words.
POOLS = {
    "lake": "the mixed lake: 51,200 images, ResNet-8",
    "lake-longer": "the mixed lake: 204,800 images, ResNet-8",
    "tiny-imagenet": "the hard case: 51,200 images, ResNet-8",
    "tiny-imagenet-longer": "the hard case: 204,800 images, ResNet-8",
    "tiny-imagenet-larger": "the hard case: 51,200 images, ResNet-20",
}
LESS = ("less_random", "less_all")
USES = ("choice, use", "top-1, %", "less random", "less all classes", "kinds, less random", "kinds, less all classes")


def uses(pool: str, labelled: str) -> Rows:
    found = recorded("selection_pays")["pools"].get(pool, {"labelled": {labelled: {}}})
    for name, arm in found["labelled"][labelled].items():
        top1 = [value for target, value in arm["top1"].items() if target != "birds"]
        differences = [arm.get(key, {}) for key in LESS]
        means = [*differences, *(one.get("of_families", {}) for one in differences)]
        cells = [plus_minus(one["mean"], one["error"], "+.1f") if one else "" for one in means]
        yield name, written(sum(top1) / len(top1), ".1f"), *cells


def changes() -> Rows:
    pools = recorded("selection_pays")["pools"]
    for pool, words in POOLS.items():
        if pool in pools:
            arms, seeds = pools[pool]["labelled"]["few"], len(pools[pool]["seeds"])
            targets = len(set(arms["default, subset"]["less_random"]["targets"]) - {"birds"})  # whose parts are others
            by_hand = arms.get("hand, subset", {}).get("less_random")
            differences = [*(arms["default, subset"][key] for key in LESS), by_hand]
            cells = (plus_minus(one["mean"], one["error"], "+.1f") if one else "" for one in differences)
            yield words, f"{targets} × {seeds}", *cells


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
