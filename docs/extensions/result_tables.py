"""The tables of the benchmarks' page, each from the files that a benchmark has recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import choice_tables
import plan_tables
from recorded import RESULTS, plus_minus, recorded, written

Rows = Iterable[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        file: The file of results, without its ending, without which there is no table.
        head: The heads of the columns.
        rows: Makes the rows of cells.
    """

    file: str
    head: tuple[str, ...]
    rows: Callable[[], Rows]

    def markdown(self) -> str:
        """The table as Markdown; all columns but the first are aligned to the right."""
        marks = [":--", *["--:"] * (len(self.head) - 1)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.head, marks, *self.rows()))


#: What an arm of an experiment is called.
ARMS = {
    "scratch": "nothing: from scratch",
    "all": "all classes",
    "random": "as many at random",
    "paper": "the paper's choice",
    "toolkit": "the default's choice",
    "default": "the default's choice",
    "continued": "all classes, then the default's choice",
    "coverage": "`--strategy coverage`",
    "local-scaling": "`local-scaling`, the default then",
    "nearest": "`nearest` in the default geometry",
}


def _arms(name: str) -> Rows:
    for arm in recorded(name)["arms"]:
        deviation = arm["top1_std"] and 100 * arm["top1_std"]
        yield ARMS[arm["arm"]], plus_minus(100 * arm["top1_mean"], deviation)


#: Column of ``selection_quality.json`` → its head; those of pairs of classes, then those of other targets.
PAIRS = {
    "cifar100": "CIFAR-100",
    "cifar100_224": "at 224 px",
    "tiny_imagenet": "Tiny ImageNet",
    "cifar100_by_tiny_imagenet": "CIFAR-100 from Tiny ImageNet",
    "cub": "CUB",
    "cub_other": "CUB, other species",
}
OTHERS = {
    "by_tiny_imagenet_1": "1 class",
    "by_tiny_imagenet_5": "5",
    "by_tiny_imagenet_10": "10",
    "by_tiny_imagenet_50": "50",
    "cub_1": "1 species",
    "cub_other_1": "1 other species",
    "supervised": "ImageNet, supervised",
    "moco": "MoCo",
}
#: Rows of both tables: geometry and strategy.
CHOICES = {
    "the paper: `euclidean`, `nearest`": "euclidean + nearest",
    "`nearest`": "sqrt-whitened + nearest",
    "`nearest-class`": "sqrt-whitened + nearest-class",
    "`coverage`": "sqrt-whitened + coverage",
    "`kernel-density`": "sqrt-whitened + kernel-density",
    "`importance`": "sqrt-whitened + importance",
    "`unbalanced-transport`": "sqrt-whitened + unbalanced-transport",
    "`local-scaling`": "sqrt-whitened + local-scaling",
    "**the default: `mutual-proximity`**": "sqrt-whitened + mutual-proximity",
}


def _precisions(columns: Iterable[str], with_error: bool) -> Rows:
    found = recorded("selection_quality")["columns"]
    for head, recipe in CHOICES.items():
        rows = (found[column]["recipes"][recipe] for column in columns)
        yield head, *(plus_minus(row["mean"], row["standard_error"] if with_error else None, ".3f") for row in rows)


def _thinned() -> Rows:
    for name, row in recorded("selection_quality")["columns"]["thinned"]["strategies"].items():
        if name != "random":
            yield f"`{name}`", written(row["spearman"], ".2f"), written(row["few_move_down"], "+.0%")


def _geometries() -> Rows:
    found = recorded("selection_quality")["columns"]
    for geometry in ("euclidean", "cosine", "centred", "whitened", "sqrt-whitened"):
        rows = (found[column]["recipes"] for column in PAIRS)
        recipes = [f"{geometry} + nearest", f"{geometry} + mutual-proximity"]
        means = [[row[recipe]["mean"] for recipe in recipes] for row in rows]
        yield f"`{geometry}`", *(f"{one:.3f}\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}{other:.3f}" for one, other in means)


def _domains() -> Rows:
    cases = {"broad": "it is the broader one", "equal": "both are equally broad", "narrow": "it is narrow"}
    for geometry, right in recorded("domain_ranking")["right"].items():
        for case, words in cases.items():
            shares = (right[case][name] for name in ("nearest-class", "emd"))
            yield (
                f"`{geometry}`",
                words,
                *(plus_minus(100 * s["right"], 100 * s["standard_error"], ".0f") for s in shares),
            )


def _semi_dual() -> Rows:
    for row in recorded("emd")["semi-dual"]["rows"]:
        exact = written(row["pot_seconds"], ".1f") if "pot_seconds" in row else "–"
        size = f"{row['sources']:,} × {row['targets']:,}, {row['points']}"
        yield size, written(row["seconds"], ".1f"), exact, written(row["gap"], ".3%"), written(row["peak_gib"], ".1f")


