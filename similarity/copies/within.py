"""Images of one dataset that are copies of each other: halved, compressed, mirrored, cropped, or next in a burst."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from features.infrastructure.disk.stored_rows import StoredRows
from features.kept_features import KeptFeatures
from similarity.copies.found_pairs import FoundPairs, Pairs
from similarity.copies.local_geometry import copy_threshold, local_geometry, nearest_images
from similarity.copies.neighbours import BLOCK, FORMAT, NeighbourSearch
from similarity.geometry import are_rectified

#: Nearest neighbours that are searched of each image at first.
_NEIGHBOURS = 8
#: Images, at most, that the geometry is fitted to, and images that these are most like, drawn at random.
_FITTED, _SOUGHT = 20_000, 2_048

#: Names the images of which more neighbours are searched, from the pairs so far and (N,) whether all neighbours of an
#: image were copies.
ChooseFull = Callable[[Pairs, NDArray[np.bool_]], NDArray[np.int64]]


def groups_of_copies(bank: FeatureBank) -> NDArray[np.int64]:
    """Group the images of a bank so that copies are together, directly or through other copies.

    Two images are copies if their cosine similarity in the :func:`~similarity.copies.local_geometry.local_geometry` of
    the bank's images is at least 0.5, or for narrow features the similarity that chance reaches. Eight neighbours of
    each image are searched, and more of the first image of a group as long as all of them are copies.

    Args:
        bank: A bank of N images, extracted with ``keep_images``.

    Returns:
        (N,) the group of each image of ``bank.images()``, from 0. Features that are too narrow to tell copies give each
        image a group of its own.

    Raises:
        InputError: The bank keeps no image features.
    """
    count = bank.images_kept()
    threshold = copy_threshold(count * (count - 1) // 2, bank.means.shape[1])
    if threshold >= 1 or count < 2:
        return np.arange(count)

    def full_first_of_groups(pairs: Pairs, full: NDArray[np.bool_]) -> NDArray[np.int64]:
        first = np.unique(_groups(pairs, count), return_index=True)[1]
        return np.sort(first[full[first]])

    with TemporaryDirectory() as folder, _points(bank, count, Path(folder) / "points") as points:
        return _groups(_all_pairs(points, FoundPairs(threshold, _NEIGHBOURS, count), full_first_of_groups), count)


def copies_within(
    bank: FeatureBank, threshold: float, aside: Path, resume: Path | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], float]:
    """Choose the images to leave out of a bank, so that no two of the others were found to be copies of each other.

    Images are looked at in order: one that is a copy of an earlier image that stays is left out. Eight neighbours of
    each image are searched, and more of an image that stays as long as all of them are copies. Very many points are
    compared approximately; see :mod:`similarity.copies.neighbours`.

    Args:
        bank: A bank of N ≥ 2 images, extracted with ``keep_images``.
        threshold: Least cosine similarity of a copy, as in :func:`groups_of_copies`.
        aside: A file for the points while they are compared, (N, D) float32.
        resume: A file for the pairs so far, from which a killed search resumes. The caller removes it.

    Returns:
        (M,) images to leave out, ascending; (M,) the image that stays and that each is a copy of; (M,) their cosine
        similarity; and the highest similarity below the threshold that was seen.
    """
    count = bank.images_kept()

    def full_that_stay(pairs: Pairs, full: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.flatnonzero(full & (_originals(pairs, count)[0] < 0))

    with _points(bank, count, aside) as points:
        found = FoundPairs(threshold, _NEIGHBOURS, count, resume, _key(bank, points, threshold))
        pairs = _all_pairs(points, found, full_that_stay)
    original, cosine = _originals(pairs, count)
    left_out = np.flatnonzero(original >= 0)
    return left_out, original[left_out], cosine[left_out], pairs.next_cosine


def _all_pairs(points: StoredRows, found: FoundPairs, choose_full: ChooseFull) -> Pairs:
    """The pairs of copies among the nearest neighbours of all images, and of more neighbours of some of them.

    If all neighbours of an image that ``choose_full`` names are copies, eight times as many are searched for it.
    """
    count, number = len(points), found.number
    search = NeighbourSearch(points, found.threshold)
    for block in search.neighbours_of_all(number, found.position):
        found.add(*block)
    full = np.zeros(count, dtype=bool)
    full[found.full()] = True
    while len(images := choose_full(found.pairs(), full)):
        number = min(8 * number, count - 1)
        more = FoundPairs(found.threshold, number, count)
        for block in search.neighbours_of(images, number):
            more.add(*block)
        full[images] = False
        if number < count - 1:
            full[more.full()] = True
        found.join(more)
    return found.pairs()


def _groups(pairs: Pairs, images: int) -> NDArray[np.int64]:
    """(N,) the group of each image, from 0: images that pairs connect are of one."""
    links = coo_array((np.ones(len(pairs.first), dtype=bool), (pairs.first, pairs.second)), shape=(images, images))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _originals(pairs: Pairs, images: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N,) the image that stays and that each is a copy of, −1 for those that stay, and (N,) their similarity."""
    original, cosine = np.full(images, -1, dtype=np.int64), np.zeros(images, dtype=np.float32)
    order = np.lexsort((pairs.second, pairs.first))
    first, second, of_pair = pairs.first[order], pairs.second[order], pairs.cosine[order]
    borders = [*np.flatnonzero(np.diff(first, prepend=-1)).tolist(), len(first)]
    for start, stop in pairwise(borders):
        if original[image := first[start]] < 0:
            others = second[start:stop]
            free = original[others] < 0
            original[others[free]], cosine[others[free]] = image, of_pair[start:stop][free]
    return original, cosine


def _key(bank: FeatureBank, points: StoredRows, threshold: float) -> str:
    """Text that says which search it is: the bank, its points, what is searched, and how."""
    of_bank = {name: str(bank.attrs.get(name)) for name in ("dataset", "manifest_sha256", "weights_sha256", "created")}
    search = {"threshold": threshold, "points": points.shape, "neighbours": _NEIGHBOURS, "format": FORMAT}
    return json.dumps(of_bank | search, sort_keys=True)


@contextmanager
def _points(bank: FeatureBank, count: int, aside: Path) -> Iterator[StoredRows]:
    """The points (N, D) of the images of a bank in its local geometry, on the disk."""
    near = _hard_negatives(bank, count)
    metric = local_geometry(near, rectified=are_rectified([near]))
    with closing(KeptFeatures(aside, bank.means.shape[1], scratch=True)) as kept:
        with progress("points", count) as advance:
            for block in bank.image_blocks(BLOCK):
                kept.append(metric.points(block).astype(np.float32))
                advance(len(block))
        yield kept.array()


def _hard_negatives(bank: FeatureBank, count: int) -> NDArray[np.floating]:
    """(M, D) features of the images that are most like other images, all of them if there are not many."""
    if count <= _FITTED:
        return bank.images()[0]
    sought = np.zeros(count, dtype=bool)
    sought[np.random.default_rng(0).choice(count, _SOUGHT, replace=False)] = True
    parts, start = [], 0
    for block in bank.image_blocks(BLOCK):
        parts.append(block[sought[start : start + len(block)]])
        start += len(block)
    return nearest_images(bank, np.concatenate(parts), _FITTED, leave_out=sought)
