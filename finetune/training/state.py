"""Where a training resumes: the state of an unfinished run, in the ``checkpoints`` folder of its run directory.

``resume.ckpt`` holds the state after some step, ``best.ckpt`` the weights of the best epoch. Both are for this project
alone to read, are written whole or not at all, and are deleted when the run is finished.

Lightning's ``ModelCheckpoint`` is not used: it could not resume the runs that were begun before, it saves on all
processes at once, so that they would have to agree on the time after every step, and it does not flush to the disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from features.infrastructure.disk.files import atomic_file
from features.infrastructure.errors import InputError
from features.infrastructure.formats.shapes import Count, Share, fault_in
from features.infrastructure.formats.torch_files import read_torch
from features.infrastructure.options import Range
from features.tensors import check_finite

if TYPE_CHECKING:
    from torch import Tensor

_RESUME, _BEST = "resume.ckpt", "best.ckpt"
#: What to do about a damaged state.
_AGAIN = "restore it from a copy, or delete both of resume.ckpt and best.ckpt to train from the beginning"


class _Epoch(TypedDict):
    loss: float
    images: Count
    seconds: Annotated[float, Range(0)]


class _BestSoFar(TypedDict):
    epoch: Count


class _BestFigures(_BestSoFar, total=False):
    top1: Share
    top5: Share
    macro: Share
    images: Count


class _State(TypedDict):
    step: Annotated[int, Range(1)]
    model: dict[str, Any]
    optimizer: dict[str, Any]


class _Resumable(_State, total=False):
    """The content of ``resume.ckpt``; that of earlier versions may lack the rest."""

    epoch: _Epoch
    best: _BestFigures
    callbacks: dict[str, Any]
    average: dict[str, Any]
    start: dict[str, Any]
    co_trained_head: dict[str, Any]


class _BestWeights(TypedDict):
    epoch: Annotated[int, Range(1)]
    model: dict[str, Any]


def is_begun(checkpoints: Path) -> bool:
    """Whether there is a state to resume from."""
    return (checkpoints / _RESUME).is_file()


def read_resume(checkpoints: Path) -> dict[str, Any]:
    """The state that was written last; empty if there is none.

    ``best`` is ``{"epoch": 0}`` if a better epoch was kept after the state was written: that epoch is trained again.

    Raises:
        InputError: The state, or the weights of the best epoch that it names, are missing or damaged.
    """
    if not is_begun(checkpoints):
        return {}
    state = _read(checkpoints / _RESUME, _Resumable)
    best = state.get("best", {"epoch": 0})["epoch"]
    if best and (kept := read_best(checkpoints)[0]) != best:
        if kept < best:
            raise _damaged(checkpoints / _BEST, f"it holds epoch {kept}; the best one is {best}")
        state["best"] = {"epoch": 0}
    return state


@contextmanager
def fitting(checkpoints: Path) -> Iterator[None]:
    """Turn an error of the block, which takes a state over, into an `InputError`: the state is of another network."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(checkpoints / _RESUME, " ".join(str(error).split())[:300] or type(error).__name__) from error


def write_resume(checkpoints: Path, state: Mapping[str, Any]) -> None:
    """Write the state to resume from, in place of the one before."""
    _write(checkpoints / _RESUME, state)


def read_best(checkpoints: Path) -> tuple[int, dict[str, Tensor]]:
    """The number of the best epoch, from 1, and its weights; raises ``InputError`` if they are missing or damaged."""
    best = _read(checkpoints / _BEST, _BestWeights)
    return int(best["epoch"]), best["model"]


def write_best(checkpoints: Path, epoch: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of the best epoch, in place of those before."""
    _write(checkpoints / _BEST, {"epoch": epoch, "model": weights})


def delete(checkpoints: Path) -> None:
    """Delete the state of a run that is finished."""
    for name in (_RESUME, _BEST):
        (checkpoints / name).unlink(missing_ok=True)


def _read(path: Path, shape: Any) -> dict[str, Any]:
    try:
        state: dict[str, Any] = read_torch(path, "state of an unfinished training")
    except InputError as error:
        raise _damaged(path, "it is not there" if not path.exists() else str(error)) from error
    except Exception as error:  # PyTorch raises errors of any type on a file that it did not write
        raise _damaged(path, " ".join(str(error).split())[:300] or type(error).__name__) from error
    if fault := fault_in(state, shape):
        raise _damaged(path, fault)
    check_finite(
        {name: value for name, value in state["model"].items() if hasattr(value, "isfinite")},
        str(path),
        _AGAIN,
        head=True,
    )
    return state


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: the state of the unfinished training cannot be used ({reason}); {_AGAIN}")


def _write(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_file(path) as aside:
        aside.write_bytes(buffer.getbuffer())  # on a full disk an OSError, which torch.save(state, path) does not raise
