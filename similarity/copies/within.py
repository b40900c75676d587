"""Images of one dataset that are copies of each other: halved, compressed, mirrored, cropped, or next in a burst."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.bank import FeatureBank
from features.infrastructure.console import progress
from features.infrastructure.disk.stored_rows import Rows, StoredRows
from features.kept_features import KeptFeatures
from similarity.copies.found_pairs import FoundPairs, Pairs
from similarity.copies.local_geometry import copy_threshold, local_geometry, nearest_images
from similarity.copies.neighbours import neighbours
from similarity.geometry import are_rectified

#: Most similar images of each image that are looked at.
_NEIGHBOURS = 8
#: Images, at most, that the geometry is fitted to, and images that these are most like, drawn at random.
_FITTED, _SOUGHT = 20_000, 2_048
#: Images that are read at a time.
_BLOCK = 1 << 14


def groups_of_copies(bank: FeatureBank) -> NDArray[np.int64]:
    """Group the images of a bank so that copies are together, directly or through other copies.

    Two images are copies if their cosine similarity in the :func:`~similarity.copies.local_geometry.local_geometry` of
    the bank's images is at least 0.5, or for narrow features the similarity that chance reaches.

    Args:
        bank: A bank of N images, extracted with ``keep_images``.

    Returns:
        (N,) the group of each image of ``bank.images()``, from 0. Features that are too narrow to tell copies give each
        image a group of its own.

    Raises:
        InputError: The bank keeps no image features.
    """
    count = len(bank.image_labels()[0])
    threshold = copy_threshold(count * (count - 1) // 2, bank.means.shape[1])
    if threshold >= 1 or count < 2:
        return np.arange(count)
    with TemporaryDirectory() as folder, _points(bank, count, Path(folder) / "points") as points:
        pairs = _search(points, FoundPairs(threshold))
    links = coo_array((np.ones(len(pairs.first), dtype=bool), (pairs.first, pairs.second)), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def copies_within(
    bank: FeatureBank, threshold: float, aside: Path, resume: Path | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], float]:
    """Choose the images to leave out of a bank so that no two of the others are copies of each other.

    Images are looked at in order: one that is a copy of an earlier image that stays is left out. Very many points are
    compared approximately; see :mod:`similarity.copies.neighbours`.

    Args:
        bank: A bank of N ≥ 2 images, extracted with ``keep_images``.
        threshold: Least cosine similarity of a copy, as in :func:`groups_of_copies`.
        aside: A file for the points while they are compared, (N, D) float32.
        resume: A file for the pairs while they are searched, with which a killed search goes on. It stays until the
            caller removes it.

    Returns:
        (M,) images to leave out, ascending; (M,) the image that stays and that each is a copy of; (M,) their cosine
        similarity; and the highest similarity below the threshold that was seen.
    """
    count = len(bank.image_labels()[0])
    original = np.full(count, -1, dtype=np.int64)
    cosine = np.zeros(count, dtype=np.float32)
    following = -1.0
    with _points(bank, count, aside) as points:
        part: Rows = points
        looked_at = np.arange(count)
        found = FoundPairs(threshold, resume, _key(bank, threshold))
        while len(looked_at) > 1:
            pairs = _search(part, found)
            following = max(following, pairs.next_cosine)
            _leave_out(pairs, looked_at, original, cosine)
            # An image whose neighbours all are copies may have more copies, which are among such images.
            several = np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=len(looked_at)) >= _NEIGHBOURS
            looked_at = looked_at[several & (original[looked_at] < 0)]
            part, found = points.part(looked_at), FoundPairs(threshold)
    left_out = np.flatnonzero(original >= 0)
    return left_out, original[left_out], cosine[left_out], following


def _key(bank: FeatureBank, threshold: float) -> str:
    """What tells a search from others: the bank, and the threshold."""
    of_bank = {name: str(bank.attrs.get(name)) for name in ("dataset", "manifest_sha256", "weights_sha256", "created")}
    return json.dumps(of_bank | {"threshold": threshold}, sort_keys=True)


def _leave_out(
    pairs: Pairs, images: NDArray[np.int64], original: NDArray[np.int64], cosine: NDArray[np.float32]
) -> None:
    """Note for each image that is left out the one that stays; pairs are of positions in ``images``, in order."""
    order = np.lexsort((pairs.second, pairs.first))
    first, second, of_pair = images[pairs.first[order]], images[pairs.second[order]], pairs.cosine[order]
    borders = [*np.flatnonzero(np.diff(first, prepend=-1)).tolist(), len(first)]
    for start, stop in pairwise(borders):
        if original[image := first[start]] < 0:
            others = second[start:stop]
            free = original[others] < 0
            original[others[free]], cosine[others[free]] = image, of_pair[start:stop][free]


def _search(points: Rows, found: FoundPairs) -> Pairs:
    """Add the pairs of points that are missing, among their nearest neighbours, and return all of them."""
    for start, cosine, neighbour in neighbours(points, _NEIGHBOURS, found.threshold, first=found.position):
        found.add(start, cosine, neighbour)
    return found.pairs(len(points))


@contextmanager
def _points(bank: FeatureBank, count: int, aside: Path) -> Iterator[StoredRows]:
    """The points (N, D) of the images of a bank in its local geometry, on the disk."""
    near = _alike(bank, count)
    metric = local_geometry(near, rectified=are_rectified([near]))
    with closing(KeptFeatures(aside, bank.means.shape[1], scratch=True)) as kept:
        with progress("points", count) as advance:
            for block in bank.image_blocks(_BLOCK):
                kept.append(metric.points(block).astype(np.float32))
                advance(len(block))
        yield kept.array()


def _alike(bank: FeatureBank, count: int) -> NDArray[np.floating]:
    """(M, D) features of the images that are most like other images, all of them if there are not many."""
    if count <= _FITTED:
        return bank.images()[0]
    sought = np.zeros(count, dtype=bool)
    sought[np.random.default_rng(0).choice(count, _SOUGHT, replace=False)] = True
    parts, start = [], 0
    for block in bank.image_blocks(_BLOCK):
        parts.append(block[sought[start : start + len(block)]])
        start += len(block)
    return nearest_images(bank, np.concatenate(parts), _FITTED, leave_out=sought)
