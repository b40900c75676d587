"""Several files of one command: all of them take their names, or none does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from features.infrastructure.console import console
from features.infrastructure.disk.files import TEXT, put_in_place
from features.infrastructure.disk.locks import locked
from features.infrastructure.storage.addresses import Location, working_file


@contextmanager
def atomic_files(paths: Sequence[Location]) -> Iterator[list[Path]]:
    """Yield a path beside each of ``paths`` to write to; the files take their names once all of them are on the disk.

    If the block raises, none does. A journal beside the first file lists them while they do: if the process is killed
    then, :func:`finish_joint_files` ends what it began. See
    :func:`features.infrastructure.disk.files.atomic_file` for links, locks and addresses.
    """
    if not paths:
        yield []
        return
    paths = [path.resolve() for path in paths]
    asides = [working_file(path, ".part", ".") for path in paths]
    journal = _journal(paths)
    with ExitStack() as held:
        for aside in sorted(asides):  # in one order, so that two processes do not wait for each other
            held.enter_context(locked(aside, wait=True))
        try:
            yield asides
            for aside in asides:
                with aside.open("rb") as written:
                    os.fsync(written.fileno())
            _write_journal(journal, paths)
        except BaseException:
            for file in (journal, *asides):
                file.unlink(missing_ok=True)
            raise
        for aside, path in zip(asides, paths, strict=True):
            put_in_place(aside, path)
        journal.unlink()


def finish_joint_files(paths: Sequence[Location]) -> None:
    """Give the complete files of a command their names if it was killed while they took them.

    A journal that lists other files than ``paths`` is left alone: it belongs to another command.
    """
    if not paths:
        return
    paths = [path.resolve() for path in paths]
    journal = _journal(paths)
    try:
        listed = json.loads(journal.read_text(**TEXT)) if journal.is_file() else None
    except ValueError:  # the process was killed before the journal was complete
        journal.unlink()
        return
    if listed != [str(path) for path in paths]:
        return
    for path in paths:
        aside = working_file(path, ".part", ".")
        if aside.is_file():
            put_in_place(aside, path)
            console.print(f"{path}: complete; an earlier command was ended before it took this name")
    journal.unlink(missing_ok=True)


def _write_journal(journal: Path, paths: Sequence[Location]) -> None:
    with journal.open("w", **TEXT) as file:
        json.dump([str(path) for path in paths], file)
        file.flush()
        os.fsync(file.fileno())


def _journal(paths: Sequence[Location]) -> Path:
    return working_file(paths[0], ".together", ".")
