"""Vetting: a second process surveys HDF5 files that are not known to be whole, before this one opens them.

A damaged file can make the HDF5 library loop for ever, where no signal is answered, or end the process. The second
process is bounded in time and memory. It is started at the first such file, serves for all others, and ends with this
process. Forking this one would be slower: it may hold gigabytes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

#: Seconds of CPU time for a file, and bytes that are read in a second more.
_CPU_SECONDS, _BYTES_A_SECOND = 3, 2**25
#: How much longer it may take by the clock, where the disk is slow or other processes compute.
_PATIENCE = 20
#: Bytes of address space, besides twice the size of the file.
_MEMORY = 2**30

_START = "import sys; sys.path[:] = {path!r}; from features.infrastructure.hdf5.vetting import serve; serve()"
_asking = threading.Lock()
_process: subprocess.Popen[bytes] | None = None


def fault_of(path: Path) -> str | None:
    """Return what is wrong with an HDF5 file; None if all of it can be visited in bounded time and memory."""
    global _process
    seconds = _CPU_SECONDS + path.stat().st_size // _BYTES_A_SECOND
    with _asking:
        if _process is None or _process.poll() is not None:
            _process = _started()
        if _process is None:
            return _surveyed(path)
        try:
            answer = _asked(_process, {"path": os.path.abspath(path), "seconds": seconds}, _PATIENCE * seconds)
        except BaseException:  # its next answer would be about this file
            _end()
            raise
        if answer is None:
            _end()
            return "damaged: the HDF5 library ends or hangs in it"
        return None if answer["fault"] is None else str(answer["fault"])


def _started() -> subprocess.Popen[bytes] | None:
    """Start the second process; None where that is not possible."""
    if not sys.executable:
        return None
    # Isolated: nothing is imported from the working directory, which may be that of somebody's data.
    path = [str(Path(__file__).parents[2]), *(os.path.abspath(entry) for entry in sys.path if entry)]
    command = [sys.executable, "-I", "-c", _START.format(path=path)]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process
        )
    except OSError:
        return None


def _asked(process: subprocess.Popen[bytes], request: dict[str, Any], patience: float) -> dict[str, Any] | None:
    """Return the answer of the second process; None if it ends or takes too long."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    if not select.select([process.stdout], [], [], patience)[0]:
        return None
    line = process.stdout.readline()
    return json.loads(line) if line.endswith(b"\n") else None


def _end() -> None:
    """End the second process."""
    global _process
    if _process is not None:
        _process.kill()
        _process.wait()
        for pipe in (_process.stdin, _process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    _process = None


def _forget() -> None:
    """A forked process has no second process yet: the one that it knows is its parent's."""
    global _process, _asking
    _process, _asking = None, threading.Lock()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def serve() -> None:
    """Answer requests for files, one a line, until there are no more."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        path = Path(request["path"])
        _bound(request["seconds"], _MEMORY + 2 * path.stat().st_size)
        print(json.dumps({"fault": _surveyed(path)}), flush=True)


def _surveyed(path: Path) -> str | None:
    import h5py

    from features.infrastructure.hdf5.survey import survey

    try:
        with h5py.File(path, "r", locking=False) as file:
            survey(file, path)
    except Exception as error:
        return reason(error)
    return None


def reason(error: Exception) -> str | None:
    """What an error says about the file that was read; None if it is about the system, and shows again."""
    from features.infrastructure.hdf5.survey import Suspect

    if isinstance(error, OSError) and error.errno is not None:
        return None
    if isinstance(error, MemoryError):
        return "damaged: it needs more memory than a file of its size can"
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return text if isinstance(error, Suspect) else f"damaged: {text}"


def _bound(seconds: int, memory: int) -> None:
    """Bound the CPU time of this process from now on, and its memory."""
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    for what, most in ((resource.RLIMIT_CPU, int(used) + 1 + seconds), (resource.RLIMIT_AS, memory)):
        hard = resource.getrlimit(what)[1]
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
