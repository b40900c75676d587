from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from transfer.screen import say, show_next

if TYPE_CHECKING:
    from similarity import ClusterConfig, Clustering


def show(config: ClusterConfig, result: Clustering) -> None:
    """Print the sizes of the clusters, and the commands that follow."""
    found = result.to_json()
    empty = f"; {found['empty']} other clusters have no image" if found["empty"] else ""
    say(
        f"{found['bank']}: {found['clusters']} clusters of {found['smallest']} to {found['largest']} images{empty}; "
        f"mean cosine similarity to the centre {found['cosine']:.4f}\nimages by cluster: {found['dataset']}"
    )
    show_next(
        f"transfer select --target TARGET.h5 --source {shlex.quote(config.out)} --images 10000 --out subset.csv",
        "transfer pretrain --subset subset.csv --backbone resnet50 --out runs/pre",
    )
