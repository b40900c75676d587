"""Shared by all benchmarks: where data and results are, how results are recorded, what a process takes, and errors.

With ``BENCH_QUICK=1`` in the environment (``make bench-quick``) every benchmark runs at smoke size: on a few images of
each class, in a folder of its own, and its results stay there. A quick run shows that a benchmark works, no more.

A result is one JSON file in ``benchmarks/results``. It holds the command that made it, the figures, and the versions of
the packages behind them, and no path of the machine.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from features.infrastructure.disk.files import write_json
from features.infrastructure.provenance import versions
from transfer.archives import unpack

ROOT = Path(__file__).resolve().parent.parent
#: The archives of real images, see the README of that folder.
DATA = Path(os.environ.get("TRANSFER_DATA", ROOT.parent / "shared" / "data"))
#: Whether benchmarks run at smoke size.
QUICK = bool(os.environ.get("BENCH_QUICK"))
#: Everything that a benchmark makes and may reuse: unpacked images, banks, runs.
WORK = ROOT / "runs" / ("benchmarks-quick" if QUICK else "benchmarks")
RESULTS = WORK / "results" if QUICK else ROOT / "benchmarks" / "results"
#: Images of a folder that a quick run keeps; of a bird species this many to train on and as many to test on.
KEPT = 5

Size = TypeVar("Size")


def sized(full: Size, quick: Size) -> Size:
    """A number of the protocol, or its stand-in in a quick run."""
    return quick if QUICK else full


def unpacked(*archives: str) -> Path:
    """Unpack archives of :data:`DATA` into :data:`WORK`, once, and return that folder.

    A quick run keeps a few images of each class, and ends here, saying so, if an archive is missing.
    """
    if not QUICK:
        return unpack(archives, DATA, WORK)
    for name in archives:
        if not (DATA / name).is_file():
            print(f"skipped: {name} is not in {DATA}; set $TRANSFER_DATA to its folder")
            raise SystemExit(0)
        if not (WORK / f"{name}.finished").exists():
            _unpack_some(DATA / name)
            (WORK / f"{name}.finished").touch()
    return WORK


def _unpack_some(archive: Path) -> None:
    """Unpack :data:`KEPT` images of each folder of an archive; of CUB's, of both parts of each folder."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]
        lists = [member for member in files if member.name.endswith(".txt")]
        tar.extractall(WORK, lists, filter="data")
        part_of: dict[str, str] = {}
        for flags in (WORK / member.name for member in lists if member.name.endswith("/train_test_split.txt")):
            names = dict(line.split() for line in (flags.parent / "images.txt").read_text().splitlines())
            part_of = {names[number]: flag for number, flag in map(str.split, flags.read_text().splitlines())}
        kept: Counter[tuple[str, str]] = Counter()
        chosen = []
        for member in (member for member in files if member not in lists):
            folder, image = os.path.split(member.name)
            key = folder, part_of.get(f"{os.path.basename(folder)}/{image}", "")
            kept[key] += 1
            if kept[key] <= KEPT:
                chosen.append(member)
        tar.extractall(WORK, chosen, filter="data")
    if part_of:
        _keep_lines(WORK / lists[0].name.partition("/")[0])


def _keep_lines(folder: Path) -> None:
    """Leave out the lines of CUB's lists of images that were not unpacked."""
    lines = (folder / "images.txt").read_text().splitlines()
    there = {number for number, name in map(str.split, lines) if (folder / "images" / name).is_file()}
    for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt"):
        kept = [line for line in (folder / name).read_text().splitlines() if line.split()[0] in there]
        (folder / name).write_text("\n".join(kept) + "\n")


def record(path: Path, content: Mapping[str, Any], *packages: str) -> None:
    """Write a result with the versions behind it.

    Args:
        path: The JSON file, in :data:`RESULTS` or a folder below it.
        content: The command, the seed, the figures.
        packages: Packages that matter here beside those of :func:`features.infrastructure.provenance.versions`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**content, "versions": versions(*packages)}, ensure_ascii=False)
    write_json(path, json.loads(text.replace(f"{WORK}/", "")))
    print(f"written to {os.path.relpath(path)}", flush=True)


def read_table(path: Path) -> list[dict[str, str]]:
    """The whole lines of a table that only grows, without one that a kill cut off; empty if there is none."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a table, below its header, which the first one writes; several processes may add to one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), lineterminator="\n")
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        file.seek(0)
        there = file.read()
        whole = there[: there.rfind(b"\n") + 1]
        file.truncate(len(whole))  # without a line that a kill cut off
        if not whole:
            writer.writeheader()
        elif whole.splitlines()[0].decode() != ",".join(row):
            raise ValueError(f"{path}: has other columns than {', '.join(row)}; move it away")
        writer.writerow(row)
        file.write(text.getvalue().encode())


def hold_to_protocol(table: Path, command: str, protocol: Mapping[str, Any]) -> None:
    """Write beside a table that only grows what its lines depend on; of another protocol, none may be added.

    Raises:
        ValueError: The lines are of another protocol.
    """
    path = table.with_suffix(".protocol.json")
    if not path.is_file():
        record(path, {"command": command, "protocol": protocol})
    elif json.loads(path.read_text(encoding="utf-8"))["protocol"] != json.loads(json.dumps(protocol)):
        raise ValueError(f"{path}: the lines of the table are of another protocol; move both away")


def memory(name: str, status: str | None = None) -> int:
    """Bytes of memory of a process: VmRSS now, VmHWM at most.

    The peak that ``getrusage`` and ``wait4`` give is not used: a process starts with that of the one that started it.

    Args:
        name: ``VmRSS`` or ``VmHWM``.
        status: Text of the ``/proc/PID/status`` of the process, by default of this one.
    """
    lines = (Path("/proc/self/status").read_text(encoding="utf-8") if status is None else status).splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


@dataclass(frozen=True)
class Run:
    """What a command of the toolkit printed, and what its process took."""

    output: str
    seconds: float
    cpu_seconds: float
    peak_gib: float


#: Runs a command, and then writes its own status to a file that is open already.
_RUNNER = """
import os, sys
from transfer.cli import main
exit_status = main(sys.argv[2:])
with open("/proc/self/status", "rb") as file:
    os.write(int(sys.argv[1]), file.read())
sys.exit(exit_status)
"""


def run_transfer(*arguments: object, folder: Path = ROOT) -> Run:
    """Run ``transfer ARGUMENTS`` in a process of its own, in a folder; end here if it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    words = [*map(str, arguments)]
    with TemporaryFile() as file:
        argv = [sys.executable, "-c", _RUNNER, str(file.fileno()), *words]
        began, before = time.perf_counter(), os.times()
        done = subprocess.run(
            argv,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            pass_fds=[file.fileno()],
        )
        seconds, after = time.perf_counter() - began, os.times()
        file.seek(0)
        status = file.read().decode()
    if done.returncode:
        raise SystemExit(f"transfer {' '.join(words)}: status {done.returncode}")
    cpu_seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(done.stdout, seconds, cpu_seconds, memory("VmHWM", status) / 2**30)


def standard_error(values: ArrayLike) -> float | None:
    """Standard error of the mean of independent values, s/√n with the sample deviation s; None for fewer than two."""
    sample = np.asarray(values, dtype=np.float64)
    return float(sample.std(ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else None
