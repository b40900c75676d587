"""The geometry in which copies are told from similar images, and the least cosine similarity of a copy.

Plain cosine similarity does not separate a copy from another photograph of the same species. The points are therefore
whitened by the covariance of similar images (hard negatives), which gives little weight to directions that vary between
such images. In ``benchmarks/unlabelled.py`` it finds 1,199 of 1,200 copies (re-compressed at quality 60, halved,
mirrored, or cropped by 5 %) among 100,000 images without a false positive; plain cosine similarity at the same false
positive rate misses a tenth of the cropped copies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.distances import inner_product_index
from similarity.geometry import Geometry

#: Least cosine similarity of a copy, determined for 1,280 features; larger for narrow ones.
THRESHOLD = 0.5
#: Round-off of a cosine similarity in float32: a point's similarity to an equal one may be as much below 1.
_ROUND_OFF = 1e-5
#: Number of hard negatives per feature.
NEAR_A_FEATURE = 8
#: Ridge of their covariance in units of the mean eigenvalue; larger if there are fewer hard negatives.
_RIDGE = 0.1


def copy_threshold(pairs: int, width: int) -> float:
    """The least cosine similarity of a copy among so many pairs of images; 1 or more if none can be told.

    It is at least the largest cosine of as many pairs of independent directions, which are normal variables of variance
    1 / ``width``.
    """
    return max(THRESHOLD, math.sqrt(2 * math.log(max(pairs, 1)) / width))


def reach(cosine: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Which cosine similarities are at least a threshold, but for the round-off of float32, 1e-5."""
    return cosine >= threshold - _ROUND_OFF


def local_geometry(near: NDArray[np.floating], *, rectified: bool) -> Geometry:
    """The geometry that separates similar images, from the features (M, D) of such images.

    Rectified (non-negative) features are first replaced by their square root. Points are centred, whitened by the
    covariance of the given images, and scaled to length 1. The covariance of fewer than eight images per feature
    overfits these images, among which the copies are; the ridge is therefore 0.1 · max(1, 8·D / M) mean eigenvalues.
    """
    points = np.asarray(near, dtype=np.float64)
    slope = None
    if rectified:
        points = np.maximum(points, 0)  # round-off
        slope = 0.5 / np.sqrt(np.maximum(points.mean(axis=0), np.finfo(np.float32).tiny))
        points = np.sqrt(points)
    centre = points.mean(axis=0)
    points = points - centre
    width = points.shape[1]
    covariance = points.T @ points / len(points)
    mean_eigenvalue = np.trace(covariance) / width
    factor = None
    if mean_eigenvalue > 0:
        ridge = _RIDGE * max(1.0, NEAR_A_FEATURE * width / len(points))
        covariance[np.diag_indices(width)] += ridge * mean_eigenvalue
        factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    return Geometry("local", centre, factor, unit_length=True, slope=slope)


def nearest_images(
    bank: FeatureBank, sought: NDArray[np.floating], size: int, leave_out: NDArray[np.bool_] | None = None
) -> NDArray[np.floating]:
    """The images of a bank with the highest plain cosine similarity to any of some points.

    Args:
        bank: A bank of N images, read in blocks.
        sought: (M, D) the points.
        size: Number of images, at most.
        leave_out: (N,) images that do not count; none without it.

    Returns:
        (size, D) their features.
    """
    plain = Geometry("cosine", unit_length=True)
    index = inner_product_index(plain.points(sought))
    near, scores, floor = np.empty((0, sought.shape[1]), dtype=np.float32), np.empty(0, dtype=np.float32), -np.inf
    start, images = 0, bank.images_kept()
    with progress("images most like the others", images) as advance:
        for block in bank.image_blocks():
            cosine = index.search(plain.points(block).astype(np.float32), 1)[0][:, 0]
            if leave_out is not None:
                cosine[leave_out[start : start + len(block)]] = -np.inf
            enters = cosine > floor
            near, scores = np.concatenate([near, block[enters]]), np.concatenate([scores, cosine[enters]])
            if len(near) > size:
                kept = np.argsort(-scores, kind="stable")[:size]
                near, scores, floor = near[kept], scores[kept], scores[kept[-1]]
            start += len(block)
            advance(len(block))
    return near
