"""Run every benchmark at smoke size, two at a time, and say how long each took; the first failure is shown.

    python benchmarks/quick.py

Images come from the archives of recording.py; a benchmark whose archives are missing says so and is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from recording import ROOT

#: Benchmarks, with what is typed behind them. The first ones unpack images and make features that others read.
FIRST = ("selection_quality", "selection_pays")
COMMANDS = (
    "faults",
    "similarity_predicts",
    "influence",
    "unlabelled",
    "fine_grained",
    "measures",
    "long_tail",
    "domain_ranking",
    "extract --device cpu",
    "interval_coverage",
    "train --device cpu",
    "emd",
    "emd --scale",
    "selection_scale",
    "large_lake",
    "plan",
    "measured_gains",
)


def run(command: str) -> tuple[str, int, str, float]:
    """A benchmark's command, its exit status, what it printed, and the seconds that it took."""
    name, *arguments = command.split()
    began = time.perf_counter()
    environment = os.environ | {"BENCH_QUICK": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return command, done.returncode, done.stdout, time.perf_counter() - began


def main() -> None:
    """Run all; end with status 1 if one failed."""
    began, failed = time.perf_counter(), False
    for group, workers in ((FIRST, 1), (COMMANDS, 2)):
        with ThreadPoolExecutor(workers) as pool:
            for command, status, printed, seconds in pool.map(run, group):
                skipped = [line for line in printed.splitlines() if line.startswith("skipped: ")]
                print(f"{command:<24}{seconds:6.1f} s  {skipped[0] if skipped else ''}".rstrip(), flush=True)
                if status:
                    failed = True
                    print(printed)
    print(f"all of them: {time.perf_counter() - began:.0f} s")
    sys.exit(failed)


if __name__ == "__main__":
    main()
