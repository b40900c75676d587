"""Images grouped by class without a loop over classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: Entries of one block of padded classes (float64: 128 MiB).
_BLOCK = 1 << 24


def class_sums(rows: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(C, K) sum of the rows (N, K) of each class; labels (N,) are in 0 … C − 1."""
    images = len(labels)
    member = csr_array((np.ones(images), (labels, np.arange(images))), shape=(classes, images))
    return np.asarray(member @ rows, dtype=np.float64)


def padded_classes(
    rows: NDArray[np.float64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Blocks of classes of similar size, each class padded with zero rows.

    Rows are (N, K), labels (N,) in 0 … C − 1, counts (C,).

    Yields:
        (B,) classes by ascending size, and their rows (B, n, K), where n is the size of the largest of them.
    """
    by_class = np.argsort(labels, kind="stable")
    first = np.cumsum(counts) - counts
    by_size = np.argsort(counts, kind="stable")
    start = 0
    while start < len(by_size):
        # Sizes ascend, so a block of b classes holds b times the size of its last class: find the largest that fits.
        held = np.arange(1, len(by_size) - start + 1) * counts[by_size[start:]] * rows.shape[1]
        stop = start + max(1, int(np.searchsorted(held, _BLOCK, side="right")))
        block = by_size[start:stop]
        position = np.arange(counts[block].max())
        inside = position < counts[block, None]
        images = by_class[np.where(inside, first[block, None] + position, 0)]
        yield block, rows[images] * inside[..., None]
        start = stop
