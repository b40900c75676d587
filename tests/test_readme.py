"""Sentences and tables of the README have the figures of the files that it names beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLAIN = " ".join(README.split())


def recorded(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def percent(share: float, places: int = 1) -> str:
    return f"{100 * share:.{places}f}"


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the first table below a text, without its head."""
    lines = README[README.index(heading) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = lines[first : next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def extraction() -> list[str]:
    found = recorded("extract-efficientnet_lite0-cpu")
    return [
        f"at {found['ours_to_naive']:.1f} times the rate",
        f"{percent(found['ours_to_bound'], 0)} % of what decoding",
    ]


def transport() -> list[str]:
    found = recorded("emd")
    first, largest = found["semi-dual"]["rows"][0], found["semi-dual"]["rows"][-2:]
    assert (first["sources"], first["targets"], largest[0]["sources"]) == (20_000, 1_000, 1_000_000)
    assert 0.2 < first["ours / POT"] < 0.3  # a quarter
    seconds, gib = (max(row[key] for row in largest) for key in ("seconds", "peak_gib"))
    return [
        f"distances at its scale take {found['ours, euclidean']['seconds']:.0f} s",
        f"20,000 × 1,000 classes in {first['seconds']:.1f} s, a quarter of the time of `ot.emd2`",
        f"a million × 1,000 in {round(seconds, -1):.0f} s and {gib:.0f} GiB",
    ]


def scale() -> list[str]:
    row = recorded("selection_scale")["rows"][-1]
    assert (row["sources"], row["targets"]) == (1_000_000, 1_000)
    return [f"takes {row['seconds']:.0f} s and {row['peak_gib']:.0f} GiB, from opening the banks"]


def domains() -> list[str]:
    right = recorded("domain_ranking")["right"]["sqrt-whitened"]
    shares = [percent(right[case][name]["right"], 0) for case in right for name in ("nearest-class", "emd")]
    broad, broad_emd, equal, equal_emd, narrow, narrow_emd = shares
    return [
        f"in {broad} % of the cases by the first distance and in {broad_emd} % by the second",
        f"in {equal} % and {equal_emd} % where both are equally broad, and in {narrow} % and {narrow_emd} % where",
    ]


def unlabelled() -> list[str]:
    found = recorded("unlabelled")
    copies = found["duplicates"]["threshold 0.5"]["found"]
    whole = sum(copies[kind] for kind in ("same", "jpeg 95", "jpeg 60", "half and back", "mirror"))
    related = [
        [percent(row["mean"], 0) for row in found["share_of_related_images"][kind].values()]
        for kind in ("clusters", "true classes", "by chance")
    ]
    low, high = (f"{min(shares, key=int)} to {max(shares, key=int)} %" for shares in related[:2])
    assert max(map(int, related[2])) <= 2 and found["duplicates"]["threshold 0.5"]["false_alarms"] == 0
    return [
        f"finds all {whole:,} planted copies",
        f"{copies['crop 5 %']} of 200 that are cropped and {copies['crop, half, jpeg 75']} of 200 that are cropped, ",
        f"of its {found['lake']['real']:,} real images {low} are related to the target, {high} with true labels",
    ]


def fine_grained() -> list[str]:
    found = recorded("fine_grained")
    linear, published, default = found["linear"], found["linear, published crop"], found["default"]
    return [
        f"is right on {percent(linear['top1'])} % of the {linear['images']:,} test images after {linear['seconds']} "
        f"seconds ({percent(published['top1'])} % with the published crop)",
        f"on {percent(default['top1'])} % after {default['seconds'] / 60:.0f} minutes of two cores",
    ]


def training() -> list[str]:
    ratios = recorded("train-resnet32")["ratios"]
    plain, augmented = (percent(ratios[name], 0) for name in ("ours / bare", "ours, crop-flip / bare"))
    return [
        f"trains at {plain} % of the rate of a bare PyTorch loop",
        f"at {augmented} % with augmentation, and {ratios['ours / naive']:.1f} times as fast as a plain float32 loop",
    ]


def thinned() -> list[str]:
    rows = recorded("selection_quality")["columns"]["thinned"]["strategies"]
    move = {name: percent(abs(row["few_move_down"]), 0) for name, row in rows.items()}
    assert rows["local-scaling"]["few_move_down"] < 0
    return [
        f"correlation of {rows['mutual-proximity']['spearman']:.2f} with that of the full one",
        f"move down by {move['mutual-proximity']} % of the pool (`nearest`: {move['nearest']} %; local scaling moves "
        f"them up by {move['local-scaling']} %)",
    ]


def smaller_experiment() -> list[str]:
    arms = {arm["arm"]: percent(arm["top1_mean"]) for arm in recorded("tiny-imagenet-to-cub-three-arms")["arms"]}
    return [f"scratch {arms['scratch']}, random {arms['random']}, toolkit {arms['toolkit']}"]


SENTENCES: list[Callable[[], list[str]]] = [
    extraction,
    transport,
    scale,
    domains,
    unlabelled,
    fine_grained,
    training,
    thinned,
    smaller_experiment,
]


@pytest.mark.parametrize("of_file", SENTENCES, ids=lambda of_file: of_file.__name__)
def test_a_sentence_has_the_recorded_figures(of_file: Callable[[], list[str]]) -> None:
    for sentence in of_file():
        assert sentence in PLAIN


def test_the_demo_has_the_recorded_arms() -> None:
    arms = [f"{percent(arm['top1_mean'])} ± {percent(arm['top1_std'])}" for arm in recorded("demo")["arms"]]
    assert [row[1] for row in rows_below("| pre-trained on | top-1 on handwritten digits")] == arms


def test_the_experiment_has_the_recorded_arms() -> None:
    recorded_arms = {arm["arm"]: percent(arm["top1_mean"]) for arm in recorded("tiny-imagenet-to-cub")["arms"]}
    shown = [row[1] for row in rows_below("| pre-trained on | top-1, % |")]
    assert shown == [recorded_arms[name] for name in ("scratch", "random", "all", "paper", "toolkit")]


def test_the_long_tail_has_the_recorded_errors() -> None:
    files = {path.stem: json.loads(path.read_text())["metrics"] for path in (RESULTS / "long-tail").glob("*.json")}
    known = {
        (percent(1 - found["top1"], 2), *(percent(found[group]) for group in ("many", "medium", "few")))
        for found in files.values()
    }
    rows = rows_below("| | top-1 error, % | published")
    assert len(rows) == len(files)
    for row in rows:
        assert (row[1], *row[3:]) in known, row


GEOMETRY = "sqrt-whitened"


def test_the_tables_of_related_classes_have_the_recorded_precisions() -> None:
    columns = recorded("selection_quality")["columns"]
    small = ["cifar100", "cifar100_224", "tiny_imagenet", "cifar100_by_tiny_imagenet", "cub"]
    large = [f"by_tiny_imagenet_{n}" for n in (1, 5, 10, 50)] + ["cub_1", "cub_other", "cub_other_1"]
    for heading, names in (
        ("| | CIFAR-100, 20 superclasses", small),
        ("| | 1 class | 5 | 10", [*large, "supervised", "moco"]),
    ):
        for row in rows_below(heading):
            words = re.findall(r"`([\w-]+)`", row[0])
            name = "mutual-proximity" if "default" in row[0] else words[-1] if words else "nearest"
            geometry = "euclidean" if "paper" in row[0] else GEOMETRY
            for shown, column in zip(row[1:], names, strict=True):
                (recipe,) = [r for k, r in columns[column]["recipes"].items() if k.split(" + ") == [geometry, name]]
                expected = f"{recipe['mean']:.3f}"
                if "±" in shown:
                    expected += f" ± {recipe['standard_error']:.3f}"
                assert shown == expected, (row[0], column)
