"""Where a training resumes: the state of an unfinished run, in the ``checkpoints`` folder of its run directory.

``resume.ckpt`` holds the state after some step, ``best.ckpt`` the weights of the best epoch. Both are for this project
alone to read, are written whole or not at all, and are deleted when the run is finished.

Lightning's ``ModelCheckpoint`` is not used: it could not resume the runs that were begun before, it saves on all
processes at once, so that they would have to agree on the time after every step, and it does not flush to the disk.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.infrastructure.files import atomic_file

if TYPE_CHECKING:
    from torch import Tensor

_RESUME, _BEST = "resume.ckpt", "best.ckpt"


def read_resume(checkpoints: Path) -> dict[str, Any]:
    """The state that was written last; empty if there is none.

    ``best`` is ``{"epoch": 0}`` if a better epoch was kept after the state was written: that epoch is trained again.
    """
    if not (checkpoints / _RESUME).is_file():
        return {}
    state = _read(checkpoints / _RESUME)
    best = state["best"]["epoch"]
    if best and not ((checkpoints / _BEST).is_file() and read_best(checkpoints)[0] == best):
        state["best"] = {"epoch": 0}
    return state


def write_resume(checkpoints: Path, state: Mapping[str, Any]) -> None:
    """Write the state to resume from, in place of the one before."""
    _write(checkpoints / _RESUME, state)


def read_best(checkpoints: Path) -> tuple[int, dict[str, Tensor]]:
    """The number of the best epoch, from 1, and its weights."""
    best = _read(checkpoints / _BEST)
    return int(best["epoch"]), best["model"]


def write_best(checkpoints: Path, epoch: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of the best epoch, in place of those before."""
    _write(checkpoints / _BEST, {"epoch": epoch, "model": weights})


def delete(checkpoints: Path) -> None:
    """Delete the state of a run that is finished."""
    for name in (_RESUME, _BEST):
        (checkpoints / name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _write(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_file(path) as aside:
        aside.write_bytes(buffer.getbuffer())  # on a full disk an OSError, which torch.save(state, path) does not raise
