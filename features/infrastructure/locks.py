"""One process at a time on one output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.infrastructure.errors import InputError


@contextmanager
def locked(out: Path, option: str = "--out") -> Iterator[None]:
    """Hold ``out`` for this process; the operating system lets go of it however the process ends.

    Threads of one process do not exclude each other.

    Raises:
        InputError: Another process holds it.
    """
    import fcntl

    lock = out.absolute().with_name(f".{out.absolute().name}.lock")
    while True:
        with lock.open("a+") as file:
            try:
                # A record lock belongs to the process: worker processes that outlive it by a moment do not hold it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                held = f"another process is writing it (process {holder})"
                raise InputError(f"{option} {out}: {held}; wait for it or name another file") from error
            if not lock.exists() or os.stat(lock).st_ino != os.fstat(file.fileno()).st_ino:
                continue  # the holder before us has removed this file after we had opened it
            file.truncate(0)
            file.write(f"{os.getpid()} on {os.uname().nodename}")
            file.flush()
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
