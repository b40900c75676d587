"""Banks of class means alone: what they do not know is None, in memory and in the file."""

import h5py
import numpy as np
import pytest

from features import ExtractConfig, extract
from features.bank import FeatureBank
from features.infrastructure.errors import InputError

MEANS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32)
CLASSES = ("auk", "bee", "cow")


def of_means(**changes):
    fields = {"counts": np.ones(3, dtype=np.int64), "variances": None, "within_covariance": None, "counts_known": False}
    return FeatureBank(CLASSES, means=MEANS, attrs={"dataset": "features:means.npz"}, **(fields | changes))


def test_what_is_not_known_has_no_dataset_in_the_file(tmp_path):
    back = of_means().write(tmp_path / "bank.h5")
    assert back.variances is None and back.within_covariance is None and not back.counts_known
    assert (back.images_in, back.statistics, back.is_of_means) == (None, ("mean",), True)
    assert back.counts.tolist() == [1, 1, 1]  # all classes weigh the same
    assert dict(back.attrs).keys() == of_means().write(tmp_path / "again.h5").attrs.keys()
    with h5py.File(tmp_path / "bank.h5") as file:
        assert set(file["class"]) == {"name", "mean"} and "within" not in file
        assert file.attrs["unknown"].decode() == "count variance covariance"
    np.testing.assert_array_equal(back.write(tmp_path / "third.h5").means, MEANS)


@pytest.mark.parametrize(
    ("known", "statistics"),
    [
        ({}, ("count", "mean")),
        ({"variances": np.ones_like(MEANS)}, ("count", "mean", "variance")),
        ({"within_covariance": np.eye(2, dtype=np.float32)}, ("count", "mean", "covariance")),
    ],
)
def test_each_statistic_is_known_or_not(tmp_path, known, statistics):
    bank = of_means(counts=np.array([3, 1, 2]), counts_known=True, **known)
    back = bank.write(tmp_path / "bank.h5")
    assert back.statistics == statistics and back.images_in == 6
    for name in known:
        np.testing.assert_array_equal(getattr(back, name), known[name])
    few = back.at_least(2)
    assert few.classes == ("auk", "cow") and few.statistics == statistics


def test_a_damaged_file_is_not_taken_for_one_that_knows_less(tmp_path):
    whole = FeatureBank(CLASSES, np.ones(3, np.int64), MEANS, np.ones_like(MEANS), np.eye(2, dtype=np.float32), {})
    whole.write(tmp_path / "bank.h5")
    with h5py.File(tmp_path / "bank.h5", "a") as file:
        del file["class/variance"]
    with pytest.raises(InputError, match="not a readable feature bank"):
        FeatureBank.open(tmp_path / "bank.h5")


def test_a_spread_without_counts_is_refused():
    with pytest.raises(InputError, match="variances or a covariance without the number of images"):
        of_means(variances=np.ones_like(MEANS))


def test_images_that_no_extraction_can_add_are_not_asked_for(tmp_path):
    with pytest.raises(InputError, match="keeps no image features; it is made of class means, not of images"):
        of_means().write(tmp_path / "bank.h5").images()


@pytest.mark.parametrize("spread", [{}, {"variances": np.ones((3, 2), "f4")}, {"covariance": np.eye(2, dtype="f4")}])
def test_class_means_with_a_spread_are_of_no_images_either(tmp_path, spread):
    np.savez(tmp_path / "m.npz", mean=MEANS, count=[3, 1, 2], **spread)
    options = "".join(f"&{name}={name}" for name in spread)
    spec = f"features:{tmp_path / 'm.npz'}?means=mean&counts=count{options}"
    extract(ExtractConfig(spec, str(tmp_path / "bank.h5")))
    bank = FeatureBank.open(tmp_path / "bank.h5")
    assert bank.is_of_means and bank.at_least(2).is_of_means
    with pytest.raises(InputError, match="it is made of class means, not of images"):
        bank.images()


def test_features_of_images_are_not_class_means(tmp_path):
    np.savez(tmp_path / "x.npz", feature=np.eye(4, dtype="f4"), label=["auk", "auk", "bee", "bee"])
    extract(ExtractConfig(f"features:{tmp_path / 'x.npz'}", str(tmp_path / "bank.h5")))
    bank = FeatureBank.open(tmp_path / "bank.h5")
    assert not bank.is_of_means
    with pytest.raises(InputError, match="extract it again with `keep_images`"):
        bank.images()


def elsewhere(name, **changes):
    attrs = {"dataset": f"features:{name}", "backbone": "clip", "weights_sha256": "", "transform": "", "pooling": ""}
    fields = {"counts": np.full(3, 5), "counts_known": True, "attrs": attrs}
    bank = of_means()
    return FeatureBank(
        CLASSES, **({"means": bank.means, "variances": None, "within_covariance": None} | fields | changes)
    )


def of_length_1():
    """Class means and variances of features of length 1."""
    features = np.random.default_rng(0).normal(size=(3, 5, 2))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    return {"means": features.mean(axis=1).astype("f4"), "variances": features.var(axis=1).astype("f4")}


def test_features_of_length_1_are_not_compared_with_others_of_the_same_model():
    scaled, plain = elsewhere("a.npz", **of_length_1()), elsewhere("b.npz", variances=np.ones_like(MEANS))
    for one, other in ((scaled, plain), (plain, scaled)):
        with pytest.raises(InputError, match=r"features of features:a\.npz have length 1, those of features:b\.npz"):
            one.require_comparable(other)
    scaled.require_comparable(elsewhere("c.npz", **of_length_1()))
    plain.require_comparable(elsewhere("d.npz", variances=np.ones_like(MEANS)))
    scaled.require_comparable(elsewhere("e.npz"))  # means alone do not tell


def test_widths_are_compared_too():
    with pytest.raises(InputError, match="features of width 2 and 3"):
        elsewhere("a.npz").require_comparable(elsewhere("b.npz", means=np.ones((3, 3), dtype=np.float32)))
