"""The kinds of faults. Each disturbs one command in a fresh copy of the folder, and says what came of it."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from disturbing.child import Ended, Running, run
from disturbing.contents import contents, difference, is_left
from disturbing.mutations import mutations
from disturbing.world import Job

#: What may come of a fault. Only the first is right.
SURVIVED, LOST, SILENT = "survived", "lost", "silently wrong"


@dataclass(frozen=True)
class Outcome:
    """What came of a fault, and the evidence if it is not right."""

    verdict: str
    evidence: str = ""


@dataclass(frozen=True)
class Lab:
    """Where commands are disturbed.

    Attributes:
        folder: The folder that every fault starts from.
        work: Where its copies are.
        reference: Job → what its outputs hold undisturbed, and the seconds that it takes.
    """

    folder: Path
    work: Path
    reference: dict[Job, tuple[dict[str, object], float]]

    @contextmanager
    def copy(self, place: Path | None = None) -> Iterator[Path]:
        """A copy of the folder that is removed in the end."""
        to = (place or self.work) / f"copy-{os.urandom(4).hex()}"
        shutil.copytree(self.folder, to, symlinks=True)
        try:
            yield to
        finally:
            shutil.rmtree(to, ignore_errors=True)


def results(folder: Path, job: Job, ended: Ended | None = None) -> dict[str, object]:
    """What the outputs of a job hold, and what it printed if that is its result."""
    found: dict[str, object] = {name: contents(folder / name) for name in job.outputs}
    return found | ({"stdout": ended.result} if ended is not None and "--json" in job.argv else {})


def killed(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """SIGKILL at a random moment, which nothing can prepare for."""
    return _stopped(lab, job, rng, signal.SIGKILL)


def told_to_end(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """SIGTERM, SIGHUP or SIGINT at a random moment: the status must not be 0 unless the work is done."""
    return _stopped(lab, job, rng, int(rng.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT])))


def _stopped(lab: Lab, job: Job, rng: np.random.Generator, number: int) -> Outcome:
    with lab.copy() as folder:
        running = Running(folder, job.argv)
        time.sleep(rng.uniform(0, lab.reference[job][1]))
        running.send(number)
        ended = running.wait()
        if ended.status == 0 and results(folder, job, ended) != lab.reference[job][0]:
            return Outcome(LOST, "ended with status 0 before the work was done")
        return _goes_on(lab, job, folder, ended)


def disk_full(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """A random number of bytes can be written: on a small disk or, without the right to mount one, in each file."""
    with lab.copy() as folder:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    room = int(rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 128, 256])) * 1024
    disk = lab.work / "disk"
    disk.mkdir(exist_ok=True)
    size += 4096 * sum(1 for _ in lab.folder.rglob("*")) + room
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode
    ):
        with lab.copy() as folder:
            return _goes_on(lab, job, folder, run(folder, job.argv, lambda: _limit_files(room)))
    try:
        with lab.copy(disk) as folder:
            ended = run(folder, job.argv)
            subprocess.run(["mount", "-o", "remount,size=512m", disk], check=True)
            return _goes_on(lab, job, folder, ended)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def forbidden(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """At a random moment a file that the command reads, or the folder that it writes in, loses its permissions."""
    with lab.copy() as folder:
        places = [folder / name for name in job.reads] or [folder]
        place = places[int(rng.integers(len(places)))] if rng.random() < 0.6 else folder
        mode = place.stat().st_mode
        running = Running(folder, job.argv, _without_privilege)
        time.sleep(rng.uniform(0, lab.reference[job][1]))
        place.chmod(0o555 if place == folder else 0)
        ended = running.wait()
        place.chmod(mode)
        return _goes_on(lab, job, folder, ended)


def _without_privilege() -> None:
    """Give up root's right to read and write what permissions forbid."""
    if os.geteuid():
        return
    kept = ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for i in range(3):
        sets[i] &= kept & 0xFFFFFFFF
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def two_at_once(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """The same command twice at the same time: one may be refused, and the result is that of one."""
    with lab.copy() as folder:
        first = Running(folder, job.argv)
        time.sleep(rng.uniform(0, 0.5 * lab.reference[job][1]))
        second = Running(folder, job.argv)
        both = [first.wait(), second.wait()]
        if not any(ended.status == 0 for ended in both):
            return Outcome(LOST, f"none of two ended well: {both[0].error} | {both[1].error}")
        for ended in both:
            if ended.status != 0 and not ended.is_refusal:
                return Outcome(LOST, _tail(ended))
        return _goes_on(lab, job, folder, next(ended for ended in both if ended.status == 0))


def damaged(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """A file that the command reads is damaged: a line names it, or the result is the same."""
    with lab.copy() as folder:
        path = folder / job.reads[int(rng.integers(len(job.reads)))]
        whole = path.read_bytes()
        kinds = list(mutations(whole, int(rng.integers(1 << 30))))
        how, changed = kinds[int(rng.integers(len(kinds)))]
        path.write_bytes(changed)
        ended = run(folder, job.argv)
        where = f"{path.relative_to(folder)}, {how}"
        if ended.status == 0:
            try:
                same = results(folder, job, ended) == lab.reference[job][0]
            except Exception as error:
                return Outcome(SILENT, f"{where}: {type(error).__name__} {error}")
            said = path.name in ended.said
            return Outcome(SURVIVED) if same or said else Outcome(SILENT, where)
        if not ended.is_refusal:
            return Outcome(LOST, f"{where}: {_tail(ended)}")
        path.write_bytes(whole)
        outcome = _goes_on(lab, job, folder, ended)
        return Outcome(outcome.verdict, f"{where}: {outcome.evidence}" if outcome.evidence else "")


def one_rank_of_four(lab: Lab, job: Job, rng: np.random.Generator) -> Outcome:
    """One of four processes of a training is killed; the same command goes on."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", "-m", "transfer"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with lab.copy() as folder, lab.copy() as undisturbed:
        subprocess.run([*launch, *job.argv], cwd=undisturbed, env=environment, check=True, capture_output=True)
        process = subprocess.Popen(
            [*launch, *job.argv], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.perf_counter() + 300
        while not (folder / job.outputs[0] / "history.csv").exists() and time.perf_counter() < deadline:
            time.sleep(0.05)
        ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        if ranks.stdout:
            os.kill(int(rng.choice([int(rank) for rank in ranks.stdout.split()])), signal.SIGKILL)
        process.wait(300)
        again = subprocess.run(
            [*launch, *job.argv], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if again.returncode or results(folder, job) != results(undisturbed, job):
            return Outcome(LOST, f"after the kill of a rank: {again.stderr.strip()[-300:]}")
        return Outcome(SURVIVED)


def _goes_on(lab: Lab, job: Job, folder: Path, ended: Ended) -> Outcome:
    """Whether nothing half-written has a final name, and the same command ends with the undisturbed result."""
    reference = lab.reference[job][0]
    if ended.status is None or "Traceback" in ended.said:
        return Outcome(LOST, "hung" if ended.status is None else _tail(ended))
    if ended.status == 2 and not ended.is_refusal:
        return Outcome(LOST, _tail(ended))
    for name in job.outputs:
        try:
            found = contents(folder / name)
        except Exception as error:
            return Outcome(LOST, f"{name} is not whole: {type(error).__name__}: {error}")
        if found and not (folder / name).is_dir() and found != reference[name]:
            return Outcome(SILENT, f"{name} has its name and other content")
    again = run(folder, job.argv)
    complete = again.is_refusal and "is there already" in again.error
    if again.status != 0 and not complete:
        return Outcome(LOST, f"then: {_tail(again)}")
    if again.status != 0 and "stdout" in reference:
        again = run(folder, [*job.argv, "--overwrite"])
    if where := difference(results(folder, job, again), reference):
        return Outcome(SILENT, f"the same command again gave another result: {where}")
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and is_left(path))
    left = [name for name in left if not name.endswith(".lock")]  # which locks nothing once its process has ended
    return Outcome(LOST, f"left behind: {', '.join(left)}") if left else Outcome(SURVIVED)


def _tail(ended: Ended) -> str:
    return f"status {ended.status}: {ended.said.strip()[-300:]}"
