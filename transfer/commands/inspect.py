from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from features import FeatureBank, open_dataset
from features.backbones.family import OFFLINE
from features.bank import SUFFIXES
from features.checkpoint import find_checkpoint
from features.extraction.class_means import class_means_of
from features.infrastructure.disk.files import atomic_file, check_ending, check_new
from features.infrastructure.errors import InputError, as_typed
from features.infrastructure.formats.tables import read_columns, read_provenance, read_rows
from features.infrastructure.storage.addresses import Location, is_address, located, on_disk
from features.infrastructure.suggestions import did_you_mean
from features.precomputed.provenance import attributes_of
from features.precomputed.rows import FeatureRows
from features.readers import SCHEMES
from features.readers.plain_paths import labelled_spec
from features.readers.spec_options import files_of
from finetune.evaluation.metrics import FEW, MANY
from finetune.losses.advice import advise, beta_table, describe_tail
from finetune.run_directory import open_run
from similarity import Subset
from similarity.selection.subset import REQUIRED_COLUMNS
from transfer.accuracies import GROUPS, show_figures
from transfer.kinds import KINDS, USED_BY, kind_of, names_of
from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import short_name


@dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """Show what something holds.

    Attributes:
        what: A dataset spec, a bank (.h5), a run directory, the directory of a recipe's results or of a trial, a
            checkpoint, a subset or another table (.csv), or one of backbones, schemes, losses, samplers, methods,
            augmentations, geometries, strategies, recipe-keys, uses, measures, formats, commands.
        names: Of a kind, these names alone; * and ? stand for any letters, as in 'resnet*'.
        plot: A file (.png) for the number of images of each class of a dataset, largest class first.
        overwrite: Replace an existing file instead of refusing.
    """

    what: str
    names: list[str] = field(default_factory=list)
    plot: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.plot is not None:
            check_ending(self.plot, [".png"], "`plot`")


@dataclass(frozen=True)
class Inspection:
    """What something holds.

    Attributes:
        kind: ``dataset``, ``bank``, ``class means``, ``run``, ``result``, ``checkpoint``, ``subset``, ``table`` or
            ``names``.
        content: Name → value, as JSON can hold it.
    """

    kind: str
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {**self.content, "kind": self.kind}


#: Class names of a dataset that are printed.
NAMES = 8


def inspect(config: InspectConfig) -> Inspection:
    """Read what ``config.what`` holds.

    Raises:
        InputError: It is none of the things that this command reads, or cannot be read.
    """
    what = config.what
    path = located(what)
    if config.plot is not None and (is_address(what) or what.partition(":")[0] not in SCHEMES):
        raise InputError(f"`plot` {config.plot}: draws the classes of a dataset; {what} is not one")
    if what in KINDS:
        return Inspection("names", names_of(what, config.names))
    if config.names:
        raise InputError(
            f"`names` {' '.join(config.names)}: can be given with a kind alone, one of {', '.join(KINDS)}; {what} is "
            f"no kind"
        )
    scheme, colon, _ = what.partition(":")
    if colon and scheme in SCHEMES and not is_address(what):  # before the suffixes: list:train.csv is a dataset
        return _dataset(config)
    if path.suffix in SUFFIXES:
        return Inspection("bank", _bank(FeatureBank.open(path)))
    if path.suffix == ".csv":
        return _table(path)
    path = on_disk(what, "the run or checkpoint")
    if (path / "config.yaml").is_file():
        run = open_run(path)
        return Inspection("run", {"metrics": run["metrics"], **run["environment"], "config": run["config"]})
    if path.is_dir() and (result := _result(path)) is not None:
        return Inspection("result", result)
    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        return Inspection("checkpoint", dict(checkpoint.card))
    if colon or path.exists():
        return _dataset(config)  # raises an error that suggests a scheme, or the spec of the path
    near = did_you_mean(what, [*KINDS, *(f"{scheme}:" for scheme in SCHEMES)])
    listed = "" if near else kind_of(what)
    where = f"; {what} is listed by: transfer inspect {listed}" if listed else ""
    raise InputError(
        f"{what}: not a dataset spec (scheme:location), bank (.h5), run directory, directory of results, "
        f"checkpoint or table (.csv), and not one of {', '.join(KINDS)}{near or where}"
    )


