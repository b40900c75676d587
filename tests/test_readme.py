"""The README has the figures of the files that it names beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: File that a row of the table of evidence names → the figures of its rows.
EVIDENCE: dict[str, list[str]] = {}
for line in README[README.index("| what | figure |") :].splitlines()[2:]:
    if not line.startswith("|"):
        break
    _, _, figure, file, _ = (cell.strip() for cell in line.split("|"))
    EVIDENCE.setdefault(file.strip("`"), []).append(figure)


def recorded(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def percent(share: float, places: int = 1) -> str:
    return f"{100 * share:.{places}f}"


def selection_quality() -> list[str]:
    columns = recorded("selection_quality.json")["columns"]

    def precision(column: str, *names: str) -> str:
        (found,) = [row for key, row in columns[column]["recipes"].items() if key.split(" + ") == list(names)]
        return f"{found['mean']:.3f}"

    default, paper = ("sqrt-whitened", "mutual-proximity"), ("euclidean", "nearest")
    return [
        f"{precision('cifar100', *default)}, the paper's ranking {precision('cifar100', *paper)}",
        f"{precision('moco', *default)}, the paper's {precision('moco', *paper)}",
    ]


def selection_pays() -> list[str]:
    pools = recorded("selection_pays.json")["pools"]
    arm, whole = (pools[name]["labelled"]["few"]["default, subset"] for name in ("lake", "whole-lake-longer"))
    means = {}
    for name, of in (("lake", arm), ("whole", whole)):
        families = [of[key]["of_families"] for key in ("less_random", "less_all")]
        assert all(len(one["families"]) == 6 for one in families)
        means[name] = ", ".join(f"{one['mean']:+.1f} ± {one['error']:.1f}" for one in families)
    birds = ", ".join(f"{arm[key]['targets']['birds']:+.1f}" for key in ("less_random", "less_all"))
    larger = f"in the same lake without its tail, with four times the images (one seed) {means['whole']}"
    assert whole["seeds"] == [1]
    return [f"mean of six kinds of targets {means['lake']}; 50 birds {birds}; {larger}"]


def domain_ranking() -> list[str]:
    right = recorded("domain_ranking.json")["right"]["sqrt-whitened"]
    broad = right[next(iter(right))]
    ours, emd = (percent(broad[name]["right"], 0) for name in ("nearest-class", "emd"))
    return [f"in {ours} % of cases, by Earth Mover's Distance in {emd} %"]


def emd() -> list[str]:
    largest = recorded("emd.json")["semi-dual"]["rows"][-2:]
    assert (largest[0]["sources"], largest[0]["targets"]) == (1_000_000, 1_000)
    seconds, gib = (max(row[key] for row in largest) for key in ("seconds", "peak_gib"))
    return [f"{round(seconds, -1):.0f} s, {gib:.0f} GiB"]


def selection_scale() -> list[str]:
    row = recorded("selection_scale.json")["rows"][-1]
    assert (row["sources"], row["targets"]) == (1_000_000, 1_000)
    return [f"{row['seconds']:.0f} s, {row['peak_gib']:.0f} GiB"]


def extraction() -> list[str]:
    found = recorded("extract-efficientnet_lite0-cpu.json")
    return [f"{found['ours_to_naive']:.1f} times the rate of a plain DataLoader loop"]


def fine_grained() -> list[str]:
    found = recorded("fine_grained.json")
    linear, default = found["linear"], found["default"]
    first = f"{percent(linear['top1'])} % after {linear['seconds']:.0f} s"
    return [f"{first}, {percent(default['top1'])} % after {default['seconds'] / 60:.0f} min"]


def long_tail() -> list[str]:
    published = {"softmax": 61.68, "ldam-drw": 57.96}  # Cao et al. 2019, table 2
    errors = {path.stem: percent(1 - recorded(f"long-tail/{path.name}")["metrics"]["top1"], 2) for path in FILES}
    softmax, ldam = (f"{errors[loss]} ({figure})" for loss, figure in published.items())
    softmax = softmax.replace("(", "(published ")
    return [f"{softmax}, {ldam}, {errors['best']}"]


FILES = tuple((RESULTS / "long-tail").glob("*.json"))


def unlabelled() -> list[str]:
    found = recorded("unlabelled.json")["duplicates"]["threshold 0.5"]
    whole = sum(found["found"][kind] for kind in ("same", "jpeg 95", "jpeg 60", "half and back", "mirror"))
    assert found["false_alarms"] == 0
    return [f"{whole:,} of 1,000, no false alarm"]


def faults() -> list[str]:
    found = recorded("faults.json")
    return [f"{found['survived']} of {found['tried']}; silently wrong: {found['silently wrong']}"]


def demo() -> list[str]:
    return [accuracies("demo.json", "toolkit", "random", "all")]


def mixed_lake() -> list[str]:
    return [accuracies("mixed-lake-to-cub.json", "default", "random", "all")]


def accuracies(file: str, *names: str) -> str:
    arms = {arm["arm"]: arm for arm in recorded(file)["arms"]}
    return ", ".join(f"{percent(arms[name]['top1_mean'])} ± {percent(arms[name]['top1_std'])} %" for name in names)


ROWS: dict[str, Callable[[], list[str]]] = {
    "selection_quality.json": selection_quality,
    "selection_pays.json": selection_pays,
    "domain_ranking.json": domain_ranking,
    "emd.json": emd,
    "selection_scale.json": selection_scale,
    "extract-efficientnet_lite0-cpu.json": extraction,
    "fine_grained.json": fine_grained,
    "long-tail/": long_tail,
    "unlabelled.json": unlabelled,
    "faults.json": faults,
    "mixed-lake-to-cub.json": mixed_lake,
    "demo.json": demo,
}


def test_every_row_of_the_evidence_is_compared() -> None:
    assert list(EVIDENCE) == list(ROWS)


@pytest.mark.parametrize("file", ROWS)
def test_the_evidence_has_the_recorded_figures(file: str) -> None:
    assert EVIDENCE[file] == ROWS[file]()


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 130
