"""What the processes of a job decide together: one reads for all, all have the same, and each start is a new one."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from nodes import ROOT

from features.infrastructure import processes
from features.infrastructure.errors import InputError
from features.infrastructure.processes import from_first, lost_process, of_this_start, require_same

#: Prints a line of JSON in each of two processes, which differ in memory and hardware.
SCRIPT = """
import json, os, sys
from features.infrastructure import devices
from features.infrastructure.errors import InputError
from features.infrastructure.processes import end_process, from_first, rank, require_same
from finetune.training.batches import fit_in_memory
import torch

def attempt(call):
    try:
        return call()
    except (InputError, OSError) as error:
        return f"{type(error).__name__}: {error}"

def read():
    if rank():
        raise AssertionError("only the first process reads")
    return {"step": 7}

def refuse():
    raise InputError("`out` is damaged")

def full():
    raise OSError(28, "No space left on device", "run/history.csv")

memory = 10_000 if rank() == 0 else 1_000
os.sysconf = lambda name: 1 if name == "SC_PAGE_SIZE" else memory
devices._cpu_computes_bfloat16 = lambda: rank() == 0
cpu = torch.device("cpu")
print(json.dumps([
    attempt(lambda: from_first(read)),
    attempt(lambda: from_first(refuse)),
    attempt(lambda: from_first(full)),
    attempt(lambda: require_same("the job", {"lr": 0.1}, "give one")),
    attempt(lambda: require_same("the job", {"lr": 0.1, "seed": rank()}, "give one")),
    [fit_in_memory(images, 2) for images in (5, 50)],
    [devices.pick_precision("auto", cpu), devices.job_precision("auto", cpu), devices.job_precision("bf16", cpu)],
]))
end_process(0)
"""


def test_two_processes_decide_together(tmp_path):
    (tmp_path / "job.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launcher += ["--redirects", "3", "--log-dir", str(tmp_path / "logs")]
    done = subprocess.run([*launcher, str(tmp_path / "job.py")], timeout=120, cwd=ROOT, check=False)
    said = [path.read_text() for path in sorted((tmp_path / "logs").rglob("stdout.log"))]
    assert done.returncode == 0 and len(said) == 2
    first, other = map(json.loads, said)
    assert first[0] == other[0] == {"step": 7}
    assert first[1] == other[1] == "InputError: `out` is damaged"
    assert first[2] == other[2] == "OSError: [Errno 28] No space left on device: 'run/history.csv'"
    assert first[3] is other[3] is None
    assert first[4] == other[4] == "InputError: the job: seed is 0 in process 0 and 1 in process 1; give one"
    assert first[5] == other[5] == [True, False]  # 60 and 600 bytes: a quarter of half the memory is 1,250 and 125
    assert (first[6], other[6]) == (["bf16", "fp32", "bf16"], ["fp32", "fp32", "bf16"])


def test_a_job_of_one_process_asks_nobody():
    assert from_first(lambda: 3) == 3
    require_same("the job", {"lr": 0.1}, "give one")
    with pytest.raises(InputError, match="damaged"):
        from_first(damaged)


def damaged():
    raise InputError("`out` is damaged")


def test_a_value_that_a_process_lacks(monkeypatch):
    monkeypatch.setattr(processes, "gather", lambda values: [values, {}])
    with pytest.raises(InputError, match=r"the job: lr is 0.1 in process 0 and None in process 1; give one"):
        require_same("the job", {"lr": 0.1}, "give one")


def test_a_start_does_not_see_the_keys_of_the_one_before():
    """Each of three processes has a connection of its own to the store, which the launcher keeps between two starts."""
    from torch.distributed import TCPStore

    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))

    def begin(own):
        client = TCPStore("127.0.0.1", server.port, is_master=False, timeout=timedelta(seconds=60))
        store = of_this_start(client, own, 3)
        before = store.check([f"address/{own}"])
        store.set(f"address/{own}", str(own))
        return before, [store.get(f"address/{other}") for other in range(3)]

    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(begin, range(3))) == [(False, [b"0", b"1", b"2"])] * 3


def test_an_error_after_the_end_of_another_process(monkeypatch):
    error = RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:1: Connection reset by peer")
    assert lost_process(error) == ""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert lost_process(error) == "process 2 of 4 stops, because another process of the job has ended"
    assert lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) == ""
