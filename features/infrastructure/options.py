"""Configuration dataclasses, whose fields are the options of a command."""

from __future__ import annotations

from dataclasses import MISSING, Field
from typing import Any


def default_of(option: Field[Any]) -> object:
    """What a field of a configuration is where nothing is given."""
    return option.default if option.default_factory is MISSING else option.default_factory()
