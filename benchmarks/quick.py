"""Run every benchmark at smoke size, two at a time; say how long each took, and show what failed.

    python benchmarks/quick.py

Images come from the archives of recording.py; a benchmark whose archives are missing says so and is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from recording import ROOT

#: Benchmarks, with what is typed behind them. The first ones unpack images and make features that the last ones read.
FIRST = ("selection_quality", "selection_pays")
WITHOUT_IMAGES = (
    "emd",
    "faults",
    "large_lake",
    "interval_coverage",
    "selection_scale",
    "train --device cpu",
    "emd --scale",  # adds to the result of emd
)
WITH_IMAGES = (
    "influence",
    "extract --device cpu",
    "measures",
    "domain_ranking",
    "similarity_predicts",
    "fine_grained",
    "unlabelled",
    "measured_gains",
    "plan",
    "long_tail",
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


def show(command: str, printed: str, seconds: float) -> None:
    """Print how long a benchmark took, or why it was skipped."""
    skipped = [line for line in printed.splitlines() if line.startswith("skipped: ")]
    print(f"{command:<24}{seconds:6.1f} s  {skipped[0] if skipped else ''}".rstrip(), flush=True)


def main() -> None:
    """Run all; print what those that failed have printed, and end with status 1 if there is one."""
    began, failed = time.perf_counter(), []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: [run(command) for command in FIRST])
        others = [pool.submit(run, command) for command in WITHOUT_IMAGES]
        finished = first.result()
        others += [pool.submit(run, command) for command in WITH_IMAGES]
        for command, status, printed, seconds in chain(finished, (other.result() for other in others)):
            show(command, printed, seconds)
            failed += [f"{command}:\n{printed}"] if status else []
    print(f"all of them: {time.perf_counter() - began:.0f} s")
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
