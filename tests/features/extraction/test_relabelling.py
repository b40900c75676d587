"""A bank of kept images under other labels is the bank that an extraction with those labels makes."""

import numpy as np
import pytest
import torch

from features.bank import FeatureBank
from features.class_statistics import ClassStatistics
from features.extraction.relabelling import regroup


@pytest.fixture
def kept(tmp_path):
    """A bank of 1,300 images (more than two blocks) and its features."""
    rng = np.random.default_rng(3)
    features = np.maximum(rng.normal(1, 2, (1300, 6)), 0).astype(np.float32)
    labels = rng.integers(0, 4, len(features))
    statistics = ClassStatistics(4, 6)
    statistics.add(torch.from_numpy(features), torch.from_numpy(labels))
    bank = FeatureBank(
        tuple("abcd"),
        statistics.counts.numpy(),
        statistics.means(),
        statistics.variances(),
        statistics.within_covariance(),
        {"dataset": "x:y", "manifest_sha256": "0", "backbone": "b", "created": "2020-01-01T00:00:00+00:00"},
        (("bad", "broken"),),
    )
    return bank.write(tmp_path / "kept.h5", (features, labels, [f"i{n}" for n in range(1300)])), features


@pytest.mark.parametrize("keep_images", [True, False])
def test_the_statistics_are_numpys(kept, tmp_path, keep_images):
    bank, features = kept
    labels = np.random.default_rng(0).integers(-1, 3, len(features))
    out = tmp_path / "out.h5"
    made = regroup(bank, labels, ["x", "y", "z"], out, attrs={"dataset": "n:"}, keep_images=keep_images)
    assert made.classes == ("x", "y", "z") and made.path == out
    inside = [features[labels == c].astype(np.float64) for c in range(3)]
    assert made.counts.tolist() == [len(part) for part in inside]
    np.testing.assert_allclose(made.means, [part.mean(axis=0) for part in inside], rtol=1e-6)
    np.testing.assert_allclose(made.variances, [part.var(axis=0) for part in inside], rtol=1e-5)
    centred = np.concatenate([part - part.mean(axis=0) for part in inside])
    np.testing.assert_allclose(made.within_covariance, centred.T @ centred / len(centred), rtol=1e-4, atol=1e-6)
    assert dict(made.attrs) | {"schema": 0, "schema_version": 0, "complete": 0} == {
        **bank.attrs, "dataset": "n:", "schema": 0, "schema_version": 0, "complete": 0,
    }  # fmt: skip
    assert made.skipped == ()
    assert made.keeps_images == keep_images
    if keep_images:
        values, found, ids = made.images()
        np.testing.assert_array_equal(values, features[labels >= 0])
        assert found.tolist() == labels[labels >= 0].tolist()
        assert ids == [f"i{n}" for n in np.flatnonzero(labels >= 0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.h5", "out.h5"]


def test_labels_must_fit(kept, tmp_path):
    bank, _ = kept
    with pytest.raises(ValueError, match="length 1300, the number of images, got 3"):
        regroup(bank, np.zeros(3, dtype=int), ["x"], tmp_path / "out.h5", attrs={})
    with pytest.raises(ValueError, match="each of the 2 classes an image"):
        regroup(bank, np.zeros(1300, dtype=int), ["x", "y"], tmp_path / "out.h5", attrs={})
    assert not (tmp_path / "out.h5").exists()


def test_features_come_a_block_at_a_time(kept):
    bank, features = kept
    blocks = list(bank.image_blocks(500))
    assert [len(block) for block in blocks] == [512, 512, 276]  # as many rows as have one checksum
    np.testing.assert_array_equal(np.concatenate(blocks), features)
    labels, ids = bank.image_labels()
    assert ids[7] == "i7" and np.bincount(labels).tolist() == bank.counts.tolist()


def test_blocks_of_a_part_of_the_classes(kept):
    bank, _ = kept
    least = int(np.sort(bank.counts)[1])
    part = bank.at_least(least)
    assert 0 < len(part.classes) < 4
    values, labels, ids = part.images()
    np.testing.assert_array_equal(np.concatenate(list(part.image_blocks(300))), values)
    assert (part.image_labels()[0].tolist(), part.image_labels()[1]) == (labels.tolist(), ids)
    assert [part.classes[label] for label in labels] == [
        bank.classes[label] for label in bank.image_labels()[0] if bank.classes[label] in part.classes
    ]


def test_half_precision_is_summed_in_double(kept, tmp_path):
    bank, features = kept
    _, labels, ids = bank.images()
    bank = bank.write(tmp_path / "half.h5", (features.astype(np.float16), labels, ids))
    made = regroup(bank, np.zeros(1300, dtype=int), ["x"], tmp_path / "out.h5", attrs={}, keep_images=True)
    np.testing.assert_allclose(made.means[0], features.astype(np.float16).astype(np.float64).mean(axis=0), rtol=1e-6)
