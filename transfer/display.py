"""What each command prints for a person: a table, and what one would type next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from similarity import MEASURES, explain

# Class names and paths are printed as they are: [a] is no style and :a: no picture.
console = Console(highlight=False, markup=False, emoji=False)
#: A dataset spec of more characters would be folded in a table: the table then holds its number.
_LONG = 24


def show(command: str, config: Any, result: Any) -> None:
    """Print a command's result on standard output."""
    _VIEWS[command](config, result)


def _next(*lines: str) -> None:
    console.print("\nnext:", style="dim")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _extract(config: Any, result: Any) -> None:
    summary = result.to_json()
    parts = [f"{summary['classes']} classes", f"{summary['images']} images"]
    if result.reused:
        parts.append("reused")
    elif result.read:
        parts.append(f"{summary['images_per_second']:,.0f} images/s")
    if summary["skipped"]:
        parts.append(f"{summary['skipped']} unreadable images skipped (transfer inspect {config.out} lists them)")
    console.print(f"{summary['bank']}: {', '.join(parts)}", soft_wrap=True)
    if getattr(config, "shard", None):
        _next(f"transfer merge SHARD.h5 … --out BANK.h5    (all {config.shard.partition('/')[2]} shards)")
    elif getattr(config, "dataset", "").startswith("images:"):
        kept = "" if config.keep_images else "    (from a bank with --keep-images)"
        _next(f"transfer cluster {config.out} --out CLUSTERS.h5{kept}")
    else:
        _next("transfer rank --target TARGET.h5 --source SOURCE.h5 …", f"transfer inspect {config.out}")


def _cluster(config: Any, result: Any) -> None:
    found = result.to_json()
    empty = f", {found['empty']} more were left without an image" if found["empty"] else ""
    console.print(
        f"{found['bank']}: {found['clusters']} clusters of {found['largest']} to {found['smallest']} images{empty}; "
        f"mean cosine similarity to the centre {found['cosine']:.4f}\nimages by cluster: {found['dataset']}",
        soft_wrap=True,
    )
    _next(
        f"transfer select --target TARGET.h5 --source {config.out} --images 10000 --out subset.csv",
        "transfer pretrain --subset subset.csv --backbone resnet50 --out runs/pre",
    )


def _duplicates(config: Any, result: Any) -> None:
    shown = result.rows[:20]
    if shown:
        _table(
            ["image of the source", "copy of", ">cosine"],
            ((row.id, row.target_id, row.cosine) for row in shown),
        )
    if len(result.rows) > len(shown):
        console.print(f"… and {len(result.rows) - len(shown)} more")
    console.print(
        f"{len(result.rows)} of {result.images} images are copies by --threshold {result.threshold:.3g} (the next has "
        f"{result.next_cosine:.4f}), listed in {result.out}",
        soft_wrap=True,
    )
    if result.clean_bank is not None:
        console.print(f"bank without them: {result.clean_bank}", soft_wrap=True)
        _next(f"transfer select --target TARGET.h5 --source {result.clean_bank} --classes 100 --out subset.csv")
    else:
        _next(f"transfer extract {shlex.quote(result.source)} --keep-images --out CLEAN.h5    (or --clean-bank)")


def _rank(config: Any, result: Any) -> None:
    if config.model:
        _zoo(config, result)
        return
    console.print(
        f"target {result.target}, geometry {result.geometry}\n"
        f"similarity = exp(−{result.gamma:.4g}·EMD); 0.5 is {result.half}\n",
        soft_wrap=True,
    )
    numbered = max(len(domain.source) for domain in result.domains) > _LONG
    _table(
        [">source" if numbered else "source", ">EMD", ">(95 %)", ">similarity", ">(95 %)", ">classes", ">images"],
        (
            (
                number if numbered else domain.source,
                domain.emd,
                _interval(domain.emd_interval),
                domain.similarity,
                _interval(domain.interval),
                domain.classes,
                domain.images,
            )
            for number, domain in enumerate(result.domains, start=1)
        ),
    )
    for number, domain in enumerate(result.domains if numbered else (), start=1):
        console.print(f"source {number}: {domain.source}", soft_wrap=True)
    bounded = [domain.transport.gap for domain in result.domains if domain.transport.solver == "semi-dual"]
    if bounded:
        far = f"{max(bounded):.2%}"
        console.print(f"solver semi-dual, for sets of this size: a distance may be too large by {far}; no intervals")
    taken = [domain.measures for domain in result.domains]
    if taken[0]:
        heads = range(1, len(taken) + 1) if numbered else [domain.source for domain in result.domains]
        console.print("\nother measures of transferability:")
        _measures(heads, taken, result.to_json()["unmeasured"])
    if config.explain is not None:
        _explanation(config, result)
    banks, classes = " ".join(config.source), min(100, sum(domain.classes for domain in result.domains))
    _next(f"transfer select --target {config.target} --source {banks} --classes {classes} --out subset.csv")


