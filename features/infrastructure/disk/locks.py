"""File locks: at most one process writes an output at a time.

``filelock`` is not used: its ``flock`` is inherited by forked data-loader workers, which would hold it after a kill.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address, Location

#: Seconds between two attempts to get a lock.
_ASK_AGAIN = 0.05
#: What file systems answer that have no locks, or whose lock daemon does not run.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def locked(out: Location, argument: str = "`out`", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of ``out``, ``.NAME.lock`` beside it, for this process; messages call it ``argument``.

    With ``wait``, wait for the other process instead of raising.

    Some network file systems have no locks, and no store has; nothing is locked there, and a line says so.

    The operating system releases the lock when the process ends, however it ends. A lock file that is left on the disk
    locks nothing. Threads of one process do not exclude each other. A missing parent directory is made.

    Raises:
        InputError: Without ``wait``, another process holds the lock; the message gives its number and its machine.
    """
    import fcntl

    if isinstance(out, Address):
        say_once(f"{out}: stores have no locks; do not write one output from two processes: the last one replaces it")
        yield
        return
    path = out.absolute().with_name(f".{out.absolute().name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with _opened(path, argument) as file:
            try:
                # A record lock belongs to the process: its forked workers, which may outlive it, do not hold it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                if wait:  # by asking again, because a signal does not end a call that waits
                    say_once(f"{out}: waiting for process {holder}, which is writing it")
                    time.sleep(_ASK_AGAIN)
                    continue
                held = f"another process is writing it (process {holder})"
                raise InputError(f"{argument} {out}: {held}; wait for it or name another file") from error
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                say_once(
                    f"{path.parent}: the file system has no locks ({error.strerror}); do not write one output from two "
                    f"processes"
                )
            if not _is_at(path, file):
                continue  # the last holder removed this file after we had opened it
            file.truncate(0)
            with suppress(OSError):  # a full disk has no room for a name, and locks all the same
                os.write(file.fileno(), f"{os.getpid()} on {os.uname().nodename}".encode())
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _opened(path: Path, argument: str) -> TextIO:
    """Open a lock file, which is made if it is missing; a link there would lead to a file of something else."""
    try:
        return os.fdopen(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "a+"
        )
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{argument}: {path} is a link, and no lock; remove it") from error


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether an open file is the one that now has the name ``path``."""
    try:
        return os.stat(path).st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
