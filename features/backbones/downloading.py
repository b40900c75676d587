"""Weights from elsewhere: one line if an address does not answer, holds no such model, or its weights do not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from torch.hub import get_dir

from features.backbones.family import OFFLINE
from features.backbones.weights_file import printable
from features.infrastructure.errors import InputError

#: Libraries whose errors are of the hub's network; their classes differ between versions of huggingface_hub.
_HUB = {"httpx", "httpx2", "httpcore", "requests", "urllib3", "huggingface_hub"}
#: Parts of names of errors for a host that cannot be reached, or answers too late.
_SILENT = ("ConnectError", "ConnectionError", "Timeout", "URLError", "LocalEntryNotFound", "OfflineMode", "gaierror")
#: Parts of names of errors for an address without such a model, or one that may not be read.
_ABSENT = ("RepositoryNotFound", "GatedRepo", "EntryNotFound", "RevisionNotFound", "HFValidationError")
#: Characters of an error of another library that are shown.
_SHOWN = 160


def downloading(name: str, build: Callable[[], Any]) -> Any:
    """Build a network whose weights may have to be downloaded; raise `InputError` if that fails.

    What has arrived is kept, so that the same call goes on with the rest.
    """
    try:
        with _without_retries_told():
            return build()
    except InputError:
        raise
    except Exception as error:  # hubs raise errors of several libraries
        if not isinstance(error, (OSError, RuntimeError, SafetensorError, UnpicklingError)) and not _of_hub(error):
            raise
        again = f"give the command again, {_other_way(error)}, or " if is_silent(error) else ""
        raise InputError(
            f"backbone {name}: its published weights could not be loaded ({fault(error)}); {again}give `weights` FILE, "
            f"or `backbone` {OFFLINE}, which needs no network"
        ) from error


def fault(error: BaseException) -> str:
    """Say in a few words what is wrong with an address, or with what it holds."""
    if is_silent(error):
        return f"no answer, or not in time: {_first_line([*_chain(error)][-1])}"
    if _is_any_of(error, _ABSENT):
        return "the hub has no such model or file, or not for you: check the name, and HF_TOKEN for a private model"
    return _first_line(error)


def is_silent(error: BaseException) -> bool:
    """Whether a host cannot be reached, or answers too late."""
    return _is_any_of(error, _SILENT)


def _is_any_of(error: BaseException, parts: tuple[str, ...]) -> bool:
    return any(part in type(one).__name__ for one in _chain(error) for part in parts)


@contextmanager
def _without_retries_told() -> Iterator[None]:
    """Without the hub's two lines for each of its attempts; the last one's failure is told."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _of_hub(error: BaseException) -> bool:
    return any(type(one).__module__.partition(".")[0] in _HUB for one in _chain(error))


def _other_way(error: BaseException) -> str:
    """What may help where a host does not answer: the Hugging Face hub, or another that torch.hub reads a file from."""
    if _of_hub(error):
        return "perhaps with more seconds in HF_HUB_DOWNLOAD_TIMEOUT"
    return f"or put the file, downloaded elsewhere, into {Path(get_dir()) / 'checkpoints'}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = [printable(line).strip() for line in str(error).replace("`", "'").splitlines() if line.strip()]
    said = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1]) or type(error).__name__
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
