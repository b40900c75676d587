from __future__ import annotations

import shlex

from features.readers.scheme import is_unlabelled
from similarity import Duplicates, DuplicatesConfig
from similarity import find_duplicates as duplicates
from transfer.screen import console, say, show_next, show_table

__all__ = ["DuplicatesConfig", "duplicates", "show"]

#: Copies that are printed, from the least alike on: these may be different images.
SHOWN = 20


def show(config: DuplicatesConfig, result: Duplicates) -> None:
    """Print the copies that are least alike, and the command that follows."""
    shown = result.rows[-SHOWN:]
    if shown:
        if len(result.rows) > len(shown):
            console.print(f"the {len(shown)} least alike of {len(result.rows)}; check these first:")
        rows = ((row.id, row.target_id, row.cosine) for row in shown)
        show_table(["image of the source", "copy of", ">cosine"], rows)
    say(
        f"{len(result.rows)} of {result.images} images are copies by --threshold {result.threshold:.3g} (the next "
        f"image has a cosine of {result.next_cosine:.4f}), listed in {result.out}"
    )
    if result.clean_bank is not None:
        say(f"bank without them: {result.clean_bank}")
        if is_unlabelled(result.source):
            show_next(f"transfer cluster {result.clean_bank} --out CLUSTERS.h5")
        else:
            show_next(f"transfer select --target TARGET.h5 --source {result.clean_bank} --classes 100 --out subset.csv")
    else:
        show_next(f"transfer extract {shlex.quote(result.source)} --keep-images --out CLEAN.h5    (or --clean-bank)")
