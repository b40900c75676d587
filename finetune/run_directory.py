"""The run directory: what every training run leaves on disk, and when it may be reused or resumed.

``config.yaml`` is the resolved configuration, of the options that the run reads (``transfer COMMAND --config
RUN/config.yaml`` runs it again), ``environment.json`` the inputs' hashes, versions, seed and command line,
``history.csv`` a line an epoch, ``log.txt`` what was said, ``checkpoints/`` the model, ``per_class.csv`` the final
accuracy of each class, and ``metrics.json`` the final figures.
A run is finished if and only if ``metrics.json`` is there.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.files import write_json
from features.infrastructure.locks import locked
from features.infrastructure.options import default_of
from features.infrastructure.processes import gather, rank, wait_for_all
from features.infrastructure.provenance import versions
from features.infrastructure.tables import read_rows

#: Fields that change how a run goes and not what comes out.
_IMMATERIAL = ("out", "workers", "tensorboard")


class RunDirectory:
    """One run on disk; of several processes the first one writes it.

    Args:
        path: The directory; made if it is not there.
        config: A configuration dataclass.
        inputs: Hashes of what the run reads: dataset manifests, initial weights, the subset.
        without_effect: Names of the options that the run does not read; ``config.yaml`` leaves them out.

    Raises:
        InputError: The directory holds another run, or cannot be made.
    """

    def __init__(
        self, path: str | Path, config: Any, inputs: Mapping[str, str], without_effect: Collection[str] = ()
    ) -> None:
        self.path = Path(path)
        resolved = {name: value for name, value in asdict(config).items() if name != "out"} | {"out": str(path)}
        if rank() == 0:
            self._open(config, resolved, inputs, without_effect)
        self._board = getattr(config, "tensorboard", False) and _board()
        wait_for_all()
        self._finished = gather(self._read_metrics())[0]  # before any process of this job writes them

    def _open(
        self, config: Any, resolved: Mapping[str, Any], inputs: Mapping[str, str], without_effect: Collection[str]
    ) -> None:
        path = self.path
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {path}: is a file; name a directory for the run")
        if self._config_path.exists():
            self._require_same(config, resolved, inputs)
        elif self.path.is_dir() and any(not _half_begun(entry) for entry in self.path.iterdir()):
            raise InputError(f"--out {path}: the directory is not empty and holds no run; name another")
        else:
            try:
                read = {name: value for name, value in resolved.items() if name not in without_effect}
                self._begin(config, read, inputs)
            except OSError as error:
                raise InputError(f"--out {path}: cannot be written ({error.strerror or error})") from error

    @property
    def _config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def _environment_path(self) -> Path:
        return self.path / "environment.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _begin(self, config: Any, resolved: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        environment = {
            "run": re.sub("(?<=[a-z])(?=[A-Z])", "-", type(config).__name__.removesuffix("Config")).lower(),
            "inputs": dict(inputs),
            "seed": resolved.get("seed"),
            "versions": versions(),
            "argv": sys.argv,
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        write_json(self._environment_path, environment)
        aside = self._config_path.with_name(".config.yaml.part")
        aside.write_text(yaml.safe_dump(_plain(resolved), sort_keys=False, allow_unicode=True), encoding="utf-8")
        os.replace(aside, self._config_path)

    def _require_same(self, config: Any, resolved: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        there, environment = _read_start(self.path)
        asked = _plain(resolved)
        # An option that the run does not read, or that its version did not have, has its default. Null stands for it.
        defaults = {option.name: default_of(option) for option in fields(config)}
        defaults = _plain({name: value for name, value in defaults.items() if value is not MISSING})
        there = {**there, **{name: there.get(name, value) for name, value in defaults.items()}}
        there |= {name: value for name, value in defaults.items() if there[name] is None}
        # An option of an earlier version that this one does not have, with the value that means the same.
        retired = _plain(getattr(config, "RETIRED", {}))
        for name in [n for n in there if n not in asked and there[n] in (None, retired.get(n))]:
            del there[name]
        for name in [n for n in (*asked, *there) if n not in _IMMATERIAL]:
            if there.get(name) != asked.get(name):
                raise InputError(
                    f"--out {self.path}: holds another run ({name} is {there.get(name)!r}, asked for "
                    f"{asked.get(name)!r}); name another directory"
                )
        for name, value in inputs.items():
            if environment["inputs"].get(name) != value:
                raise InputError(
                    f"--out {self.path}: its {name} has changed since the run began; name another directory"
                )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other jobs away from the run, and remove what only an unfinished one needs in the end.

        Raises:
            InputError: Another job trains here.
        """
        with locked(self.path) if rank() == 0 else nullcontext():
            yield
        if rank() == 0:
            for name in ("resume.ckpt", "best.ckpt"):
                (self.checkpoints / name).unlink(missing_ok=True)

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The final figures of a run that was finished before, else None."""
        return self._finished

    def _read_metrics(self) -> dict[str, Any] | None:
        path = self.path / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the final figures: from here on the run counts as finished."""
        if rank() == 0:
            write_json(self.path / "metrics.json", dict(metrics))

    def log(self, line: str) -> None:
        """Say a line, and keep it in ``log.txt``; of several processes the first one does."""
        if rank() != 0:
            return
        console.print(line, markup=False, emoji=False)
        stamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {line}\n")

    def record(self, row: Mapping[str, Any]) -> None:
        """Add a line to ``history.csv``; a run that is resumed repeats no epoch in it."""
        if rank() != 0:
            return
        path = self.path / "history.csv"
        rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [old for old in csv.DictReader(file) if int(old["epoch"]) < int(row["epoch"])]
        aside = path.with_name(".history.csv.part")
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows([*rows, row])
        os.replace(aside, path)
        if self._board:
            with self._board(str(self.path / "tensorboard")) as board:
                for name, value in row.items():
                    if name != "step":
                        board.add_scalar(name, float(value), int(row["step"]))


