"""Images of one dataset that are copies of each other: halved, compressed, mirrored, cropped, or next in a burst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.bank import FeatureBank
from similarity.distances import inner_product_index
from similarity.duplicates import copy_threshold, local_geometry
from similarity.geometry import Geometry, are_rectified

#: Most similar images of each image that are looked at.
_NEIGHBOURS = 8
#: Images, at most, that the geometry is fitted to: those most like another one.
_FITTED = 20_000


def groups_of_copies(bank: FeatureBank) -> NDArray[np.int64]:
    """Group the images of a bank so that copies are together, directly or through other copies.

    Two images are copies if their cosine similarity in the :func:`~similarity.duplicates.local_geometry` of the bank's
    images is at least 0.5, or for narrow features the similarity that chance reaches.

    Args:
        bank: A bank of N images, extracted with ``keep_images``.

    Returns:
        (N,) the group of each image of ``bank.images()``, from 0. Features that are too narrow to tell copies give each
        image a group of its own.

    Raises:
        InputError: The bank keeps no image features.
    """
    features, _, _ = bank.images()
    count, width = features.shape
    threshold = copy_threshold(count * (count - 1) // 2, width)
    if threshold >= 1 or count < 2:
        return np.arange(count)
    metric = local_geometry(_alike(features), rectified=are_rectified([features]))
    cosine, neighbour = _neighbours(metric.points(features).astype(np.float32))
    image = np.repeat(np.arange(count), cosine.shape[1])
    pair = (cosine.ravel() >= threshold) & (neighbour.ravel() != image)
    links = coo_array((np.ones(pair.sum(), dtype=bool), (image[pair], neighbour.ravel()[pair])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _alike(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """(M, D) features of the images that are most like another image, all of them if there are not many."""
    if len(features) <= _FITTED:
        return features
    cosine, _ = _neighbours(Geometry("cosine", unit_length=True).points(features).astype(np.float32), 2)
    return features[np.argsort(-cosine[:, 1], kind="stable")[:_FITTED]]


def _neighbours(points: NDArray[np.float32], number: int = _NEIGHBOURS) -> tuple[NDArray, NDArray[np.int64]]:
    """(N, K) cosine similarity and position of the nearest points to each point of length 1, mostly itself first."""
    return inner_product_index(points).search(points, min(number, len(points)))