def _solvers() -> Rows:
    found = recorded("emd")
    for name, words in (
        ("ours, euclidean", "`similarity.emd`, raw means"),
        ("ours, sqrt-whitened", "`similarity.emd`, the default geometry"),
        ("POT, euclidean", "`ot.emd2`, raw means"),
    ):
        yield words, written(found[name]["seconds"], ".1f")


def _selection_scale() -> Rows:
    for row in recorded("selection_scale")["rows"]:
        yield (
            f"{row['sources']:,} × {row['targets']:,}",
            written(row["seconds"], ".1f"),
            written(row["peak_gib"], ".1f"),
        )


def _short() -> Rows:
    for name, arm in recorded("selection_pays-short")["arms"].items():
        if "less_random" in arm:
            difference = plus_minus(arm["less_random"], arm["error_pairs"], "+.1f")
            yield ARMS[name], written(arm["top1"], ".1f"), difference, f"{arm['groups_above']} of {arm['groups']}"


def _zoo() -> Rows:
    zoo = recorded("measures")["zoo"]
    names = {
        "efficientnet_lite0": "EfficientNet-Lite0, ImageNet weights",
        "efficientnet_lite0:none": "the same, random weights",
    }
    for row in zoo["models"]:
        model = row["model"].rpartition("/")[2]
        values = (row["measures"][name] for name in MEASURED)
        yield names.get(model, f"ResNet-8, {model}"), written(row["test_top1"], ".1%"), *map(_significant, values)
    agreement = (written(zoo["agreement"][name], ".2f") for name in MEASURED)
    yield "agreement with the accuracies (weighted τ)", "", *agreement