def _board() -> Any:
    """The class that writes a history for TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard: the package tensorboard is missing; pip install tensorboard") from error
    return SummaryWriter


def _half_begun(entry: Path) -> bool:
    """Whether a run that was killed before its ``config.yaml`` stood may have left this."""
    return entry.name in ("environment.json", "checkpoints") or entry.name.endswith(".part")


def open_run(path: str | Path) -> dict[str, Any]:
    """Read a run directory's configuration, environment, metrics and history, for a report.

    Raises:
        InputError: There is no run, or its figures cannot be read.
    """
    directory = Path(path)
    config, environment = _read_start(directory)
    read: dict[str, Any] = {"path": str(directory), "config": config, "environment": environment}
    read |= {"metrics": None, "history": []}
    if (directory / "metrics.json").is_file():
        try:
            read["metrics"] = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{directory / 'metrics.json'}: the run's figures cannot be read ({error})") from error
    if (directory / "history.csv").is_file():
        with (directory / "history.csv").open(newline="", encoding="utf-8") as file:
            read["history"] = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return read


def read_classes(directory: str | Path) -> list[dict[str, Any]]:
    """The final figures of each class that a run was evaluated on; empty where it wrote none.

    Returns:
        Mappings with ``class``, ``train_images``, ``images`` and ``accuracy``, 0 to 1.

    Raises:
        InputError: ``per_class.csv`` is not what the run wrote: a class stands in it twice, or a value cannot be.
    """
    path = Path(directory) / "per_class.csv"
    if not path.is_file():
        return []
    numbers: dict[str, Callable[[str], float]] = {"train_images": int, "images": int, "accuracy": float}
    make = "transfer evaluate RUN TEST --per-class FILE.csv"
    rows = read_rows(path, ("class", *numbers), kind="table of classes", make=make)
    try:
        found: list[dict[str, Any]] = [
            {"class": row["class"], **{name: to(row[name]) for name, to in numbers.items()}} for _, row in rows
        ]
    except ValueError as error:
        raise InputError(f"{path}: holds something that is no number ({error})") from error
    if any(not 0 <= row["accuracy"] <= 1 for row in found) or len({row["class"] for row in found}) < len(found):
        raise InputError(f"{path}: expected each class once, with an accuracy from 0 to 1; write it anew with: {make}")
    return found


def _read_start(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run wrote when it began: its configuration and its environment."""
    try:
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
        environment = json.loads((directory / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{directory}: no run there; expected a directory that holds config.yaml and environment.json ({error})"
        ) from error
    if not isinstance(config, dict) or not isinstance(environment, dict) or "inputs" not in environment:
        raise InputError(f"{directory}: no run there; its config.yaml or environment.json is not one of a run")
    return config, environment


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as YAML reads them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
