"""``transfer merge``: the shards of a feature bank to the whole bank."""

from __future__ import annotations

from features import Extraction, MergeConfig, merge
from transfer.commands.extract import show_extraction
from transfer.screen import show_next

__all__ = ["MergeConfig", "merge", "show"]


def show(config: MergeConfig, result: Extraction) -> None:
    """Print the size of the merged bank, and the command that follows."""
    show_extraction(config, result)
    show_next("transfer rank --target TARGET.h5 --source SOURCE.h5 …", f"transfer inspect {config.out}")
