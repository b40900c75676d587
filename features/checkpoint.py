"""A checkpoint of a trained model: its tensors as safetensors, everything else as a JSON card. No pickle.

``checkpoints/NAME.safetensors`` holds ``backbone.*`` and ``head.*``; ``checkpoints/NAME.json`` is the card, with a
digest of the tensors' file. Only this module knows the layout.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from safetensors import SafetensorError, safe_open

from features.infrastructure.disk.files import atomic_file
from features.infrastructure.disk.regular_files import file_sha256
from features.infrastructure.errors import InputError
from features.infrastructure.formats.shapes import Count, fault_in
from features.infrastructure.formats.structured_files import read_json, write_sealed_json
from features.infrastructure.names import class_names
from features.infrastructure.options import Range
from features.preprocessing import Preprocessing
from features.tensors import check_finite, tensors_sha256

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "transfer.checkpoint"
SCHEMA_VERSION = 1
#: The card's entry for the SHA-256 of the file of tensors; cards of earlier versions have that of the backbone alone.
_TENSORS, _BACKBONE = "tensors_sha256", "weights_sha256"
#: What to do about a damaged checkpoint.
RESTORE = "restore the checkpoint from a copy, or train again"


class _Required(TypedDict):
    backbone: str
    preprocessing: dict[str, Any]
    classes: list[str]


class Card(_Required, total=False):
    """What a card holds; cards that others write may lack what is about a classifier."""

    dim: Annotated[int, Range(1)]
    weights_sha256: str
    tensors_sha256: str
    blueprint: dict[str, Any]
    head: str
    sigmoid: bool
    scale: Annotated[float, Range(0, 10**6, above=True)]
    train_counts: list[Count]
    classifier_counts: list[Count]
    class_numbers: list[int]
    origin: list[Any]
    balanced_by: str | None
    data: str
    metrics: dict[str, Any]
    fit: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        path: The ``.safetensors`` file.
        card: The JSON card beside it.
    """

    path: Path
    card: Mapping[str, Any]

    @property
    def backbone(self) -> str:
        """Architecture name of the backbone."""
        return str(self.card["backbone"])

    @property
    def blueprint(self) -> Mapping[str, Any] | None:
        """What builds the backbone without the address that it came from; None if its name does."""
        return self.card.get("blueprint")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the head, in the order of its logits."""
        return class_names(self.card["classes"])

    @property
    def preprocessing(self) -> Preprocessing:
        """The input transform that the model was trained with."""
        return Preprocessing.from_json(self.card["preprocessing"])

    def state(self, prefix: str) -> dict[str, Tensor]:
        """Read the tensors whose names begin with ``prefix``, by name without it.

        Raises:
            InputError: The file is damaged, is not the one that the card states, or holds a value that is no number.
        """
        stated = self.card.get(_TENSORS)
        if stated is not None and stated != _sha256(self.path):
            raise self._other()
        try:
            with safe_open(self.path, "pt") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                found = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.path}: the checkpoint's tensors cannot be read ({error}); {RESTORE}") from error
        if stated is None and prefix == "backbone." and self.card.get(_BACKBONE) not in (None, tensors_sha256(found)):
            raise self._other()
        check_finite(found, str(self.path), RESTORE, head=prefix == "head.")
        return found

    def _other(self) -> InputError:
        return InputError(
            f"{self.path}: its tensors are not those that its card {self.path.with_suffix('.json').name} states: a "
            f"byte has changed, or the two are of different trainings; {RESTORE}"
        )


def _sha256(path: Path) -> str:
    """The SHA-256 of a file, computed once for each state of it: a model is read in two parts."""
    state = path.stat()
    return _sha256_of(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, *_: int) -> str:
    return file_sha256(path, "file of tensors")


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint, each file completely or not at all, the card last.

    ``path`` is the ``.safetensors`` file. The card needs at least ``backbone``, ``preprocessing`` and ``classes``.

    Raises:
        OSError: A file cannot be written; the error names it.
        TypeError: The card holds a value that JSON cannot. Nothing is written then.
    """
    card = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **card}
    json.dumps(card)  # before any file is written
    with atomic_file(path) as aside:
        write_tensors(tensors, aside, path)
        card[_TENSORS] = _sha256(aside)
    write_sealed_json(path.with_suffix(".json"), card)
    return Checkpoint(path, card)


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, named: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file; errors call it ``named``.

    Raises:
        OSError: The file cannot be written, for which safetensors has an error of its own.
    """
    from safetensors.torch import save_file  # imports PyTorch

    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(named)) from error


def is_trained_model(location: str | Path) -> bool:
    """Whether a location is a run directory with a checkpoint, or a ``.safetensors`` file."""
    return _tensors_at(location) is not None


def _tensors_at(location: str | Path) -> Path | None:
    """Return the file of tensors at a location, for a run that of the best epoch before the last; None without one."""
    path = Path(location)
    names = [path / "checkpoints" / f"{name}.safetensors" for name in ("best", "last")] if path.is_dir() else [path]
    return next((name for name in names if name.suffix == ".safetensors" and name.is_file()), None)


def open_checkpoint(location: str | Path) -> Checkpoint:
    """Return the checkpoint of a run directory or of a ``.safetensors`` file.

    Raises:
        InputError: There is none, or as of :func:`find_checkpoint`.
    """
    found = find_checkpoint(location)
    if found is None:
        raise InputError(
            f"{location}: no trained model there; expected a finished run directory (with checkpoints/last.safetensors)"
        )
    return found


def find_checkpoint(location: str | Path) -> Checkpoint | None:
    """Find the checkpoint of a run directory or of a ``.safetensors`` file; None if there is none.

    A run directory gives the checkpoint of the best epoch if it was validated, else that of the last.

    Raises:
        InputError: The card of the checkpoint is missing, has another schema, or lacks a field.
    """
    path = _tensors_at(location)
    if path is None:
        return None
    card_path = path.with_suffix(".json")
    card = read_json(card_path, "checkpoint card", dict[str, Any], advice=RESTORE)
    if card.get("schema") != SCHEMA or card.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{card_path}: not a checkpoint card of schema {SCHEMA} version {SCHEMA_VERSION}")
    if fault := fault_in(card, Card):
        raise InputError(f"{card_path}: not a readable checkpoint card ({fault}); {RESTORE}")
    checkpoint = Checkpoint(path, card)
    try:
        _ = checkpoint.preprocessing
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{card_path}: 'preprocessing' is invalid ({error}); {RESTORE}") from error
    origin = card.get("origin", [])
    pairs = set(map(type, origin)) <= {list} and set(map(len, origin)) <= {2}
    if not pairs or not set(map(type, chain.from_iterable(origin))) <= {str}:
        raise InputError(f"{card_path}: 'origin' holds another value than pairs of texts; {RESTORE}")
    for name in ("train_counts", "classifier_counts", "class_numbers", "origin"):
        if name in card and len(card[name]) != len(card["classes"]):
            raise InputError(
                f"{card_path}: {name!r} has {len(card[name])} entries for {len(card['classes'])} classes; {RESTORE}"
            )
    return checkpoint
