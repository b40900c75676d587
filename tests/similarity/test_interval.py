"""The interval of a distance: what it holds, how often, and its parts against what they estimate."""

import numpy as np
import pytest

from similarity import fit_geometry, rank_domains
from similarity.interval import Interval, _Plane, _Sphere, distance_interval
from similarity.sampling_error import mean_clouds
from similarity.transport import emd


def sample(make_bank, rng, means, images, name, deviation=1.0):
    """A bank of so many images a class around true means (C, D)."""
    features = means[:, None] + deviation * rng.standard_normal((len(means), images, means.shape[1]))
    centred = (features - features.mean(axis=1, keepdims=True)).reshape(-1, means.shape[1])
    return make_bank(
        features.mean(axis=1),
        [images] * len(means),
        variances=features.var(axis=1),
        within=centred.T @ centred / len(centred),
        dataset=f"folder:{name}",
    )


def interval_and_truth(make_bank, rng, sources, targets, images, geometry, replicates=30):
    source = sample(make_bank, rng, sources, images, "source")
    target = sample(make_bank, rng, targets, images, "target")
    metric = fit_geometry(geometry, [target], [source])
    truth = emd(metric.points(sources), source.counts, metric.points(targets), target.counts).value
    value = emd(metric.points(source.means), source.counts, metric.points(target.means), target.counts).value
    clouds = mean_clouds(metric, [source, target])
    return (
        distance_interval(*clouds, unit_length=metric.unit_length, replicates=replicates, generator=rng),
        truth,
        value,
    )


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
@pytest.mark.parametrize("apart", [0.0, 0.3, 2.0])
def test_holds_the_true_distance_in_most_samples(make_bank, geometry, apart):
    """0 and 0.3: distances that 8 images a class cannot tell from noise; 2: where noise is a correction."""
    rng = np.random.default_rng(0)
    held = naive = 0
    for _ in range(40):
        targets = rng.standard_normal((6, 24))
        sources = np.concatenate([targets, targets]) + apart * rng.standard_normal((12, 24))
        interval, truth, value = interval_and_truth(make_bank, rng, sources, targets, 8, geometry)
        printed = interval.holding(value)
        held += printed.low <= truth <= printed.high
        naive += abs(value - truth) < 0.05 * value
    assert held >= 34  # of 40; at a coverage of 95 % fewer happen once in 400
    if apart < 1:
        assert naive == 0  # the distance of sample means is no estimate here


def test_narrows_with_images_around_the_truth(make_bank):
    rng = np.random.default_rng(1)
    sources, targets = rng.standard_normal((8, 16)), rng.standard_normal((5, 16)) + 0.5
    few, truth, _ = interval_and_truth(make_bank, rng, sources, targets, 5, "euclidean")
    many, _, value = interval_and_truth(make_bank, rng, sources, targets, 2000, "euclidean")
    assert many.high - many.low < (few.high - few.low) / 8
    assert many.holding(value).low <= truth * 1.01
    assert many.holding(value).high >= truth * 0.99


def test_without_noise_it_is_the_distance(make_bank):
    rng = np.random.default_rng(2)
    none = {"variances": np.zeros((4, 3)), "within": np.zeros((3, 3))}
    banks = [make_bank(rng.standard_normal((4, 3)), [3, 1, 4, 1], **none) for _ in range(2)]
    for geometry in ("euclidean", "whitened"):
        metric = fit_geometry(geometry, [banks[1]], [banks[0]])
        value = emd(
            metric.points(banks[0].means), banks[0].counts, metric.points(banks[1].means), banks[1].counts
        ).value
        interval = distance_interval(
            *mean_clouds(metric, banks), unit_length=metric.unit_length, replicates=3, generator=rng
        )
        assert (interval.low, interval.high) == pytest.approx((value, value), rel=1e-6)


@pytest.mark.parametrize("geometry", ["euclidean", "cosine"])
def test_squared_distances_are_unbiased(make_bank, geometry):
    rng = np.random.default_rng(3)
    sources = 2 * rng.standard_normal((3, 40))
    targets = sources[:2] + rng.standard_normal((2, 40))
    found, noisy = [], []
    for _ in range(300):
        banks = [sample(make_bank, rng, m, 5, "x") for m in (sources, targets)]
        metric = fit_geometry(geometry, [banks[1]], [banks[0]])
        world = (_Sphere if metric.unit_length else _Plane)(*mean_clouds(metric, banks))
        points = metric.points(sources), metric.points(targets)
        true = np.square(points[0][:, None] - points[1]).sum(axis=2)
        found.append(world.unbiased - true)
        noisy.append(world.observed - true)
    bias, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(300)
    assert (np.abs(bias) < 5 * error + 0.01 * true).all()  # the ratio of lengths is unbiased to first order only
    assert (np.abs(np.mean(noisy, axis=0)) > 5 * error).any()


@pytest.mark.parametrize("unit_length", [False, True])
def test_a_replicate_without_errors_is_its_world(make_bank, unit_length):
    rng = np.random.default_rng(4)
    banks = [sample(make_bank, rng, 3 * rng.standard_normal((k, 10)), 50, "x") for k in (4, 3)]
    clouds = mean_clouds(fit_geometry("euclidean", [banks[1]], [banks[0]]), banks)
    world = (_Sphere if unit_length else _Plane)(*clouds)
    zeros = [np.zeros_like(cloud.points) for cloud in clouds]
    observed, unbiased = world.replicate(*zeros, *(np.zeros(len(cloud.points)) for cloud in clouds))
    np.testing.assert_allclose(observed, world.truth, atol=1e-9)
    np.testing.assert_allclose(unbiased, world.truth, atol=1e-9)
    rows, columns = np.array([0, 2]), np.array([1, 1])
    np.testing.assert_allclose(world.coinciding(rows, columns, *zeros), 0, atol=1e-12)


def test_points_at_the_centre_stay_finite(make_bank):
    banks = [make_bank(np.zeros((2, 3)), [2, 2], dataset=f"folder:{name}") for name in "ab"]
    interval = rank_domains(banks[0], banks[1:], geometry="centred", bootstrap=4).domains[0].emd_interval
    assert interval is not None and np.isfinite(interval).all()


def test_stretching():
    assert Interval(1.0, 2.0, 5).holding(3.0) == Interval(1.0, 3.0, 5)
    assert Interval(1.0, 2.0, 5).holding(1.5) == Interval(1.0, 2.0, 5)


def test_one_replicate_is_refused(make_bank):
    clouds = mean_clouds(fit_geometry("euclidean", [], [make_bank(np.eye(2))]), [make_bank(np.eye(2))]) * 2
    with pytest.raises(ValueError, match="replicates must be at least 2, got 1"):
        distance_interval(*clouds, unit_length=False, replicates=1, generator=np.random.default_rng(0))
