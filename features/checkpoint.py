"""A checkpoint of a trained model: its tensors as safetensors, everything else as a JSON card. No pickle.

``checkpoints/NAME.safetensors`` holds ``backbone.*`` and ``head.*``; ``checkpoints/NAME.json`` is the card. Only this
module knows the layout.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from features.infrastructure.errors import InputError
from features.infrastructure.files import TEXT, atomic_file, write_text
from features.infrastructure.names import class_names
from features.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "transfer.checkpoint"
SCHEMA_VERSION = 1


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
        """Read the tensors whose names begin with ``prefix``, by name without it; raise `InputError` if damaged."""
        try:
            with safe_open(self.path, "pt") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.path}: the checkpoint's tensors cannot be read ({error})") from error


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint, each file completely or not at all, the card last.

    ``path`` is the ``.safetensors`` file. The card needs at least ``backbone``, ``preprocessing`` and ``classes``.

    Raises:
        OSError: A file cannot be written; the error names it.
        TypeError: The card holds a value that JSON cannot. Nothing is written then.
    """
    from safetensors.torch import save_file  # imports PyTorch

    card = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **card}
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    try:
        with atomic_file(path) as aside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside)
    except SafetensorError as error:
        raise OSError(errno.ENOSPC if "os error 28" in str(error) else errno.EIO, str(error), str(path)) from error
    write_text(path.with_suffix(".json"), text)
    return Checkpoint(path, card)


def is_trained_model(location: str | Path) -> bool:
    """Whether a location is a run directory with a checkpoint, or a ``.safetensors`` file."""
    return _tensors_at(location) is not None


def _tensors_at(location: str | Path) -> Path | None:
    """Return the file of tensors at a location, for a run that of the best epoch before the last; None without one."""
    path = Path(location)
    names = [path / "checkpoints" / f"{name}.safetensors" for name in ("best", "last")] if path.is_dir() else [path]
    return next((name for name in names if name.suffix == ".safetensors" and name.is_file()), None)


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
    try:
        card = json.loads(card_path.read_text(**TEXT))
    except (OSError, ValueError) as error:
        raise InputError(f"{card_path}: the checkpoint's card cannot be read ({error})") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or card.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{card_path}: not a checkpoint card of schema {SCHEMA} version {SCHEMA_VERSION}")
    checkpoint = Checkpoint(path, card)
    try:
        _ = checkpoint.backbone, checkpoint.classes, checkpoint.preprocessing
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{card_path}: a field of the card is missing or invalid ({error})") from error
    return checkpoint
