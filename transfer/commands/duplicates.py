from __future__ import annotations

import shlex

from features.bank import FeatureBank
from features.readers.scheme import is_unlabelled
from similarity import Duplicates, DuplicatesConfig
from similarity import find_duplicates as duplicates
from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import again, extracting_as, short_name

__all__ = ["DuplicatesConfig", "duplicates", "show"]

#: Copies that are printed, the least similar first: these may be different images.
SHOWN = 20


def show(config: DuplicatesConfig, result: Duplicates) -> None:
    """Print the copies that are least similar, these first, and the command that follows."""
    shown = result.rows[: -SHOWN - 1 : -1]
    if shown:
        part = f"the {len(shown)} least similar of {len(result.rows)}, " if len(result.rows) > len(shown) else ""
        console.print(f"{part}the least similar first; check whether these are copies:")
        rows = ((row.id, row.target_id, row.cosine) for row in shown)
        show_table(["image of the source", "copy of", ">cosine"], rows)
    what, one = ("copies", "image") if config.against else ("copies of images that stay", "pair")
    following = f"; the next {one} has {result.next_cosine:.4f}" if result.next_cosine > -1 else ""
    say(
        f"{len(result.rows)} of {result.images} images are {what} (cosine of at least --threshold "
        f"{result.threshold:.3g}{following}), listed in {result.out}"
    )
    if result.clean_bank is not None:
        clean = shlex.quote(str(result.clean_bank))
        say(f"bank without them: {clean}")
        if is_unlabelled(result.source):
            show_next(f"transfer cluster {clean} --out {short_name(result.source)}-clusters.h5")
        else:
            show_next(f"transfer select --target TARGET.h5 --source {clean} --classes 100 --out subset.csv")
    else:
        clean = f"{short_name(config.source)}-clean.h5"
        show_next(
            extracting_as(FeatureBank.open(config.source), result.source, keep_images=True, out=clean),
            f"{again('duplicates', config, clean_bank=clean, overwrite=True)}    (the same bank; decodes no image)",
        )
