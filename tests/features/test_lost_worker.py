"""A worker process that the system ends is told in one line, wherever PyTorch says it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support import picture
from torch.utils.data import Dataset

from features.decoding import fetched, lost_worker
from features.infrastructure.errors import InputError


class Ended(Dataset):
    """Ends the process that reads its second batch, as the system does where memory is short."""

    def __init__(self, how: signal.Signals) -> None:
        self.how = how

    def __getitem__(self, batch: range) -> int:
        if 1 in batch:
            os.kill(os.getpid(), self.how)
        return len(batch)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_that_is_ended_is_one_line(how):
    with pytest.raises(InputError, match=r"worker process .* was ended.*`workers` .*`batch_size`") as caught:
        list(fetched(Ended(how), [range(1), range(1, 2), range(2, 3)], workers=1))
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are():
    assert lost_worker(RuntimeError("CUDA out of memory")) == ""
    assert "(Killed)" in lost_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    assert lost_worker(RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"))


COMMANDS = {
    "extract": ["extract", "SPEC", "--backbone", "resnet8", "--weights", "none", "--out", "x.h5"],
    "finetune": ["finetune", "SPEC", "--init", "resnet8", "--weights", "none", "--epochs", "1", "--out", "run"],
}
_RUN = """
import os, signal, sys
import features.image_sources as sources
own, parent = sources.FileImages.read, os.getpid()
def read(self, index, min_side=None):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return own(self, index, min_side)
sources.FileImages.read = read
from transfer.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_worker_is_ended_prints_one_line(name, tmp_path):
    for label in ("ant", "bee"):
        for i in range(8):
            picture(tmp_path / "f" / label / f"{i}.png", 30 * i)
    line = [word.replace("SPEC", f"folder:{tmp_path / 'f'}") for word in COMMANDS[name]]
    options = ["--workers", "1", "--device", "cpu", "--batch-size", "4"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *line, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    errors = [text for text in done.stderr.splitlines() if "error" in text.lower()]
    assert done.returncode == 2 and len(errors) == 1, done.stderr
    assert errors[0].startswith(f"transfer {name}: error: a worker process") and "--workers" in errors[0]
    assert "Traceback" not in done.stderr and not (tmp_path / "x.h5").exists()
