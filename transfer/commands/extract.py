from __future__ import annotations

from features import ExtractConfig, Extraction, MergeConfig, extract
from features.readers.scheme import is_unlabelled
from transfer.screen import say, show_next

__all__ = ["ExtractConfig", "extract", "show"]


def show(config: ExtractConfig | MergeConfig, result: Extraction) -> None:
    """Print the size of a bank and how it came about, and the commands that follow."""
    summary = result.to_json()
    parts = [f"{summary['classes']} classes"]
    if summary["images"] is not None:
        parts.append(f"{summary['images']} images")
    if result.reused:
        parts.append("reused")
    elif result.read:
        parts.append(f"{summary['images_per_second']:,.0f} images/s")
    if summary["skipped"]:
        parts.append(f"{summary['skipped']} unreadable images skipped (transfer inspect {config.out} lists them)")
    say(f"{summary['bank']}: {', '.join(parts)}")
    if isinstance(config, ExtractConfig) and config.shard:
        show_next(f"transfer merge SHARD.h5 … --out BANK.h5    (all {config.shard.partition('/')[2]} shards)")
    elif isinstance(config, ExtractConfig) and is_unlabelled(config.dataset):
        kept = "" if config.keep_images else "    (from a bank with --keep-images)"
        show_next(f"transfer cluster {config.out} --out CLUSTERS.h5{kept}")
    else:
        show_next("transfer rank --target TARGET.h5 --source SOURCE.h5 …", f"transfer inspect {config.out}")