def _result(path: Path) -> dict[str, Any] | None:
    """The results of a recipe, and the verdict if they are those of a trial; None for another directory.

    Raises:
        InputError: A file is damaged, or the recipe or the trial is not finished.
    """
    from transfer.result_files import RESULT, check_finished, read_result, read_verdict  # imports the steps of a recipe

    if (path / RESULT).is_file():
        verdict = read_verdict(path)
        return read_result(path / RESULT) | ({} if verdict is None else {"verdict": verdict["sentences"]})
    check_finished(path)
    return None


def _table(path: Location) -> Inspection:
    """A subset, or the provenance and size of another table."""
    columns, provenance = read_columns(path, kind="table"), read_provenance(path, kind="table")
    if not set(REQUIRED_COLUMNS) <= set(columns) and not {"strategy", "sources"} <= provenance.keys():
        rows = sum(1 for _ in read_rows(path, (), kind="table"))
        return Inspection("table", {**provenance, "columns": list(columns), "rows": rows})
    subset = Subset.read(path)
    return Inspection("subset", {"classes": len(subset), **subset.provenance, **subset.to_json()})


def _dataset(config: InspectConfig) -> Inspection:
    check_new({"`plot`": config.plot}, read=files_of(labelled_spec(config.what)), overwrite=config.overwrite)
    class_means = class_means_of(config.what)
    if class_means is not None:
        return Inspection("class means", _bank(class_means))
    dataset = open_dataset(config.what, images=False)
    counts = dataset.counts
    advice = advise(counts)
    if config.plot is not None:
        from transfer.plots import counts_plot  # imports matplotlib

        with atomic_file(located(config.plot)) as aside:
            counts_plot({config.what: counts}, dataset.classes).savefig(aside, format="png", dpi=130)
    content = {
        **describe_tail(counts),
        "dataset": config.what,
        "images_per_class": dict(zip(dataset.classes, counts.tolist(), strict=True)),
        "betas": [asdict(row) for row in beta_table(counts)],
        "advice": asdict(advice),
    }
    if isinstance(dataset.source, FeatureRows):
        known = attributes_of(dataset.source.file, dataset.source.column, dataset.source.model)
        content |= {"feature": dataset.source.column, "dimensions": dataset.source.width, "backbone": known["backbone"]}
    return Inspection("dataset", content)


def _bank(bank: FeatureBank) -> dict[str, Any]:
    skipped = [f"{id_} ({reason})" for id_, reason in bank.skipped]
    tail = describe_tail(bank.counts) if bank.counts_known else {"classes": len(bank.classes), "images": None}
    held = {"dimensions": bank.means.shape[1], "statistics": list(bank.statistics), "skipped": skipped}
    return dict(bank.attrs) | tail | held


def show(config: InspectConfig, result: Inspection) -> None:
    """Print what something holds."""
    if result.kind == "dataset":
        _show_dataset(config, result.content)
        return
    if result.kind == "result":
        _show_result(result.content)
    else:
        _show_entries(result.content)
    what = shlex.quote(config.what)
    follow = {
        "bank": f"transfer rank --target {what} --source OTHER.h5 …",
        "class means": f"transfer extract {what} --out {short_name(config.what)}.h5",
        "run": f"transfer report {what}",
        "result": f"transfer report {what}",
        "checkpoint": f"transfer predict {what} PHOTOS --out predictions.csv",
        "subset": f"transfer pretrain --subset {what} --backbone resnet50 --out runs/pre",
        "names": USED_BY.get(config.what, ""),
    }
    show_next(*filter(None, [follow.get(result.kind, "")]))


