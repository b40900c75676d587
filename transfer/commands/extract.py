from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from features import ExtractConfig, MergeConfig
from features.readers.scheme import is_unlabelled
from transfer.screen import say, show_next
from transfer.typed_command import again, short_name

if TYPE_CHECKING:
    from features import Extraction

#: Up to this many shards are listed by name.
MOST_SHARDS = 8


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
        parts.append(f"{summary['skipped']} unreadable images skipped (transfer inspect {out} lists them)")
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
    parts = _around(config.out, number)
    if parts is None:
        return [f"transfer merge SHARD.h5 … --out {short_name(config.dataset)}.h5    (all {total} shards)"]
    before, behind = parts
    following = str(int(number) % int(total) + 1)
    more = again("extract", config, shard=f"{following}/{total}", out=f"{before}{following}{behind}")
    shards = [shlex.quote(f"{before}{i}{behind}") for i in range(1, int(total) + 1)]
    listed = " ".join(shards if len(shards) <= MOST_SHARDS else [*shards[:2], "…", shards[-1]])
    return [f"{more}    (each of {total} once)", f"transfer merge {listed} --out {short_name(config.dataset)}.h5"]


def _around(out: str, number: str) -> tuple[str, str] | None:
    """The texts before and behind the number of a shard in the name of its bank, such as ``inat-`` and ``.h5``.

    None if it is no number of the name by itself, or more than one: the ending .h5 and the folders do not count.
    """
    found = list(re.finditer(rf"(?<!\d){number}(?!\d)(?=[^/]*\.[^/.]*$)", out))
    return (out[: found[0].start()], out[found[0].end() :]) if len(found) == 1 else None