def _zoo(config: Any, result: Any) -> None:
    console.print(f"models for {result.target}, by {result.by}\n", soft_wrap=True)
    found, agreement = result.to_json(), result.agreement
    tested = {"test top-1": [candidate.top1 for candidate in result.candidates]} if config.test else {}
    names = [candidate.model for candidate in result.candidates]
    numbered = sum(map(len, names)) > 2 * _LONG
    heads = [f"model {number}" for number in range(1, len(names) + 1)] if numbered else names
    _measures(heads, [candidate.measures for candidate in result.candidates], found["unmeasured"], agreement, tested)
    for head, name in zip(heads, names, strict=True) if numbered else ():
        console.print(f"{head}: {name}", soft_wrap=True)
    if tested:
        console.print("\ntest top-1: of a linear probe; agreement: Kendall's weighted τ of the measure with it")
    best = result.candidates[0].model
    init, _, weights = best.partition(":")
    option = f" --weights {weights}" if weights else ""
    _next(f"transfer finetune {shlex.quote(result.target)} --init {init}{option} --out runs/NAME")


def _measures(
    heads: Iterable[Any],
    taken: list[Mapping[str, Any]],
    reasons: Mapping[str, str],
    agreement: Mapping[str, float] | None = None,
    more: Mapping[str, list[Any]] | None = None,
) -> None:
    """A measure a row and a candidate a column, the best value of each row marked; what is missing, and why."""
    rows = []
    for name in taken[0]:
        values = [getattr(one[name], "value", None) for one in taken]
        known = [value for value in values if value is not None]
        if known:
            lower = MEASURES[name].direction == "lower"
            best = (min if lower else max)(known) if len(set(known)) > 1 else None
            cells = ["–" if value is None else f"{value:.5g}{'*' if value == best else ' '}" for value in values]
            tau = () if not agreement else (f"{agreement[name]:.2f}" if name in agreement else None,)
            rows.append((name, *tau, *cells, "lower" if lower else "higher"))
    for name, values in (more or {}).items():
        rows.append((name, *(() if not agreement else (None,)), *(f"{value:.4f} " for value in values), "higher"))
    tau_head = [">agreement"] if agreement else []
    _table(["measure", *tau_head, *(f">{head}" for head in heads), "better"], rows)
    for name, reason in reasons.items():
        console.print(f"{name}: not taken, {reason}", soft_wrap=True)


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.4g}–{ends[1]:.4g}"


def _explanation(config: Any, result: Any) -> None:
    """The costliest target classes of the best domain, and what serves them."""
    best = result.domains[0]
    rows = explain(best, best.class_names, result.target_classes, top=3)
    shown = rows[:12]
    console.print(f"\nwhat {best.source} does for {result.target}, the costliest classes first:", soft_wrap=True)
    _table(
        ["target class", "source class", ">share of it, %", ">distance", ">of the EMD"],
        (
            (
                row.target_class,
                f"({row.folded} more)" if row.folded else row.source_class,
                f"{100 * row.share:.1f}",
                row.distance,
                row.contribution,
            )
            for row in shown
        ),
    )
    if len(rows) > len(shown):
        console.print("…")
    console.print(f"all rows of all sources: {config.explain}", soft_wrap=True)


def _select(config: Any, result: Any) -> None:
    rows = result.subset.rows
    shown = rows[:30]
    score = ">score" if config.strategy == "local-scaling" else ">distance"
    sources = list(dict.fromkeys(row.source for row in rows))
    numbers = {source: number for number, source in enumerate(sources, start=1)}
    columns: dict[str, list[Any]] = {
        ">rank": [row.rank for row in shown],
        "class": [row.class_name for row in shown],
        ">images": [row.count for row in shown],
        score: [row.distance for row in shown],
    }
    if result.stability is not None:
        again = {(row.source, row.class_name): row.share for row in result.stability.classes}
        columns[">chosen again, %"] = [f"{100 * again[row.source, row.class_name]:.0f}" for row in shown]
    if len(sources) > 1:
        columns[">source"] = [numbers[row.source] for row in shown]
    _table(columns, zip(*columns.values(), strict=True))
    for source, number in numbers.items():
        console.print(f"source {number}: {source}" if len(sources) > 1 else f"source: {source}", soft_wrap=True)
    if len(rows) > len(shown):
        console.print(f"… and {len(rows) - len(shown)} more")
    images = sum(row.count for row in rows)
    written = "" if config.out is None else f", written to {config.out}"
    line = f"{len(rows)} classes of {images} images{written}; the less the {score[1:]}, the nearer"
    console.print(line, soft_wrap=True)
    for target in result.subset.provenance["targets"]:
        _budget(config, target)
    for curve in result.curves:
        knee = curve.to_json()
        console.print(
            f"{curve.target}: suggested are {knee['classes']} classes of {knee['images']} images, "
            f"{100 * knee['gain']:.0f} % of the way from the first class alone to all {curve.available}; "
            f"the curve is in {config.curve}",
            soft_wrap=True,
        )
    if result.stability is not None:
        console.print(
            f"{result.stability.replicates} choices from class means drawn again share "
            f"{100 * result.stability.jaccard:.0f} % with this one on average (intersection over union)",
            soft_wrap=True,
        )
    if config.out is None:
        _next("the same with --out subset.csv, to pre-train on these classes")
    else:
        _next(f"transfer pretrain --subset {config.out} --backbone resnet50 --loss cb-softmax --out runs/pre")


