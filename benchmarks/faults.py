"""Disturb every command: kill it, fill the disk, forbid files, damage what it reads, start it twice.

    python benchmarks/faults.py --faults 400       (make faults)
    BENCH_QUICK=1 python benchmarks/faults.py      (30 faults, in make bench-quick)

After each fault the same command must go on or say in one line what is wrong; no final name may bear a partial file;
and the result must be that of an undisturbed run, but for dates, durations and logs. Only `survived` is right. `lost`
means a traceback, a hang, a partial file or a command that cannot be given again; `silently wrong`, another result
without a word. Faults are drawn with a seed; the moments of kills also depend on how fast the machine is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
from disturbing.child import run
from disturbing.faults import (
    LOST,
    SILENT,
    SURVIVED,
    Lab,
    Outcome,
    damaged,
    disk_full,
    forbidden,
    killed,
    one_rank_of_four,
    results,
    told_to_end,
    two_at_once,
)
from disturbing.world import JOBS, SETTING, Job, paint
from recording import QUICK, RESULTS, record, sized

#: Kind of fault → what disturbs a command, and how often it is drawn.
KINDS = {
    "killed": (killed, 4),
    "told to end": (told_to_end, 2),
    "disk full": (disk_full, 3),
    "forbidden": (forbidden, 1),
    "two at once": (two_at_once, 1),
    "damaged file": (damaged, 6),
}
#: Kills of one process of four, which take minutes each.
RANKS = 3


def built(work: Path) -> Lab:
    """Make the folder that faults start from, and run every command once undisturbed."""
    folder = work / "folder"
    paint(folder)
    for argv in SETTING:
        _well(folder, argv)
    lab = Lab(folder, work, {})
    for job in JOBS:
        with lab.copy() as copy:
            ended = _well(copy, job.argv)
            lab.reference[job] = results(copy, job, ended), ended.seconds
    return lab


def _well(folder: Path, argv: tuple[str, ...]):
    ended = run(folder, argv)
    if ended.status != 0:
        raise SystemExit(f"transfer {' '.join(argv)} does not run undisturbed: {ended.said}")
    return ended


def plan(number: int, seed: int) -> list[tuple[str, Job]]:
    """Kinds and commands, each pair as often as its kind is drawn, in an order by chance."""
    pairs = [(kind, job) for kind, (_, often) in KINDS.items() for job in JOBS for _ in range(often)]
    pairs = [(kind, job) for kind, job in pairs if job.reads or kind != "damaged file"]
    order = np.random.default_rng(seed)
    drawn: list[tuple[str, Job]] = []
    while len(drawn) < number:
        drawn += [pairs[i] for i in order.permutation(len(pairs))]
    return drawn[:number]


class Tally:
    """What came of the faults so far."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.wrong: list[dict[str, object]] = []

    def add(self, number: int, kind: str, command: str, outcome: Outcome) -> None:
        """Count an outcome, and print one that is not right."""
        self.counts[kind, command][outcome.verdict] += 1
        if outcome.verdict != SURVIVED:
            self.wrong.append({"number": number, "kind": kind, "command": command, **asdict(outcome)})
            print(f"{number}: {kind}, {command}: {outcome.verdict}: {outcome.evidence}", flush=True)

    def to_json(self) -> dict[str, object]:
        """The figures of the result."""
        total: Counter[str] = sum(self.counts.values(), Counter())
        table = [
            {"fault": kind, "command": command, "tried": sum(found.values()), **found}
            for (kind, command), found in sorted(self.counts.items())
        ]
        figures = {verdict: total[verdict] for verdict in (SURVIVED, LOST, SILENT)}
        return {"tried": sum(total.values()), **figures, "by_fault_and_command": table, "wrong": self.wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=sized(400, 30))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import matplotlib.pyplot  # noqa: F401  so that no command has to import them
    import timm  # noqa: F401
    from lightning import pytorch  # noqa: F401

    began, tally = time.perf_counter(), Tally()
    work = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        lab = built(work)
        for number, (kind, job) in enumerate(plan(options.faults, options.seed)):
            disturb = KINDS[kind][0]
            tally.add(number, kind, job.name, disturb(lab, job, np.random.default_rng((options.seed, number))))
        training = next(job for job in JOBS if job.name == "pretrain")
        for number in range(sized(RANKS, 0)):
            outcome = one_rank_of_four(lab, training, np.random.default_rng((options.seed, number)))
            tally.add(number, "one of four killed", training.name, outcome)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    show(tally.counts)
    content = {
        "command": "BENCH_QUICK=1 python benchmarks/faults.py" if QUICK else "make faults",
        "seed": options.seed,
        **tally.to_json(),
        "seconds": round(time.perf_counter() - began),
    }
    record(RESULTS / "faults.json", content)
    if tally.wrong:
        lines = [f"{one['kind']}, {one['command']}: {one['verdict']}: {one['evidence']}" for one in tally.wrong]
        sys.exit("\n".join([*lines, f"{len(lines)} faults were not survived"]))


def show(counts: dict[tuple[str, str], Counter[str]]) -> None:
    """Print survived of tried, fault × command."""
    commands = list(dict.fromkeys(job.name for job in JOBS))
    kinds = list(dict.fromkeys(kind for kind, _ in counts))
    print(" " * 20 + "".join(f"{name:>11}" for name in commands))
    for kind in kinds:
        cells = [counts.get((kind, name), Counter()) for name in commands]
        print(f"{kind:20}" + "".join(f"{f'{c[SURVIVED]} of {sum(c.values())}' if c else '':>11}" for c in cells))


if __name__ == "__main__":
    main()
