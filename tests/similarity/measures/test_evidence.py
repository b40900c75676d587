"""What evidence refuses at its door, and what it reads once."""

import numpy as np
import pytest

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.measures import Evidence, measure, mmd, source_posterior


@pytest.fixture
def pair(clusters, image_bank):
    rng = np.random.default_rng(0)
    target = image_bank(*clusters(2 * rng.standard_normal((3, 5)), [9, 8, 7]))
    return target, image_bank(*clusters(2 * rng.standard_normal((4, 5)), [9] * 4, seed=1), dataset="folder:source")


def test_images_are_read_once(pair, monkeypatch):
    reads = []
    read = FeatureBank.images
    monkeypatch.setattr(FeatureBank, "images", lambda bank: reads.append(bank.name) or read(bank))
    evidence = Evidence(*pair)
    assert reads == []
    measure(["mmd", "otdd", "leep", "nce", "knn", "logme"], evidence)
    assert sorted(reads) == ["folder:source", "folder:target"]


def test_a_posterior_of_the_models_own_goes_before_the_sources(pair):
    target, source = pair
    own = np.random.default_rng(0).dirichlet(np.ones(6), 24)
    evidence = Evidence(target, source, posterior=own)
    np.testing.assert_allclose(evidence.source_labels, own)
    features = evidence.images.features
    np.testing.assert_array_equal(Evidence(target, source).source_labels, source_posterior(features, source))


def test_the_images_cannot_be_written_to(pair):
    with pytest.raises(ValueError, match="read-only"):
        Evidence(*pair).images.features[0] = 0


def test_one_kernel_measures_every_source_of_a_target(pair):
    """σ is the target's own: were it that of both together, values of two sources could not be compared."""
    target, source = pair
    evidence = Evidence(target, source)
    rows = evidence.images.features
    sigma = np.median([np.linalg.norm(a - b) for i, a in enumerate(rows) for b in rows[:i]])
    expected = mmd(source.images()[0], rows, bandwidth=sigma)
    assert measure(["mmd"], evidence)["mmd"].value == pytest.approx(expected, rel=1e-9)


def test_banks_of_different_backbones(pair, clusters, image_bank):
    target, _ = pair
    other = image_bank(*clusters(np.eye(3, 5), [4] * 3), backbone="another")
    with pytest.raises(InputError, match="cannot be compared: backbone is 'b' in one and 'another'"):
        Evidence(target, other)
    with pytest.raises(InputError, match="features of width 5 and 4"):
        Evidence(target, image_bank(*clusters(np.eye(3, 4), [4] * 3)))


def test_what_is_no_posterior_and_no_number_of_parameters(pair):
    target, _ = pair
    with pytest.raises(ValueError, match="posterior must hold probabilities"):
        Evidence(target, posterior=np.ones((24, 3)))
    with pytest.raises(ValueError, match="posterior must be finite"):
        Evidence(target, posterior=np.full((24, 3), np.nan))
    with pytest.raises(ValueError, match="parameters must be a positive number, got 0"):
        Evidence(target, parameters=0)


def test_a_posterior_of_other_images_is_a_reason(pair):
    target, _ = pair
    found = measure(["leep"], Evidence(target, posterior=np.full((5, 2), 0.5)))["leep"]
    assert "keeps 24 images, but there are class probabilities for 5" in found.reason


def test_images_that_are_not_numbers_are_refused_by_the_name_of_their_bank(pair, clusters, image_bank):
    target, source = pair
    features, labels, ids = target.images()
    broken = target.write(target.path.with_name("broken.h5"), (np.where(features > 2, np.nan, features), labels, ids))
    found = measure(["knn", "mmd"], Evidence(broken, source))
    assert "image/feature, row 4: holds NaN or infinity" in found["knn"].reason
    found = measure(["mmd"], Evidence(source, broken))
    assert "image/feature, row 4: holds NaN or infinity" in found["mmd"].reason


def test_a_geometry_that_cannot_be_fitted_is_a_reason(pair, clusters, image_bank):
    target, _ = pair
    one = image_bank(*clusters(np.ones((1, 5)), [9]), dataset="folder:one")
    found = measure(["emd", "frechet"], Evidence(target, one))
    assert "there is only one source class" in found["emd"].reason
    assert found["frechet"].value > 0
    assert measure(["emd"], Evidence(target, one, geometry="euclidean"))["emd"].value > 0


def test_one_image_is_no_distribution(pair, image_bank):
    target, source = pair
    one = image_bank(np.ones((1, 5)), [0], dataset="folder:one")
    assert "folder:one: keeps one image only" in measure(["mmd"], Evidence(target, one))["mmd"].reason
    assert "folder:one: keeps one image only" in measure(["mmd"], Evidence(one, source))["mmd"].reason