def _budget(config: Any, target: Mapping[str, Any]) -> None:
    """What ended a target's choice where two budgets are given, and how near to the best one it is."""
    if config.images is not None and target["chosen"] < target["quota"]:
        console.print(
            f"{target['dataset']}: the budget of {config.images} images ends the choice, number of classes: "
            f"{target['chosen']}",
            soft_wrap=True,
        )
    if "coverage" in target:
        found = target["coverage"]
        console.print(
            f"{target['dataset']}: mean distance to the nearest chosen class {found['distance']:.4f}; no choice of "
            f"{target['chosen']} classes reaches less than {found['bound']:.4f}",
            soft_wrap=True,
        )


def _metrics(figures: Mapping[str, Any]) -> None:
    names = ("top1", "top5", "macro", "many", "medium", "few", "images")
    _table([f">{name}" for name in names], [[figures[name] for name in names]])


def _trained(config: Any, result: Any) -> None:
    if config.test is None:
        console.print("on training images; give --test for a figure that counts")
    _metrics(result.metrics)


def _pretrain(config: Any, result: Any) -> None:
    _trained(config, result)
    _next(f"transfer finetune TARGET@train --init {result.run} --test TARGET@test --out runs/target")


def _finetune(config: Any, result: Any) -> None:
    _trained(config, result)
    _next(f"transfer report {result.run}", f"transfer evaluate {result.run} TARGET@test")


def _evaluate(config: Any, result: Any) -> None:
    figures = result.to_json()
    _metrics(figures)
    console.print(f"\nexpected calibration error {figures['calibration_error']:.4f}")
    if figures["confusions"]:
        console.print("\nmost often taken for another class:")
        _table(
            ["class", "taken for", ">images", ">share, %"],
            (
                (pair["true"], pair["predicted"], pair["images"], f"{100 * pair['share']:.0f}")
                for pair in figures["confusions"]
            ),
        )
    if config.per_class is None:
        _next("the same with --per-class FILE.csv, for every class", f"transfer report {config.run}")
    else:
        console.print(f"every class: {config.per_class}", soft_wrap=True)
        _next(f"transfer report {config.run}")


def _experiment(_: Any, result: Any) -> None:
    content = result.content
    _table(
        ["arm", ">top-1, %", ">deviation", ">runs"],
        (
            (
                arm["arm"],
                f"{100 * arm['top1_mean']:.1f}",
                "–" if arm["top1_std"] is None else f"{100 * arm['top1_std']:.1f}",
                " ".join(f"{100 * run['top1']:.1f}" for run in arm["runs"]),
            )
            for arm in content["arms"]
        ),
    )
    if content["selected"]:
        first = ", ".join(row["class"] for row in content["selected"][:8])
        console.print(f"\nchosen by {content['arms'][-1]['arm']}: {first}, …", soft_wrap=True)
    console.print(f"{content['seconds']:.0f} seconds")
    _next(f"open {content['report']}")


def _report(_: Any, result: Any) -> None:
    console.print(str(result.path))


def _inspect(config: Any, result: Any) -> None:
    if result.kind == "dataset":
        _dataset(config, result.content)
        return
    for name, value in result.content.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        console.print(f"{name}: {text}", soft_wrap=True)


def _dataset(config: Any, content: Mapping[str, Any]) -> None:
    """How long the tail is, what each β makes of it, and what fits."""
    console.print(content["dataset"], soft_wrap=True)
    names = ("classes", "images", "largest", "smallest", "imbalance", "many", "medium", "few")
    _table([f">{name}" for name in names], [[str(content[name]) for name in names]])
    console.print("\nwhat each β makes of the largest and the smallest class (the weights have the mean 1):")
    _table(
        ["β", ">effective number", ">and", ">weight", ">and"],
        (
            (
                f"{row['beta']:.6g}{' (auto)' if row['automatic'] else ''}",
                f"{row['effective_largest']:.1f}",
                f"{row['effective_smallest']:.1f}",
                row["weight_largest"],
                row["weight_smallest"],
            )
            for row in content["betas"]
        ),
    )
    advice = content["advice"]
    console.print(f"\nfits: --loss {advice['loss']} --sampler {advice['sampler']}")
    for reason in advice["reasons"]:
        console.print(f"- {reason}")
    if config.plot is not None:
        console.print(f"plot: {config.plot}", soft_wrap=True)
    _next(
        f"transfer extract {shlex.quote(content['dataset'])} --out BANK.h5",
        f"transfer finetune {shlex.quote(content['dataset'])} --init BACKBONE --loss {advice['loss']} --out runs/NAME",
    )


_VIEWS: dict[str, Callable[[Any, Any], None]] = {
    "extract": _extract,
    "merge": _extract,
    "duplicates": _duplicates,
    "cluster": _cluster,
    "rank": _rank,
    "select": _select,
    "pretrain": _pretrain,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "run": _experiment,
    "demo": _experiment,
    "report": _report,
    "inspect": _inspect,
}
