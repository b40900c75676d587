"""A folder in the format of the Hugging Face hub: ``config.json``, and the weights beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_json

#: The files of a model in such a folder.
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def hub_config(location: str | Path) -> dict[str, Any]:
    """Read ``config.json`` of a folder; empty if there is none, or it cannot be read as a mapping."""
    path = Path(location) / CONFIG
    try:
        found: dict[str, Any] = read_json(path, "configuration of a model", dict[str, Any]) if path.is_file() else {}
    except (InputError, OSError):
        return {}
    return found
