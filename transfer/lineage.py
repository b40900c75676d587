"""How a trained model came about: its run, the runs that it started from, and the source classes that were chosen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from features.backbones.family import is_model_address, is_path_of_run
from features.dataset_spec import DatasetSpec, last_component
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError, flag
from features.readers import SCHEMES
from finetune.exporting.export import published_name
from finetune.run_directory import IMMATERIAL, open_run
from similarity import STRATEGIES, Subset
from transfer.commands import COMMANDS
from transfer.run_description import describe
from transfer.typed_command import typed_command

#: Options that name a subset file, with what the run does with its classes.
_SUBSETS = {
    "subset": "pre-trained on these classes",
    "class_weights": "drawn in proportion to the weights of these classes",
    "with_": "co-trained on these classes",
}
#: Options that are not published: they are about the machine of the run and the accounts of its user. The arguments of
#: a callback may be anything, so a note names the class alone.
_PRIVATE = {*IMMATERIAL, "device", "callbacks"} - {"out"}


@dataclass(frozen=True, eq=False)
class Step:
    """One run behind a model.

    Attributes:
        kind: Its command, such as ``pretrain``.
        how: What it did, in a few words.
        config: Its options as they were given, without those about the machine and the accounts of its user.
        command: The command that repeats it, with the paths that were given.
        environment: Its versions, its seed and when it began.
        choices: Pairs of what it did with source classes, and the subset file that names them.
        notes: What could not be read, and what the command leaves out.
        path: Its directory.
        lost: The name of the run that it started from, if that was not at hand; else empty.
    """

    kind: str
    how: str
    config: Mapping[str, Any]
    command: str
    environment: Mapping[str, Any]
    choices: tuple[tuple[str, Subset], ...]
    notes: tuple[str, ...]
    path: Path
    lost: str = ""

    def published(self) -> Step:
        """The step as it may be published: its options, and so its command, without folders of this machine."""
        config = {name: published(value) for name, value in self.config.items()}
        return replace(self, config=config, command=_command(self.kind, config))


def lineage(location: str | Path) -> list[Step]:
    """The run of a run directory or of a checkpoint in one, and those that it started from, the newest first.

    Empty for a checkpoint outside of a run. A run or a subset file that has moved is a note of the step before it. A
    line on standard error names a run that is damaged, at which the list ends.
    """
    steps: list[Step] = []
    path: Path | None = _directory(Path(location))
    seen: set[Path] = set()
    while path is not None and path.resolve() not in seen:
        seen.add(path.resolve())
        try:
            run = open_run(path)
        except InputError as error:
            say_once(f"{error}; what is written names nothing of that run and of those before it")
            break
        start, lost = _start(run, path)
        choices, missing = _choices(run, path)
        notes = [f"the run that it started from, {lost}, was not at hand"] if lost else []
        steps.append(_step(path, run, choices, (*notes, *missing), lost))
        path = start
    return steps


def _directory(path: Path) -> Path | None:
    """The run directory of a location; None if there is none."""
    directory = path if path.is_dir() else path.parent.parent
    return directory if (directory / "config.yaml").is_file() else None


def _step(
    path: Path,
    run: Mapping[str, Any],
    choices: tuple[tuple[str, Subset], ...],
    notes: tuple[str, ...],
    lost: str,
) -> Step:
    config = {name: value for name, value in run["config"].items() if name not in _PRIVATE}
    kind = run["environment"].get("run", "")
    if callbacks := run["config"].get("callbacks"):
        paths = [one if isinstance(one, str) else one["class_path"] for one in callbacks]
        names = [path.rpartition(".")[2] for path in paths]
        notes = (*notes, f"it ran with the callbacks {', '.join(names)}, which the command leaves out")
    return Step(kind, describe(config), config, _command(kind, config), run["environment"], choices, notes, path, lost)


def _command(kind: str, config: Mapping[str, Any]) -> str:
    return typed_command(kind, config) if kind in COMMANDS else ""


def selecting(subset: Subset) -> str:
    """The command line of a choice of source classes, from the provenance of its file."""
    known = subset.provenance
    targets, sources = known.get("targets", ()), known.get("sources", ())
    banks = [last_component(target.get("bank") or "TARGET.h5") for target in targets]
    row = STRATEGIES.get(str(known.get("strategy")))  # None for a table of influences
    whole = "dropped" in known or (row is not None and row.takes_all)  # every class was ranked: there was no size
    quotas = [None if whole else target.get("quota") for target in targets]
    typed = ["select", "--target", *(f"{bank}:{n}" if n else bank for bank, n in zip(banks, quotas, strict=True))]
    typed += ["--source", *(last_component(source.get("bank") or "SOURCE.h5") for source in sources)]
    shares = {target["asked_share"] for target in targets if target.get("asked_share") is not None}
    options = {"images": known.get("images"), "coverage": shares.pop() if len(shares) == 1 else None}
    options |= {"drop": len(known.get("dropped", ())) or None}
    order = "influence" if "influence" in known else "strategy"  # what ordered the classes
    options |= {name: known.get(name) for name in (order, "geometry", "min_count", "seed")}
    for name, value in options.items():
        if value is not None:
            typed += [flag(name), last_component(str(value)) if name == "influence" else str(value)]
    return f"transfer {shlex.join([*typed, '--out', 'subset.csv'])}"


def published(value: Any) -> Any:
    """A value of a configuration as it may be published: of paths on this machine, only the last component."""
    if isinstance(value, list):
        return [published(one) for one in value]
    if isinstance(value, Mapping):
        return {name: published(one) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    if value.partition(":")[0] in SCHEMES and ":" in value:
        return " + ".join(str(DatasetSpec.parse(part).without_folders()) for part in value.split(" + "))
    if is_model_address(value):
        return published_name(value)
    local = is_path_of_run(value) or (("/" in value or value.startswith(".")) and Path(value).exists())
    return last_component(value) if local else value


def _start(run: Mapping[str, Any], path: Path) -> tuple[Path | None, str]:
    """The directory of the run that a run started from, or the name of that run if it is not there."""
    start = run["config"].get("init") or run["config"].get("backbone") or ""
    for place in _places(start, run, path):
        if (found := _directory(place)) is not None:
            return found, ""
    return None, last_component(start) if is_path_of_run(start) else ""


def _choices(run: Mapping[str, Any], path: Path) -> tuple[tuple[tuple[str, Subset], ...], list[str]]:
    """The subset files of a run with what it did with their classes, and a note for each that cannot be read."""
    found, notes = [], []
    for option, use in _SUBSETS.items():
        if file := run["config"].get(option):
            try:
                place = next((one for one in _places(file, run, path) if one.is_file()), Path(file))
                found.append((use, Subset.read(place)))
            except InputError:
                notes.append(f"the file of its source classes, {last_component(file)}, was not at hand")
    return tuple(found), notes


def _places(name: str, run: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Where a path of a run's configuration may lead: from here, or from the directory in which the run was started."""
    yield Path(name)
    out, here = Path(run["config"].get("out") or path.resolve()), path.resolve()
    if not out.is_absolute() and here.parts[-len(out.parts) :] == out.parts:
        yield Path(*here.parts[: -len(out.parts)]) / name
