"""The most similar image of a target for each image of a source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.infrastructure.console import progress
from similarity.copies.local_geometry import NEAR_A_FEATURE, local_geometry, nearest_images
from similarity.distances import inner_product_index
from similarity.geometry import are_rectified


def most_similar(source: FeatureBank, target: FeatureBank) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The most similar target image of each of the N source images.

    Returns:
        (N,) cosine similarity in the :func:`local_geometry` of the source images nearest to the target, and (N,) index
        of the target image.
    """
    sought, _, _ = target.images()
    images = source.images_kept()
    near = nearest_images(source, sought, NEAR_A_FEATURE * sought.shape[1])
    metric = local_geometry(near, rectified=are_rectified([near, sought]))
    cosines, nearest = [], []
    index = inner_product_index(metric.points(sought))
    with progress("duplicates", images) as advance:
        for block in source.image_blocks():
            cosine, found = index.search(metric.points(block).astype(np.float32), 1)
            cosines.append(cosine[:, 0])
            nearest.append(found[:, 0])
            advance(len(block))
    return np.concatenate(cosines), np.concatenate(nearest)
