"""Importance: counts of kept images, and of draws where a bank keeps none."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from similarity import select_classes, selection_stability


@pytest.fixture
def kept(make_bank, tmp_path):
    """A target of three classes of 40, 10 and 10 images that keeps them, and the images."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 10, 10])
    images = (np.eye(3)[labels] + rng.normal(0, 0.5, (60, 3))).astype(np.float32)
    parts = [images[labels == label] for label in range(3)]
    bank = make_bank(
        [part.mean(axis=0) for part in parts],
        [40, 10, 10],
        dataset="folder:target",
        variances=[part.var(axis=0) for part in parts],
        complete=True,
    )
    return bank.write(tmp_path / "target.h5", (images, labels, [str(i) for i in range(60)])), images


def test_each_image_counts_for_its_nearest_class(kept, make_bank):
    target, images = kept
    source = make_bank(np.vstack([np.eye(3), [[5, 5, 5], [4, 4, 4]]]))
    subset = select_classes([target], [source], classes=5, strategy="importance", geometry="euclidean")
    counted = np.bincount(cdist(images, source.means).argmin(axis=1), minlength=5) / 60
    assert [row.weight for row in subset.rows] == pytest.approx(np.sort(counted)[::-1])
    assert [row.class_name for row in subset.rows[3:]] == ["c4", "c3"]  # no image takes them: the nearer one first


def test_draws_from_class_gaussians_stand_in_for_images(kept, make_bank):
    target, _ = kept
    source = make_bank(np.vstack([np.eye(3), [[5, 5, 5]]]))
    options = {"classes": 4, "strategy": "importance", "geometry": "euclidean"}
    without = make_bank(target.means, target.counts, dataset="folder:target", variances=target.variances)
    real, drawn = (
        {row.class_name: row.weight for row in select_classes([bank], [source], **options).rows}
        for bank in (target, without)
    )
    assert drawn == pytest.approx(real, abs=0.1)
    assert drawn == {row.class_name: row.weight for row in select_classes([without], [source], **options).rows}


def test_a_choice_from_kept_images_can_be_resampled(kept, make_bank):
    found = selection_stability(
        [kept[0]], [make_bank(np.vstack([np.eye(3), [[5, 5, 5]]]))], 5, classes=3, strategy="importance"
    )
    assert found.jaccard == 1  # the far class is never chosen