def _significant(value: float | None) -> str:
    """A value of a measure to four digits; a dash where it could not be taken."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value > 1e4 else written(value, ".4g")


MEASURED = ("linear-probe", "knn", "logme", "h-score", "transrate", "gbc", "leep", "nce", "parameters")


def _copies() -> Rows:
    found = recorded("unlabelled")["duplicates"]
    there = found["threshold 0.5"]
    for kind, planted in found["copies"].items():
        if kind != "real":
            plain = there["plain_cosine"]["found"][kind]
            yield kind, str(planted), str(there["found"][kind]), str(plain)


def _related() -> Rows:
    for kind, targets in recorded("unlabelled")["share_of_related_images"].items():
        yield kind, *(plus_minus(100 * row["mean"], 100 * row["standard_error"]) for row in targets.values())


#: Row of ``long-tail/``, its name, and the published top-1 error in percent.
LONG_TAIL: dict[str, tuple[str, float | None]] = {
    "softmax": ("softmax", 61.68),
    "cb-sigmoid": ("class-balanced sigmoid, β = 0.9", None),
    "cb-softmax": ("class-balanced softmax, β = 0.9", None),
    "cb-focal": ("class-balanced focal, β = 0.9, γ = 1", 60.40),
    "balanced-softmax": ("balanced softmax", 57.01),
    "ldam-drw": ("LDAM-DRW", 57.96),
    "softmax-ncm": ("softmax's features, `--method ncm`", None),
    "softmax-tau": ("softmax's, `--method tau --tau 1`", 59.04),
    "softmax-lws": ("softmax's, `--method lws`", 59.84),
    "softmax-crt": ("softmax's, `--method crt`", 59.74),
    "softmax-crt-augmented": ("softmax's, cRT on augmented images", 59.74),
    "softmax-logit-adjusted": ("softmax's, `--method logit-adjusted`", None),
    "balanced-softmax-crt": ("balanced softmax's, `--method crt`", None),
    "ldam-drw-crt": ("LDAM-DRW's, `--method crt`", None),
    "balanced-softmax-wd5e-4": ("balanced softmax, weight decay 0.0005", None),
    "balanced-softmax-wd5e-4-crt": ("its features, `--method crt`", None),
    "best": ("`recipes/training/cifar-lt-best.yaml`", None),
}


def _long_tail() -> Rows:
    for name, (words, published) in LONG_TAIL.items():
        found = json.loads((RESULTS / "long-tail" / f"{name}.json").read_text(encoding="utf-8"))["metrics"]
        shares = (written(100 * found[group], ".1f") for group in ("many", "medium", "few"))
        yield words, written(100 - 100 * found["top1"], ".2f"), "" if published is None else f"{published:.2f}", *shares


def _coverage() -> Rows:
    found: dict[tuple[str, str, int], list[float]] = {}
    for row in recorded("interval_coverage")["simulated"]:
        found.setdefault((row["distance"], row["geometry"], row["images"]), []).append(row["held"])
    sizes = sorted({images for _, _, images in found})
    for distance, geometry in dict.fromkeys(key[:2] for key in found):
        cells = (found[distance, geometry, images] for images in sizes)
        yield (
            f"`{distance}`, `{geometry}`",
            *(f"{written(sum(of) / len(of), '.0%')} ({written(min(of), '.0%')})" for of in cells),
        )


def _large_lake() -> Rows:
    for row in recorded("large_lake")["steps"]:
        if row["step"] != "target":
            figures = [written(float(row[name]), ".0f") for name in ("seconds", "cpu_seconds")]
            figures.append(written(float(row["peak_gib"]), ".1f"))
            recall = ", ".join(part.replace(" ", ": ") for part in _pairs_of_words(row["recall"]))
            yield f"{int(row['images']):,}", f"`{row['step']}`", *figures, recall, row["false_alarms"]


def _pairs_of_words(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + 2]) for i in range(0, len(words), 2)]


def _of(file: str, rows: Callable[..., Rows], *head: str) -> Table:
    return Table(file, head, rows)


def _faults() -> Rows:
    rows = recorded("faults")["by_fault_and_command"]
    for fault in dict.fromkeys(row["fault"] for row in rows):
        mine = [row for row in rows if row["fault"] == fault]
        counts = [sum(row.get(name, 0) for row in mine) for name in ("tried", "survived", "lost", "silently wrong")]
        yield fault, *map(str, counts), str(len(mine))


#: Every table by name.
TABLES: dict[str, Table] = {
    "faults": _of("faults", _faults, "fault", "tried", "survived", "lost", "silently wrong", "commands"),
    "demo": _of("demo", lambda: _arms("demo"), "pre-trained on", "top-1, %"),
    "cub": _of("mixed-lake-to-cub", lambda: _arms("mixed-lake-to-cub"), "pre-trained on", "top-1, %"),
    "pairs": _of("selection_quality", lambda: _precisions(PAIRS, True), "", *PAIRS.values()),
    "sizes": _of("selection_quality", lambda: _precisions(OTHERS, False), "", *OTHERS.values()),
    "geometries": _of("selection_quality", _geometries, "`nearest` / `mutual-proximity`", *PAIRS.values()),
    "thinned": _of("selection_quality", _thinned, "strategy", "rank correlation", "classes of few images move down by"),
    "domains": _of("domain_ranking", _domains, "geometry", "where", "`nearest-class`, %", "`emd`, %"),
    "solvers": _of("emd", _solvers, "the paper's 21 distances", "seconds"),
    "semi-dual": _of("emd", _semi_dual, "classes, points", "seconds", "`ot.emd2`, seconds", "gap", "GiB"),
    "selection-scale": _of("selection_scale", _selection_scale, "classes", "seconds", "GiB"),
    "short": _of("selection_pays-short", _short, "pre-trained on", "top-1, %", "less random", "targets above it"),
    "zoo": _of("measures", _zoo, "model", "test accuracy", *(f"`{name}`" for name in MEASURED)),
    "copies": _of("unlabelled", _copies, "copies that are", "planted", "found", "by plain cosine"),
    "related": _of("unlabelled", _related, "chosen by, %", "CIFAR-100", "Tiny ImageNet", "CUB"),
    "long-tail": _of(
        "long-tail/softmax", _long_tail, "", "top-1 error, %", "published", "many, %", "medium, %", "few, %"
    ),
    "intervals": _of("interval_coverage", _coverage, "distance, geometry", "5 images a class", "20", "100"),
    "uses": _of("selection_pays", lambda: choice_tables.uses("lake", "few"), *choice_tables.USES),
    "uses-all": _of("selection_pays", lambda: choice_tables.uses("lake", "all"), *choice_tables.USES),
    "uses-hard": _of("selection_pays", lambda: choice_tables.uses("tiny-imagenet", "few"), *choice_tables.USES),
    "changes": _of("selection_pays", choice_tables.changes, *choice_tables.CHANGES),
    "large-lake": _of(
        "large_lake", _large_lake, "images", "step", "seconds", "of processor time", "GiB", "recall", "false alarms"
    ),
    "correlations": _of(
        "similarity_predicts", choice_tables.correlations, "measure", "rank correlation", "95 % interval"
    ),
    "left-out": _of(
        "influence", choice_tables.left_out, "left out", "points of probability over leaving out at random"
    ),
    "influences": _of("influence", choice_tables.influences, "order by", "networks on tenths", "on halves"),
    "plan-inputs": _of("plan", plan_tables.inputs, "input", "value", "source"),
    "plan-space": _of("plan", lambda: plan_tables.computed(plan_tables.SPACE), "bytes", *plan_tables.CASES.values()),
    "plan-time": _of(
        "plan", lambda: plan_tables.computed(plan_tables.TIME), "time and rates", *plan_tables.CASES.values()
    ),
    "plan-loop": _of(
        "plan", plan_tables.loop, "features", "images", "images per second of CPU time", "seconds, busy machine"
    ),
    "gains": _of(
        "measured_gains",
        choice_tables.gains,
        "choices, gain",
        "rank correlation",
        "error, points",
        "intervals hold",
        "of the worst family",
    ),
}
