"""What each command prints for a person: a table, and what one would type next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transfer.decision_display import show_cluster, show_duplicates, show_rank, show_select
from transfer.screen import console, show_next, show_table


def show(command: str, config: Any, result: Any) -> None:
    """Print a command's result on standard output."""
    _VIEWS[command](config, result)


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
        show_next(f"transfer merge SHARD.h5 … --out BANK.h5    (all {config.shard.partition('/')[2]} shards)")
    elif getattr(config, "dataset", "").startswith("images:"):
        kept = "" if config.keep_images else "    (from a bank with --keep-images)"
        show_next(f"transfer cluster {config.out} --out CLUSTERS.h5{kept}")
    else:
        show_next("transfer rank --target TARGET.h5 --source SOURCE.h5 …", f"transfer inspect {config.out}")


def accuracy_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Accuracies with what stands behind each: the head of a table, and its rows, which begin with their names.

    Args:
        figures: What ``Metrics.to_json`` gives; in a run of an earlier version it may lack the borders.
    """
    names = ("top1", "top5", "macro", "many", "medium", "few")
    behind = ("macro",) * 3 + names[3:]  # the classes that have an evaluated image, for the first three
    rows = [
        ["accuracy", *(figures[name] for name in names)],
        ["classes", *(figures["classes"].get(name) for name in behind)],
        ["images", *(figures["group_images"].get(name) for name in behind)],
    ]
    if "borders" in figures:
        many, few = (figures["borders"][name] for name in ("many", "few"))
        rows.append(["training images a class", "", "", "", f"> {many}", f"{few}–{many}", f"< {few}"])
    return ["", *names], rows


def _metrics(figures: Mapping[str, Any]) -> None:
    (_, *names), rows = accuracy_table(figures)
    show_table(["", *(f">{name}" for name in names)], rows)


def _trained(config: Any, result: Any) -> None:
    if config.test is None:
        console.print("on training images; give --test for a figure that counts")
    _metrics(result.metrics)
    if config.search:
        console.print(f"\nwhat was tried: {config.out}.search/search.json", soft_wrap=True)


def _pretrain(config: Any, result: Any) -> None:
    _trained(config, result)
    show_next(f"transfer finetune TARGET@train --init {result.run} --test TARGET@test --out runs/target")


def _finetune(config: Any, result: Any) -> None:
    _trained(config, result)
    judged = "TARGET@test" if config.test is None else f"{shlex.quote(config.test)} --per-class FILE.csv"
    show_next(
        f"transfer report {result.run}",
        f"transfer evaluate {result.run} {judged}",
        f"transfer compare OTHER_RUN {result.run}",
    )


def _judged(figures: Mapping[str, Any]) -> None:
    _metrics(figures)
    console.print(f"\nexpected calibration error {figures['calibration_error']:.4f}")


def _evaluate(config: Any, result: Any) -> None:
    figures = result.to_json()
    judged = figures["classes"]["macro"]
    if judged < len(result.classes):
        console.print(f"{config.dataset} has images of {judged} of the model's {len(result.classes)} classes")
    _judged(figures)
    if figures["confusions"]:
        console.print("\nmost often taken for another class:")
        show_table(
            ["class", "taken for", ">images", ">share, %"],
            (
                (pair["true"], pair["predicted"], pair["images"], f"{100 * pair['share']:.0f}")
                for pair in figures["confusions"]
            ),
        )
    report = [f"transfer report {config.run}"] if Path(config.run).is_dir() else []  # not of a checkpoint alone
    if config.per_class is None:
        show_next("the same with --per-class FILE.csv, for every class", *report)
    else:
        console.print(f"every class: {config.per_class}", soft_wrap=True)
        show_next(*report)


def _compare(config: Any, result: Any) -> None:
    console.print(f"{result.images:,} images of {result.evaluated_on}", soft_wrap=True)
    if result.on_training_images:
        console.print("images that the runs were trained on: a comparison that counts has a --test")
    names = ("top1", "macro", "many", "medium", "few")
    show_table(
        ["run", "", *(f">{name}" for name in ("top1", "±", *names[1:])), ">macro − first", ">±"],
        (
            (
                run.run,
                run.how,
                run.figures["top1"],
                run.top1_error,
                *(run.figures[name] for name in names[1:]),
                run.gain if run.gain is None else f"{run.gain:+.4f}",
                run.gain_error,
            )
            for run in result.runs
        ),
    )
    console.print(
        "\n±: standard error, of top1 over the images, of the difference paired over the classes; how much another "
        "seed moves them is not in it",
        soft_wrap=True,
    )
    if missing := [run.run for run in result.runs if not run.has_classes]:
        console.print(f"no ± of the difference without per_class.csv in the run: {', '.join(missing)}", soft_wrap=True)
        console.print(f"  transfer evaluate {missing[0]} TEST --per-class {missing[0]}/per_class.csv", soft_wrap=True)
    if others := [run.run for run in result.runs if not run.same_groups]:
        console.print(f"many, medium and few are not the first run's classes: {', '.join(others)}", soft_wrap=True)
    if result.unfinished:
        console.print(f"not finished, left out: {', '.join(result.unfinished)}", soft_wrap=True)
    if config.out is not None:
        console.print(f"the table: {config.out}", soft_wrap=True)
    show_next(f"transfer report {max(result.runs, key=lambda run: run.figures['top1']).run}")


def _experiment(_: Any, result: Any) -> None:
    content = result.content
    show_table(
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
    show_next(f"open {content['report']}")


def _report(_: Any, result: Any) -> None:
    console.print(str(result.path), soft_wrap=True)
    if not result.finished:
        console.print("of a run that is not finished: the page has no final figures")


def _inspect(config: Any, result: Any) -> None:
    if result.kind == "dataset":
        _dataset(config, result.content)
        return
    for name, value in result.content.items():
        if name == "metrics" and value:
            _final(value)
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        console.print(f"{name}: {text}", soft_wrap=not (console.is_terminal and isinstance(value, list)))


def _final(figures: Mapping[str, Any]) -> None:
    """The figures that a training ended with."""
    console.print(f"evaluated on {figures['evaluated_on']}", soft_wrap=True)
    _judged(figures)
    if "validation" in figures:
        best = figures["validation"]
        console.print(f"best epoch {best['epoch']}: macro {best['macro']:.4f} on {best['images']} validation images")
    console.print()


def _dataset(config: Any, content: Mapping[str, Any]) -> None:
    """How long the tail is, what each β makes of it, and what fits."""
    console.print(content["dataset"], soft_wrap=True)
    names = ("classes", "images", "largest", "smallest", "imbalance", "many", "medium", "few")
    show_table([f">{name}" for name in names], [[str(content[name]) for name in names]])
    if content["classes"] == 1:
        console.print("one class: nothing to tell apart, but a source of pseudo-classes")
        spec = shlex.quote(content["dataset"])
        show_next(f"transfer extract {spec} --keep-images --out BANK.h5", "transfer cluster BANK.h5 --out CLUSTERS.h5")
        return
    console.print("\nwhat each β makes of the largest and the smallest class (the weights have the mean 1):")
    show_table(
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
    show_next(
        f"transfer extract {shlex.quote(content['dataset'])} --out BANK.h5",
        f"transfer finetune {shlex.quote(content['dataset'])} --init BACKBONE --loss {advice['loss']} --out runs/NAME",
    )


_VIEWS: dict[str, Callable[[Any, Any], None]] = {
    "extract": _extract,
    "merge": _extract,
    "duplicates": show_duplicates,
    "cluster": show_cluster,
    "rank": show_rank,
    "select": show_select,
    "pretrain": _pretrain,
    "finetune": _finetune,
    "evaluate": _evaluate,
    "compare": _compare,
    "run": _experiment,
    "demo": _experiment,
    "report": _report,
    "inspect": _inspect,
}
