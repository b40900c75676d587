"""``transfer`` with a process that is killed once in the middle of its work; a job of torchrun runs it as a program.

Run as ``killed_process.py MARK TRANSFER_ARGUMENTS``. The process of rank 1 ends itself by SIGKILL if there is no file
MARK, which it makes first. A training writes its state after each step here. Each process of an extraction adds a line
to MARK.RANK for each batch, with a line ``start`` above those of each start.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from features.class_statistics import ClassStatistics
from features.infrastructure.processes import rank
from finetune.training import callbacks
from transfer.cli import end_process, main

#: The step of a training, and the batch of an extraction, after which it happens.
AFTER = 5


def die_once(mark: Path) -> None:
    """End this process unless it, or another one, has ended this way before."""
    if rank() == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def run(mark: Path, arguments: list[str]) -> int:
    """Run a command of ``transfer`` that is killed once; return its exit status."""
    end_step, add, batches = callbacks.TrainingCallback._end_step, ClassStatistics.add, []
    callbacks.CHECKPOINT_SECONDS = 0.0
    count = mark.with_name(f"{mark.name}.{rank()}")

    def note(line: str) -> None:
        with count.open("a") as file:
            file.write(f"{line}\n")

    def after_step(self: callbacks.TrainingCallback, trainer: Any) -> None:
        end_step(self, trainer)
        if self.step.step == AFTER:
            die_once(mark)

    def before_adding(self: ClassStatistics, *values: Any) -> None:
        if not batches:
            note("start")
        batches.append(1)
        if len(batches) == AFTER:
            die_once(mark)
        add(self, *values)
        note("batch")

    callbacks.TrainingCallback._end_step = after_step
    ClassStatistics.add = before_adding
    return main(arguments)


if __name__ == "__main__":
    end_process(run(Path(sys.argv[1]), sys.argv[2:]))
