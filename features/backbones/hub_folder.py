"""A folder in the format of the Hugging Face hub: ``config.json``, and the weights beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from features.infrastructure.files import TEXT

#: The files of a model in such a folder.
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def hub_config(location: str | Path) -> dict[str, Any]:
    """Read ``config.json`` of a folder; empty if there is none, or it holds no mapping."""
    path = Path(location) / CONFIG
    try:
        found = json.loads(path.read_text(**TEXT)) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
