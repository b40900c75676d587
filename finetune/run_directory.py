"""The run directory: what every training run writes, and when a run is reused or resumed.

- ``config.yaml``: the resolved configuration, only of options that the run reads
  (``transfer COMMAND --config RUN/config.yaml`` runs it again)
- ``environment.json``: the inputs' hashes, versions, seed, workers and command line, and digests of ``config.yaml`` and
  of the finished ``history.csv``
- ``history.csv``: a line an epoch; ``log.txt``: the messages
- ``checkpoints/``: the model, and of an unfinished run the state (:mod:`finetune.training.state`)
- ``profile.csv``, ``trace.json``: where the time went, if that was asked for
- ``per_class.csv``: the final accuracy of each class; ``predictions.csv``: the class predicted for each evaluated image
- ``metrics.json``: the final figures

A run is finished if and only if ``metrics.json`` exists.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from features.changes import changed_since
from features.infrastructure.console import console, is_repetition, warn_once
from features.infrastructure.disk.files import TEXT, atomic_file, write_text
from features.infrastructure.disk.locks import locked
from features.infrastructure.disk.regular_files import check_own_files, read_limited
from features.infrastructure.errors import InputError, as_typed, difference
from features.infrastructure.formats.structured_files import LARGEST_YAML, parse_yaml, read_json, write_sealed_json
from features.infrastructure.formats.tables import read_rows
from features.infrastructure.options import SAME_RESULT, default_of
from features.infrastructure.processes import from_first, rank, require_same
from features.infrastructure.provenance import versions
from features.infrastructure.storage.addresses import on_disk
from features.infrastructure.storage.secrets import without_secrets
from finetune.run_shapes import Environment, Figures, RunOptions
from finetune.training import state

#: What runs of fine-tuning have as ``method``, which earlier versions wrote into all runs.
FINE_TUNED = "full"
#: What a run writes before ``config.yaml``, and may leave if it is killed.
_FIRST = ("environment.json", "checkpoints")
#: Options that do not change the result of a run, which may therefore be resumed with others.
IMMATERIAL = ("out", *SAME_RESULT, "strategy", "logger", "logger_options", "tensorboard")
#: Columns that the history of a run has at least.
_HISTORY = ("epoch", "step", "train_loss", "images_per_second", "seconds")
#: What to do about a damaged file of a run.
_RESTORE = "restore it from a copy, or train again into another directory"
#: Bytes of the largest history.
_LARGEST_HISTORY = 1 << 26


class RunDirectory:
    """One run on disk; of several processes only the first one reads it and writes it.

    ``inputs`` are hashes of what the run reads: dataset manifests, initial weights, the subset; ``modified`` is when an
    image of the datasets last changed. ``config.yaml`` omits the options ``without_effect``. Of the attributes,
    ``checkpoints`` is the folder of the model and of the resumable state, and ``metrics`` are the final figures if the
    run was finished before this job began, else None. Raises ``InputError`` if the directory holds another run or
    cannot be made, or if the processes of the job have different options or inputs.
    """

    def __init__(
        self,
        path: str | Path,
        config: Any,
        inputs: Mapping[str, str],
        without_effect: Collection[str] = (),
        modified: float = 0.0,
    ) -> None:
        self.path, self._modified = on_disk(path, "`out`"), modified
        self.checkpoints = self.path / "checkpoints"
        resolved = {name: value for name, value in asdict(config).items() if name != "out"} | {"out": str(path)}
        asked = {name: value for name, value in resolved.items() if name not in IMMATERIAL} | dict(inputs)
        require_same(f"`out` {path}", _plain(asked), "give every process of a job the same command and the same data")
        from_first(lambda: self._open(config, resolved, inputs, without_effect))
        self.metrics = from_first(lambda: _read_metrics(self.path))

    def _open(
        self, config: Any, resolved: Mapping[str, Any], inputs: Mapping[str, str], without_effect: Collection[str]
    ) -> None:
        path = self.path
        if path.exists() and not path.is_dir():
            raise InputError(f"`out` {path}: is a file; name a directory for the run")
        for directory in (path, self.checkpoints):
            if directory.is_dir():
                check_own_files(directory, "`out`")
        if (path / "config.yaml").exists():
            self._require_same(config, resolved, inputs)
        elif path.is_dir() and any(_is_foreign(entry) for entry in path.iterdir()):
            raise InputError(f"`out` {path}: the directory is not empty and holds no run; name another")
        else:
            try:
                left_out = {*without_effect, *SAME_RESULT}  # the file of one run is the same with any of them
                read = {name: value for name, value in resolved.items() if name not in left_out}
                self._begin(config, read, inputs, resolved.get("workers"))
            except OSError as error:
                raise InputError(f"`out` {path}: cannot be written ({error.strerror or error})") from error

    def _begin(self, config: Any, resolved: Mapping[str, Any], inputs: Mapping[str, str], workers: int | None) -> None:
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        options = without_secrets(yaml.safe_dump(_plain(resolved), sort_keys=False, allow_unicode=True))
        environment = {
            "run": re.sub("(?<=[a-z])(?=[A-Z])", "-", type(config).__name__.removesuffix("Config")).lower(),
            "inputs": dict(inputs),
            "seed": resolved.get("seed"),
            "workers": workers,
            "versions": versions(),
            "argv": sys.argv,
            "started": _now().isoformat(),
            "config_sha256": _sha256(options.encode(**TEXT)),
        }
        write_sealed_json(self.path / "environment.json", environment)
        write_text(self.path / "config.yaml", options)

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
        # Equal weights are the same start, however they were named: null was random weights, as none is.
        hashes = [found.get("initial weights") for found in (environment["inputs"], inputs)]
        immaterial = (*IMMATERIAL, "weights") if hashes[0] == hashes[1] is not None else IMMATERIAL
        for name in [n for n in (*asked, *there) if n not in immaterial]:
            if there.get(name) != asked.get(name):
                found = difference(name, there.get(name), asked.get(name))
                raise InputError(f"`out` {self.path}: holds another run ({found}); name another directory")
        for name, value in inputs.items():
            if environment["inputs"].get(name) != value:
                raise InputError(
                    f"`out` {self.path}: its {name} has changed since the run began; name another directory"
                )
        since = environment.get("images_admitted", environment.get("started"))
        if since and changed_since(self._modified, since):
            self._admit_newer(environment)

    def _admit_newer(self, environment: Mapping[str, Any]) -> None:
        """Go on with images of the same names and sizes whose dates are newer than the run, unless it is finished.

        They may have been copied, as a job does that puts them on a local disk, or changed. The moment is recorded, so
        that the run, once it is finished, is reused with them.
        """
        if (self.path / "metrics.json").is_file():
            raise InputError(
                f"`out` {self.path}: images were changed after the run began, or copied without their dates; name "
                f"another directory, or copy them with cp -a"
            )
        write_sealed_json(self.path / "environment.json", {**environment, "images_admitted": _now().isoformat()})
        if state.is_begun(self.checkpoints):  # it has learnt from the images as they were
            self.log(
                f"{self.path}: images have newer dates than the run, with the same names and sizes; the training goes "
                f"on with them. If more than their dates has changed, stop it, and train into another directory",
                warning=True,
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run for this job, and delete the resumable state once the block has ended without an error.

        Raises ``InputError`` if another job holds the run.
        """
        with ExitStack() as lock:
            from_first(lambda: lock.enter_context(locked(self.path)))
            yield
        if rank() == 0:
            state.delete(self.checkpoints)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the final figures, which makes the run a finished one."""
        if rank() != 0:
            return
        history = self.path / "history.csv"
        if history.is_file():
            environment = _read_start(self.path)[1]
            write_sealed_json(
                self.path / "environment.json",
                environment | {"history_sha256": _sha256(read_limited(history, "history", _LARGEST_HISTORY))},
            )
        write_sealed_json(self.path / "metrics.json", metrics)

    def log(self, line: str, note: str = "", *, warning: bool = False) -> None:
        """Print a line and add it to ``log.txt``; arguments in backticks become options of the command line.

        A line that holds a ``note`` is not printed for a later run of a recipe that has the same, and a ``warning`` is
        printed also where notes are not wanted.
        """
        if rank() != 0:
            return
        line = as_typed(line)
        if warning:
            warn_once(line)
        elif not (note and is_repetition(note)):
            console.print(line)
        stamp = _now().isoformat(timespec="seconds")
        with (self.path / "log.txt").open("a", **TEXT) as file:
            file.write(f"{stamp} {line}\n")

    def log_unreadable(self, images: Iterable[tuple[str, str]]) -> None:
        """Log each image, as (id, reason), that cannot be read."""
        for id_, reason in images:
            self.log(f"skipped unreadable image {id_} ({reason})")

    def record(self, row: Mapping[str, Any]) -> None:
        """Add an epoch to ``history.csv``, in place of that epoch and later ones, which a resumed run repeats."""
        if rank() != 0:
            return
        rows = [old for old in _read_history(self.path, _HISTORY[:1]) if int(old["epoch"]) < int(row["epoch"])]
        with atomic_file(self.path / "history.csv") as aside, aside.open("w", newline="", **TEXT) as file:
            # A run that an earlier version began has fewer columns.
            columns = [name for name in row if all(name in old for old in rows)]
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, row])


def open_run(path: str | Path) -> dict[str, Any]:
    """Read a run directory for a report: ``path``, ``config``, ``environment``, ``metrics`` and ``history``.

    The metrics of an unfinished run are None; the history is a mapping an epoch. Raises ``InputError`` if there is no
    run, or its figures cannot be read.
    """
    directory = on_disk(path, "the run")
    config, environment = _read_start(directory)
    metrics, history = _read_metrics(directory), _read_history(directory, _HISTORY)
    if metrics is not None and (directory / "history.csv").is_file():
        _say_if_other(directory / "history.csv", environment.get("history_sha256"), _LARGEST_HISTORY)
    figures = {"metrics": metrics, "history": [{name: float(value) for name, value in row.items()} for row in history]}
    return {"path": str(directory), "config": config, "environment": environment, **figures}


def _is_foreign(entry: Path) -> bool:
    """Whether a directory entry is of no run, not even of one that was killed at its beginning."""
    return entry.name not in _FIRST and entry.suffix not in (".part", ".lock")


def _read_metrics(directory: Path) -> dict[str, Any] | None:
    path = directory / "metrics.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path, "table of the run's figures", Figures, advice=_RESTORE)
    return found


def _read_history(directory: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """The rows of the history as they stand in the file; they have ``columns``, and their values are finite numbers."""
    path = directory / "history.csv"
    if not path.is_file():
        return []
    rows = []
    for line, row in read_rows(path, ("epoch",), kind="history of the run"):
        if missing := [name for name in columns if name not in row]:
            raise InputError(f"{path}: column {missing[0]!r} is missing; {_RESTORE}")
        if not row["epoch"].isdecimal() or int(row["epoch"]) < 1:
            raise InputError(f"{path} line {line}: epoch is {row['epoch']!r}; expected a whole number; {_RESTORE}")
        for name, value in row.items():
            if not _is_finite(value):
                raise InputError(f"{path} line {line}: {name} is {value!r}; expected a number; {_RESTORE}")
        rows.append(row)
    return rows


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _read_start(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the environment that a run wrote when it began."""
    if not directory.exists():
        raise InputError(f"{directory}: no such run directory")
    options, begun = directory / "config.yaml", directory / "environment.json"
    if not (options.is_file() and begun.is_file()):
        raise InputError(f"{directory}: no run there; expected a directory that holds config.yaml and environment.json")
    try:
        content = read_limited(options, "configuration of a run", LARGEST_YAML)
        config = parse_yaml(content, options, "configuration of a run", RunOptions, advice=_RESTORE)
        environment = read_json(begun, "environment of a run", Environment, advice=_RESTORE)
    except InputError as error:
        raise InputError(f"{directory}: no run there, or a damaged one: {error}") from error
    _say_if_other(options, environment.get("config_sha256"), LARGEST_YAML)
    return config, environment


def _sha256(content: bytes) -> str:
    """The SHA-256 of a text, whatever its line ends are."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _say_if_other(path: Path, sha256: str | None, limit: int) -> None:
    """Say that a file of a run is not the one that the run wrote; earlier versions have no digest of it."""
    if sha256 is not None and (found := _sha256(read_limited(path, "file of a run", limit))) != sha256:
        warn_once(f"{path}: changed since the run wrote it; what it says now is used", found)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as YAML reads them back: with tuples as lists, and without the secrets of addresses."""

    def plain(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [plain(one) for one in value]
        return without_secrets(value) if isinstance(value, str) else value

    return {name: plain(value) for name, value in values.items()}