def _show_entries(content: Mapping[str, Any], indent: str = "") -> None:
    """Print ``name: value`` lines, those of a nested mapping indented; entries without a value are left out."""
    for name, value in content.items():
        rows = [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
        if name == "metrics" and value:
            _show_metrics(value)
        elif name == "selected" and rows:
            console.print(f"{name}:")
            show_table(list(rows[0]), (row.values() for row in rows))
        elif rows or isinstance(value, Mapping):
            for entry in rows or [value]:
                if any(one is not None for one in entry.values()):
                    console.print(f"{indent}{name}:")
                    _show_entries(entry, f"{indent}  ")
        elif value not in (None, "", []):
            text = as_typed(", ".join(map(str, value)) if isinstance(value, list) else str(value))
            console.print(f"{indent}{name}: {text}", soft_wrap=not (console.is_terminal and isinstance(value, list)))


def _show_result(content: Mapping[str, Any]) -> None:
    """Print the accuracy of each arm of a recipe, and the verdict of a trial."""
    from transfer.commands.run import show_arms  # imports the steps of a recipe

    say(f"{content['name']}: the arms of a recipe, judged on {content['recipe']['test']}")
    show_arms(content)
    for sentence in content.get("verdict", ()):
        say(sentence)


def _show_metrics(figures: Mapping[str, Any]) -> None:
    """Print the final figures of a training."""
    say(f"evaluated on {figures['evaluated_on']}")
    show_figures(figures)
    if "validation" in figures:
        best = figures["validation"]
        console.print(f"best epoch {best['epoch']}: macro {best['macro']:.4f} on {best['images']} validation images")
    console.print()


def _show_dataset(config: InspectConfig, content: Mapping[str, Any]) -> None:
    """Print the imbalance of a dataset, the class weights of each β, and the advised loss and sampler."""
    say(content["dataset"])
    several = sum(content[group] > 0 for group in GROUPS) > 1
    names = ["classes", "images", "largest", "smallest", "imbalance", *(GROUPS if several else ())]
    show_table([f">{name}" for name in names], [[str(content[name]) for name in names]])
    per_class = content["images_per_class"]
    named = [f"{name} ({images})" for name, images in list(per_class.items())[:NAMES]]
    more = f" and {len(per_class) - NAMES} more" if len(per_class) > NAMES else ""
    say(f"classes: {', '.join(named)}{more}")
    if several:
        console.print(f"many: classes of more than {MANY} images; medium: of {FEW} to {MANY}; few: of fewer than {FEW}")
    spec, name = shlex.quote(content["dataset"]), short_name(content["dataset"])
    if "feature" in content:
        say(f"features: {content['feature']}, {content['dimensions']} a row, made by {content['backbone']}; no images")
        show_next(f"transfer extract {spec} --out {name}.h5")
        return
    if content["classes"] == 1:
        console.print("one class: there is nothing to classify, but cluster makes pseudo-classes of its images")
        show_next(
            f"transfer extract {spec} --backbone {OFFLINE} --keep-images --out {name}.h5",
            f"transfer cluster {name}.h5 --out {name}-clusters.h5",
        )
        return
    if content["imbalance"] > 1:
        _show_betas(content["betas"])
    advice = content["advice"]
    console.print(f"\nadvised: --loss {advice['loss']} --sampler {advice['sampler']}")
    for reason in advice["reasons"]:
        console.print(f"- {as_typed(reason)}")
    if config.plot is not None:
        say(f"plot: {config.plot}")
    show_next(
        f"transfer extract {spec} --backbone {OFFLINE} --out {name}.h5",
        f"transfer finetune {spec} --init {OFFLINE} --loss {advice['loss']} --out runs/{name}",
    )


def _show_betas(betas: Sequence[Mapping[str, Any]]) -> None:
    """Print the class-balanced weights of the largest and the smallest class for each β."""
    console.print("\nclass-balanced weights of the largest and the smallest class for each β (their mean is 1):")
    rows = []
    for row in betas:
        beta = f"{row['beta']:.6g}{' (auto)' if row['automatic'] else ''}"
        effective = (f"{row['effective_largest']:.1f}", f"{row['effective_smallest']:.1f}")
        rows.append((beta, *effective, row["weight_largest"], row["weight_smallest"]))
    show_table(["β", ">effective number: largest", ">smallest", ">weight: largest", ">smallest"], rows)
