"""What each geometry does to class means."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis

from features.class_statistics import ClassStatistics
from features.infrastructure.errors import InputError
from similarity import GEOMETRIES, fit_geometry


@pytest.fixture
def banks(make_bank):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 6))
    within = mixing @ mixing.T
    target = make_bank(rng.random((3, 6)), dataset="folder:target", within=within)
    sources = [
        make_bank(rng.random((5, 6)), [1, 2, 3, 4, 5], within=within),
        make_bank(rng.random((4, 6)), dataset="folder:other", within=2 * within),
    ]
    return target, sources


def test_euclidean_leaves_the_means_alone(banks):
    target, sources = banks
    points = fit_geometry("euclidean", [target], sources).points(target.means)
    np.testing.assert_array_equal(points, target.means)
    assert points.dtype == np.float64


@pytest.mark.parametrize("name", ["cosine", "centred", "whitened"])
def test_points_have_length_one(banks, name):
    target, sources = banks
    points = fit_geometry(name, [target], sources).points(target.means)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-12)


def test_cosine_ignores_length(banks):
    target, sources = banks
    metric = fit_geometry("cosine", [target], sources)
    np.testing.assert_allclose(metric.points(7 * target.means), metric.points(target.means), rtol=1e-6)


def test_centre_counts_each_source_class_once(banks):
    target, sources = banks
    centre = fit_geometry("centred", [target], sources).centre
    np.testing.assert_allclose(centre, np.vstack([bank.means for bank in sources]).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", ["centred", "whitened"])
def test_a_shift_of_all_features_changes_nothing(banks, make_bank, name):
    target, sources = banks
    shifted = [
        make_bank(bank.means + 3.0, bank.counts, within=bank.within_covariance, dataset=bank.name)
        for bank in (target, *sources)
    ]
    before = fit_geometry(name, [target], sources).points(target.means)
    after = fit_geometry(name, shifted[:1], shifted[1:]).points(shifted[0].means)
    np.testing.assert_allclose(after, before, atol=1e-5)  # the means are stored in float32


def test_whitened_before_scaling_is_the_mahalanobis_distance(banks):
    target, sources = banks
    metric = fit_geometry("whitened", [target], sources)
    images = np.array([30, 15, 40])
    covariances = np.stack([bank.within_covariance for bank in (target, *sources)]).astype(float)
    pooled = (images[:, None, None] * covariances).sum(axis=0) / images.sum()
    inverse = np.linalg.inv(pooled + np.linalg.eigvalsh(pooled).mean() * np.eye(6))
    whitened = np.linalg.solve(metric.whitening_factor, target.means.T.astype(float)).T
    expected = [[mahalanobis(a, b, inverse) for b in target.means.astype(float)] for a in target.means.astype(float)]
    np.testing.assert_allclose(cdist(whitened, whitened), expected, rtol=1e-6, atol=1e-9)


def test_whitening_does_not_depend_on_the_units_of_the_features(banks, make_bank):
    target, sources = banks
    larger = [
        make_bank(4 * bank.means, bank.counts, within=16 * bank.within_covariance, dataset=bank.name)
        for bank in (target, *sources)
    ]
    before = fit_geometry("whitened", [target], sources).points(target.means)
    after = fit_geometry("whitened", larger[:1], larger[1:]).points(larger[0].means)
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_isotropic_or_unknown_covariance_makes_whitened_centred(banks, make_bank):
    target, sources = banks
    centred = fit_geometry("centred", [target], sources).points(target.means)
    for within in (np.eye(6) * 5, np.zeros((6, 6))):
        plain = [make_bank(b.means, b.counts, within=within, dataset=b.name) for b in (target, *sources)]
        points = fit_geometry("whitened", plain[:1], plain[1:]).points(target.means)
        np.testing.assert_allclose(points, centred, rtol=1e-6)


def test_a_class_at_the_centre_stays_finite(make_bank):
    target, source = make_bank([[1.0, 0.0]], dataset="folder:target"), make_bank([[2.0, 1.0], [0.0, 3.0], [1.0, 2.0]])
    for name in GEOMETRIES:
        assert np.isfinite(fit_geometry(name, [target], [source]).points(source.means)).all()


@pytest.mark.parametrize("name", ["centred", "whitened", "sqrt-whitened"])
def test_a_single_source_class_is_no_centre(make_bank, name):
    target, source = make_bank([[1.0, 0.0], [0.0, 1.0]], dataset="folder:target"), make_bank([[2.0, 1.0]])
    with pytest.raises(InputError, match=f"`geometry` {name}.*only one source class.*`geometry` euclidean"):
        fit_geometry(name, [target], [source])
    fit_geometry(name, [target], [source, make_bank([[1.0, 2.0]], dataset="folder:other")])


@pytest.mark.parametrize("name", ["whitened", "sqrt-whitened"])
def test_one_image_a_class_through_the_statistics_makes_whitened_centred(make_bank, name):
    """Banks as they are now, and as they were written while round-off of sums stayed in their covariance."""
    rng = np.random.default_rng(0)
    banks = []
    for dataset in ("folder:target", "folder:source"):
        x, labels = torch.from_numpy(np.abs(rng.standard_normal((200, 1280)))).float(), rng.permutation(200)
        statistics = ClassStatistics(200, 1280)
        for part in torch.arange(200).split(64):
            statistics.add(x[part], torch.from_numpy(labels[part]))
        means, counts = statistics.means(), statistics.counts.numpy()
        noise = 1e-15 * rng.standard_normal((1280, 1280))
        banks.append(
            [
                make_bank(means, counts, dataset=dataset, variances=0 * means, within=within)
                for within in (statistics.within_covariance(), noise + noise.T)
            ]
        )
    for target, source in zip(*banks, strict=True):
        assert fit_geometry(name, [target], [source]).whitening_factor is None


def test_unknown_name(banks):
    with pytest.raises(InputError, match=r"`geometry` manhattan.*euclidean, cosine, centred, whitened"):
        fit_geometry("manhattan", [banks[0]], banks[1])


def test_banks_of_different_backbones(banks, make_bank):
    with pytest.raises(InputError, match="backbone is 'b' in one and 'other' in the other"):
        fit_geometry("euclidean", [banks[0]], [make_bank(np.ones((2, 6)), backbone="other")])


def test_banks_of_different_width(banks, make_bank):
    with pytest.raises(InputError, match="width 6 and 4"):
        fit_geometry("euclidean", [banks[0]], [make_bank(np.ones((2, 4)))])


def test_square_roots_are_whitened_by_the_covariance_carried_along(banks, make_bank):
    target, sources = banks
    metric = fit_geometry("sqrt-whitened", [target], sources)
    assert metric.slope is not None
    average = np.concatenate([bank.means for bank in sources]).astype(float).mean(axis=0)
    slope = np.diag(0.5 / np.sqrt(average))
    roots = [
        make_bank(np.sqrt(bank.means), bank.counts, within=slope @ bank.within_covariance @ slope, dataset=bank.name)
        for bank in (target, *sources)
    ]
    expected = fit_geometry("whitened", roots[:1], roots[1:]).points(roots[0].means)
    np.testing.assert_allclose(metric.points(target.means), expected, atol=1e-5)  # these banks hold float32


def test_features_that_can_be_negative_have_no_square_root(banks, make_bank):
    target, sources = banks
    below = make_bank(-target.means, target.counts, dataset="folder:below")
    for targets, pool in (([below], sources), ([target], [*sources, below])):
        metric, plain = (fit_geometry(name, targets, pool) for name in ("sqrt-whitened", "whitened"))
        assert not metric.square_root
        assert metric.description == plain.description == "centred, whitened, unit length"
        np.testing.assert_array_equal(metric.points(target.means), plain.points(target.means))


def test_a_feature_that_is_always_zero_does_no_harm(make_bank):
    means = np.random.default_rng(0).random((5, 4))
    means[:, 2] = 0
    for values in (means, 0 * means):
        target, source = make_bank(values[:2], dataset="folder:target"), make_bank(values)
        assert np.isfinite(fit_geometry("sqrt-whitened", [target], [source]).points(source.means)).all()


@pytest.mark.parametrize("which", ["target", "source"])
def test_round_off_of_a_rectified_feature_keeps_the_square_root(banks, make_bank, which):
    target, sources = banks
    clean, noisy = {"target": target, "source": sources[0]}, {}
    for name, bank in clean.items():
        means = bank.means.copy()
        means[1, 2] = 0
        clean[name] = make_bank(means, bank.counts, within=bank.within_covariance, dataset=bank.name)
        means[1, 2] = -1e-6 if name == which else 0
        noisy[name] = make_bank(means, bank.counts, within=bank.within_covariance, dataset=bank.name)
    before, after = (fit_geometry("sqrt-whitened", [of["target"]], [of["source"], sources[1]]) for of in (clean, noisy))
    assert after.square_root and after.description == "square root, centred, whitened, unit length"
    for name in clean:
        np.testing.assert_array_equal(after.points(noisy[name].means), before.points(clean[name].means))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("share", "taken"), [(1e-5, True), (1e-2, False)])
def test_round_off_is_judged_by_the_scale_of_the_features(banks, make_bank, scale, share, taken):
    target, sources = banks
    scaled = [make_bank(scale * bank.means, dataset=bank.name) for bank in (target, *sources)]
    feature = np.concatenate([bank.means[:, 4] for bank in scaled]).max()
    scaled[1].means[0, 4] = -share * feature
    assert fit_geometry("sqrt-whitened", scaled[:1], scaled[1:]).square_root is taken


def test_a_feature_that_is_zero_but_for_round_off_is_judged_by_the_others(banks, make_bank):
    target, sources = banks
    for level, taken in ((-1e-7, True), (-0.1, False)):
        dead = [make_bank(bank.means, dataset=bank.name) for bank in (target, *sources)]
        for bank in dead:
            bank.means[:, 3] = level
        assert fit_geometry("sqrt-whitened", dead[:1], dead[1:]).square_root is taken


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_geometry_keeps_one_contract(banks, name):
    target, sources = banks
    row = GEOMETRIES.find(name)
    assert row.name == name and GEOMETRIES.meanings()[name] == row.meaning
    assert row.meaning and "\n" not in row.meaning
    first, again = (fit_geometry(name, [target], sources) for _ in range(2))
    points = first.points(target.means)
    assert points.shape == target.means.shape and points.dtype == np.float64 and np.isfinite(points).all()
    np.testing.assert_array_equal(again.points(target.means), points)
    assert first.name == name
    steps = {
        "square root": row.square_root,
        "centred": row.centre,
        "whitened": row.whiten,
        "unit length": row.unit_length,
    }
    assert first.description == (", ".join(step for step, taken in steps.items() if taken) or "raw means")
