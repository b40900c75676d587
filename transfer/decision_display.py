"""What ``cluster``, ``duplicates``, ``rank`` and ``select`` print for a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from features.infrastructure.errors import as_typed
from similarity import MEASURES, explain
from transfer.screen import console, show_next, show_table

#: A dataset spec of more characters would be folded in a table: the table then holds its number.
_LONG = 24


def show_cluster(config: Any, result: Any) -> None:
    found = result.to_json()
    empty = f", {found['empty']} more were left without an image" if found["empty"] else ""
    console.print(
        f"{found['bank']}: {found['clusters']} clusters of {found['largest']} to {found['smallest']} images{empty}; "
        f"mean cosine similarity to the centre {found['cosine']:.4f}\nimages by cluster: {found['dataset']}",
        soft_wrap=True,
    )
    show_next(
        f"transfer select --target TARGET.h5 --source {config.out} --images 10000 --out subset.csv",
        "transfer pretrain --subset subset.csv --backbone resnet50 --out runs/pre",
    )


def show_duplicates(config: Any, result: Any) -> None:
    shown = result.rows[-20:]  # those that may be none
    if shown:
        if len(result.rows) > len(shown):
            console.print(f"the {len(shown)} least alike of {len(result.rows)}, the first to look at:")
        show_table(
            ["image of the source", "copy of", ">cosine"],
            ((row.id, row.target_id, row.cosine) for row in shown),
        )
    console.print(
        f"{len(result.rows)} of {result.images} images are copies by --threshold {result.threshold:.3g} (the next has "
        f"{result.next_cosine:.4f}), listed in {result.out}",
        soft_wrap=True,
    )
    if result.clean_bank is not None:
        console.print(f"bank without them: {result.clean_bank}", soft_wrap=True)
        if result.source.startswith("images:"):
            show_next(f"transfer cluster {result.clean_bank} --out CLUSTERS.h5")
        else:
            show_next(f"transfer select --target TARGET.h5 --source {result.clean_bank} --classes 100 --out subset.csv")
    else:
        show_next(f"transfer extract {shlex.quote(result.source)} --keep-images --out CLEAN.h5    (or --clean-bank)")


def show_rank(config: Any, result: Any) -> None:
    if config.model:
        _zoo(config, result)
        return
    console.print(
        f"target {result.target}, geometry {result.geometry} ({result.geometry_steps})\n"
        f"similarity = exp(−{result.gamma:.4g}·EMD); 0.5 is {result.half}\n",
        soft_wrap=True,
    )
    numbered = max(len(domain.source) for domain in result.domains) > _LONG
    show_table(
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
        console.print(f"solver semi-dual, for sets of this size: a distance may be too large by {far}")
    if config.bootstrap and all(domain.emd_interval is None for domain in result.domains):
        console.print("no intervals: the sets are too large to resample, or the sources too few classes")
    for domain in result.domains:
        if domain.classes == 1:
            console.print(
                f"{domain.source} is one class, of which the mean alone counts; transfer cluster makes classes of "
                f"images without labels",
                soft_wrap=True,
            )
    taken = [domain.measures for domain in result.domains]
    if taken[0]:
        heads = (
            [f"source {n}" for n in range(1, len(taken) + 1)]
            if numbered
            else [domain.source for domain in result.domains]
        )
        console.print("\nother measures of transferability:")
        _measures(heads, taken, result.to_json()["unmeasured"])
    if config.explain is not None:
        _explanation(config, result)
    banks, classes = " ".join(config.source), min(100, sum(domain.classes for domain in result.domains))
    show_next(f"transfer select --target {config.target} --source {banks} --classes {classes} --out subset.csv")


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
    if not config.measures or "all" in config.measures:
        others = ", ".join(name for name, one in MEASURES.items() if one.compares == "sources")
        console.print(f"not taken: {others}: tell sources apart, not models", soft_wrap=True)
    if tested:
        console.print("\ntest top-1: of a linear probe; agreement: Kendall's weighted τ of the measure with it")
    best = result.candidates[0].model
    init, _, weights = best.partition(":")
    option = f" --weights {weights}" if weights else ""
    test = f" --test {shlex.quote(config.test)}" if config.test else ""
    show_next(f"transfer finetune {shlex.quote(result.target)} --init {init}{option}{test} --out runs/NAME")


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
        rows.append((name, *(() if not agreement else (None,)), *(f"{value:.5g} " for value in values), "higher"))
    tau_head = [">agreement"] if agreement else []
    show_table(["measure", *tau_head, *(f">{head}" for head in heads), "better"], rows)
    if any("*" in cell for row in rows for cell in row[1:-1] if cell):
        console.print("* the best of its row")
    for reason in dict.fromkeys(reasons.values()):
        names = ", ".join(name for name, why in reasons.items() if why == reason)
        console.print(f"not taken: {names}: {as_typed(reason)}", soft_wrap=True)


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.4g}–{ends[1]:.4g}"


def _explanation(config: Any, result: Any) -> None:
    """The costliest target classes of the best domain, and what serves them."""
    best = result.domains[0]
    rows = explain(best, best.class_names, result.target_classes, top=3)
    shown = rows[:12]
    console.print(f"\nwhat {best.source} does for {result.target}, the costliest classes first:", soft_wrap=True)
    show_table(
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


def show_select(config: Any, result: Any) -> None:
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
    show_table(columns, zip(*columns.values(), strict=True))
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
        show_next("the same with --out subset.csv, to pre-train on these classes")
    else:
        show_next(f"transfer pretrain --subset {config.out} --backbone resnet50 --loss cb-softmax --out runs/pre")


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
