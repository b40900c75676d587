"""A trained model on disk: tensors as safetensors, everything else as a JSON card. No pickle.

``checkpoints/NAME.safetensors`` holds ``backbone.*`` and ``head.*``; ``checkpoints/NAME.json`` is the
card. This module is the only place that knows the layout.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

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
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the head tells apart."""
        return tuple(self.card["classes"])

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_json(self.card["preprocessing"])

    def state(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix``, without it.

        Raises:
            InputError: The file is damaged.
        """
        try:
            tensors = load_file(self.path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.path}: the checkpoint's tensors cannot be read ({error})") from error
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint, each file whole or not at all, the card last.

    Args:
        path: The ``.safetensors`` file; the card goes beside it.
        tensors: ``backbone.*`` and ``head.*``.
        card: At least ``backbone``, ``preprocessing`` and ``classes``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    card = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **card}
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    aside = path.with_name(f".{path.name}.part")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside)
        os.replace(aside, path)
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path.with_suffix(".json"))
    except SafetensorError as error:
        raise OSError(errno.ENOSPC if "os error 28" in str(error) else errno.EIO, str(error), str(path)) from error
    finally:
        aside.unlink(missing_ok=True)
    return Checkpoint(path, card)


def is_trained_model(location: str | Path) -> bool:
    """Whether a run directory or a file holds a trained model, so that a folder of any other content is not one."""
    path = Path(location)
    if path.is_dir():
        return any((path / "checkpoints" / f"{name}.safetensors").is_file() for name in ("best", "last"))
    return path.suffix == ".safetensors" and path.is_file()


def find_checkpoint(location: str | Path) -> Checkpoint | None:
    """The checkpoint at a run directory or a ``.safetensors`` file, or None if there is none.

    Of a run that was judged by a validation it is the best epoch's, else the last one's.

    Raises:
        InputError: There is one, and its card is missing, is not ours, or lacks what every card holds.
    """
    path = Path(location)
    if path.is_dir():
        best, last = (path / "checkpoints" / f"{name}.safetensors" for name in ("best", "last"))
        path = best if best.is_file() else last
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{card_path}: the checkpoint's card cannot be read ({error})") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or card.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{card_path}: not a checkpoint card of schema {SCHEMA} version {SCHEMA_VERSION}")
    checkpoint = Checkpoint(path, card)
    try:
        _ = checkpoint.backbone, checkpoint.classes, checkpoint.preprocessing
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{card_path}: a field of the card is missing or cannot be used ({error})") from error
    return checkpoint
