from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from features import ExtractConfig, MergeConfig
from features.readers.scheme import is_unlabelled
from transfer.screen import say, show_next
from transfer.typed_command import again, short_name

if TYPE_CHECKING:
    from features import Extraction

__all__ = ["ExtractConfig", "extract", "show"]

#: Up to this many shards are listed by name.
MOST_SHARDS = 8


def extract(config: ExtractConfig) -> Extraction:
    """Extract a feature bank; see :func:`features.extract`."""
    from features import extract  # imports PyTorch

    return extract(config)


def show(config: ExtractConfig | MergeConfig, result: Extraction) -> None:
    """Print the size of a bank and how it came about, and the commands that follow."""
    summary, out = result.to_json(), shlex.quote(config.out)
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
        show_next(*_other_shards(config))
    elif isinstance(config, ExtractConfig) and is_unlabelled(config.dataset):
        clustered = f"transfer cluster {out} --out {short_name(config.dataset)}-clusters.h5"
        kept = [] if config.keep_images else [again("extract", config, keep_images=True, overwrite=True)]
        show_next(*kept, clustered)
    else:
        show_next(
            f"transfer rank --target {out} --source OTHER.h5 …    (if it is the target)",
            f"transfer rank --target TARGET.h5 --source {out} …    (if it is a source)",
            f"transfer inspect {out}",
        )


def _other_shards(config: ExtractConfig) -> list[str]:
    """The command of the next shard, and that which merges all of them once they are there."""
    number, total = (config.shard or "1/1").split("/")
    before, found, behind = config.out.rpartition(number)
    if not found:
        return [f"transfer merge SHARD.h5 … --out {short_name(config.dataset)}.h5    (all {total} shards)"]
    following = str(int(number) % int(total) + 1)
    more = again("extract", config, shard=f"{following}/{total}", out=f"{before}{following}{behind}")
    shards = [shlex.quote(f"{before}{i}{behind}") for i in range(1, int(total) + 1)]
    listed = " ".join(shards if len(shards) <= MOST_SHARDS else [*shards[:2], "…", shards[-1]])
    return [f"{more}    (each of {total} once)", f"transfer merge {listed} --out {short_name(config.dataset)}.h5"]
