"""The process that reads hostile inputs, within limits: its parent sees a hang, a crash or a lack of memory as one."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from hostile.case import Case

from features.image_sources import UnreadableImage
from features.infrastructure import console
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from transfer.cli import main

#: Bytes of address space beyond those of a process that has imported everything.
MEMORY = 3 << 30
#: Images of a dataset that are decoded.
DECODED = 64
_NETWORK = ("--backbone", "resnet8", "--weights", "none", "--device", "cpu", "--workers", "0")


def outcome(case: Case, folder: Path) -> dict[str, Any]:
    """What becomes of a case: its classes or its refusal, and what the commands say."""
    given = case.build(folder)
    found: dict[str, Any] = {}
    try:
        if isinstance(given, str):
            features = given.startswith("features:")
            dataset = open_dataset(given, images=not features)
            found["classes"] = dict(zip(dataset.classes, dataset.counts.tolist(), strict=True))
            found["ids"] = list(dataset.ids[:DECODED])
            assert dataset.manifest_sha256
            reasons = []
            if features:
                assert sum(len(block) for block in dataset.source.blocks(range(len(dataset)))) == len(dataset)
            for i in range(0 if features else min(len(dataset), DECODED)):
                try:
                    dataset.image(i)
                except UnreadableImage as error:
                    reasons.append(str(error))
            found["unreadable"] = reasons
        else:
            found["classes"], found["unreadable"], found["ids"] = dict(given()), [], []
    except InputError as error:
        found["refused"] = str(error)
    if isinstance(given, str):
        found["commands"] = {
            name: command(line) | {"lazy": given.startswith("features:")}
            for name, line in command_lines(case, given, folder / "out").items()
        }
    return found


def command_lines(case: Case, spec: str, out: Path) -> dict[str, list[str]]:
    """The command lines of a case, by command."""
    unreadable = ("--max-unreadable", "0.9")
    lines = {
        "inspect": ["inspect", spec],
        "extract": ["extract", spec, *_NETWORK, *unreadable, "--out", f"{out}.h5"],
        "finetune": ["finetune", spec, "--init", "resnet8", *_NETWORK[2:], "--epochs", "1", "--out", f"{out}.run"],
        "predict": ["predict", "resnet8", spec, "--out", f"{out}.csv"],
        "duplicates": ["duplicates", f"{out}.h5", "--out", f"{out}.copies.csv"],
        "try": ["try", spec.partition(":")[2].partition("?")[0], "--dry-run", "--out", f"{out}.try"],
    }
    return {name: lines[name] for name in ("inspect", *case.commands)}


def command(line: list[str]) -> dict[str, Any]:
    """Give a command; return its status and what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        console.console.file = err
        try:
            status = main(line)
        finally:
            console.console.file = None
    return {"status": status, "out": out.getvalue()[-20_000:], "err": err.getvalue()[-20_000:]}


def serve() -> None:
    """Read the names of cases, and answer each with what became of it, one line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    given = import_module(sys.argv[1])
    for name in given.NEEDS:
        with contextlib.suppress(ImportError):  # of an extra
            import_module(name)  # memory is limited from here on
    gc.collect()
    gc.freeze()  # so that collecting after each case is quick
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cases = {case.name: case for case in given.CASES}
    with tempfile.TemporaryDirectory() as programs:
        _pretend(Path(programs) / "gs")
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        _answer(cases, answers)


def _pretend(program: Path) -> None:
    """Make a program that leaves a trace where it is run."""
    program.write_text("#!/bin/sh\nmkdir run-by-a-program\n")
    program.chmod(0o755)


def _answer(cases: Mapping[str, Case], answers: IO[str]) -> None:
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        case = cases[json.loads(line)]
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            console.say_once.cache_clear()
            try:
                found = outcome(case, Path(folder) / "given")
            except BaseException as error:
                found = {"raised": f"{type(error).__name__}: {error}"[:500], "trace": traceback.format_exc()[-3000:]}
            os.chdir("/")
            gc.collect()
            names = (name for _, *parts in os.walk(folder) for part in parts for name in part)
            if ran := [name for name in names if name.startswith("run-by-")]:
                found["ran"] = ran
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    serve()
