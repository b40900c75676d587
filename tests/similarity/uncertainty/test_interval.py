"""The interval of a distance: what it holds, how often, and its parts against what they estimate."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from similarity import fit_geometry, rank_domains
from similarity.transport.earth_movers_distance import emd
from similarity.transport.network_simplex import balanced_plan
from similarity.transport.semi_relaxed import nearest_plan, semi_relaxed
from similarity.uncertainty.interval import (
    Interval,
    _Plane,
    _signal,
    _Sphere,
    distance_intervals,
    without_noise,
)
from similarity.uncertainty.sampling_error import MeanCloud, mean_clouds


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
    return only(clouds, metric.unit_length, replicates, rng), truth, value


def only(clouds, unit_length, replicates, rng):
    """The interval of the Earth Mover's Distance."""
    generators = rng, np.random.default_rng(rng.integers(1 << 32))
    options = {"unit_length": unit_length, "replicates": replicates, "generators": generators}
    (found,) = distance_intervals(*clouds, (balanced_plan,), **options)
    return found


def intervals(make_bank, geometry, apart, samples, images, replicates=20):
    """(N,) each: true distance, that of the sample means, the ends of the bare interval, and its end by the draws."""
    rng = np.random.default_rng(0)
    width = student.ppf(0.975, replicates - 1) * np.sqrt(1 + 1 / replicates)
    rows = []
    for _ in range(samples):
        targets = rng.standard_normal((6, 24))
        sources = np.concatenate([targets, targets]) + apart * rng.standard_normal((12, 24))
        interval, truth, value = interval_and_truth(make_bank, rng, sources, targets, images, geometry, replicates)
        end = max(0.0, interval.draws.mean() + width * interval.draws.std(ddof=1))
        rows.append((truth, value, interval.low, interval.high, end))
    return np.array(rows).T


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_is_centred_on_the_truth_and_as_wide_as_its_middle_varies(make_bank, geometry):
    """3 images a class: the distance of the sample means is half as large again as the true one."""
    truth, value, low, high, _ = intervals(make_bank, geometry, apart=0.7, samples=40, images=3)
    off = (low + high) / 2 - truth
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(40)
    assert 0.7 < (high - low).mean() / (4 * off.std()) < 1.6  # 4 deviations hold 95 %
    assert ((low <= truth) & (truth <= high)).sum() >= 36  # of 40
    assert (value > 1.05 * truth).all()


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_few_replicates_make_it_wider_and_not_too_sure(make_bank, geometry):
    """3 replicates know their deviation badly: ±1.96 of them would hold the truth in 77 % of the samples."""
    truth, _, low, high, _ = intervals(make_bank, geometry, apart=2.0, samples=80, images=8, replicates=3)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_begins_at_zero_where_the_classes_are_the_same(make_bank, geometry):
    _, value, low, high, end = intervals(make_bank, geometry, apart=0.0, samples=60, images=3)
    assert (low == 0).sum() >= 59  # the bootstrap alone: 55
    assert end.mean() < 0.7 * value.mean()
    reaches = high > end + 1e-9  # without an estimate, to the plug-in distance
    assert 0 < reaches.sum() < 60
    np.testing.assert_allclose(high[reaches], value[reaches], rtol=1e-9)


def test_narrows_with_images_around_the_truth(make_bank):
    rng = np.random.default_rng(1)
    sources, targets = rng.standard_normal((8, 16)), rng.standard_normal((5, 16)) + 0.5
    few, truth, _ = interval_and_truth(make_bank, rng, sources, targets, 5, "euclidean")
    many, _, value = interval_and_truth(make_bank, rng, sources, targets, 2000, "euclidean")
    assert many.high - many.low < (few.high - few.low) / 8
    assert many.low <= truth * 1.01 and many.high >= truth * 0.99
    assert many.low <= many.estimate <= many.high and many.estimate == pytest.approx(value, rel=0.02)


def test_without_noise_it_is_the_distance(make_bank):
    rng = np.random.default_rng(2)
    none = {"variances": np.zeros((4, 3)), "within": np.zeros((3, 3))}
    banks = [make_bank(rng.standard_normal((4, 3)), [3, 1, 4, 1], **none) for _ in range(2)]
    for geometry in ("euclidean", "whitened"):
        metric = fit_geometry(geometry, [banks[1]], [banks[0]])
        value = emd(
            metric.points(banks[0].means), banks[0].counts, metric.points(banks[1].means), banks[1].counts
        ).value
        interval = only(mean_clouds(metric, banks), metric.unit_length, 3, rng)
        assert (interval.low, interval.estimate, interval.high) == pytest.approx((value,) * 3, rel=1e-6)


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
    observed, unbiased = world.replicate(zeros, [np.zeros(len(cloud.points)) for cloud in clouds])
    np.testing.assert_allclose(observed, world.truth, atol=1e-9)
    np.testing.assert_allclose(unbiased, world.truth, atol=1e-9)
    rows, columns = np.array([0, 2]), np.array([1, 1])
    np.testing.assert_allclose(world.coinciding(rows, columns, zeros), 0, atol=1e-12)


@pytest.mark.parametrize("unit_length", [False, True])
def test_a_replicate_of_means_without_noise_moves_the_points_themselves(unit_length):
    rng = np.random.default_rng(5)
    clouds = [cloud_of(rng.standard_normal((k, 10))) for k in (4, 3)]
    errors = [rng.standard_normal(cloud.points.shape) for cloud in clouds]
    sizes = [rng.random(len(cloud.points)) for cloud in clouds]
    observed, unbiased = (_Sphere if unit_length else _Plane)(*clouds).replicate(errors, sizes)
    moved = [cloud.points + error for cloud, error in zip(clouds, errors, strict=True)]
    if unit_length:
        np.testing.assert_allclose(observed, 2 * cdist(*moved, "cosine"), rtol=1e-9)
        lengths = [np.square(points).sum(axis=1) - size for points, size in zip(moved, sizes, strict=True)]
        np.testing.assert_allclose(unbiased, 2 - 2 * moved[0] @ moved[1].T / np.sqrt(np.outer(*lengths)), rtol=1e-9)
    else:
        np.testing.assert_allclose(observed, cdist(*moved) ** 2, rtol=1e-9)
        np.testing.assert_allclose(unbiased, observed - np.add.outer(*sizes), rtol=1e-9)


def test_a_replicate_of_noisy_means_adds_the_noise_to_the_truth_and_shrinks_what_it_is_added_to():
    """Errors and their mirror images: the mean of both is exact, and their difference is the cross term 4Δ·ε."""
    rng = np.random.default_rng(6)
    source, target = (replace(cloud_of(3 * rng.standard_normal((k, 10))), error=np.full(k, 20.0)) for k in (4, 3))
    world = _Plane(source, target)
    assert (world.unbiased > 0).all()
    e, f = 0.3 * rng.standard_normal((4, 10)), 0.3 * rng.standard_normal((3, 10))
    (there, _), (back, _) = (world.replicate((sign * e, sign * f), (np.zeros(4), np.zeros(3))) for sign in (1, -1))
    difference = e[:, None] - f
    np.testing.assert_allclose((there + back) / 2, world.truth + np.square(difference).sum(axis=2), rtol=1e-9)
    apart = source.points[:, None] - target.points
    shrunk = apart * np.sqrt(world.truth / world.observed)[:, :, None]
    np.testing.assert_allclose(there - back, 4 * (shrunk * difference).sum(axis=2), rtol=1e-9, atol=1e-9)


def test_lengths_lose_their_noise_but_never_all():
    np.testing.assert_allclose(_signal(np.array([4.0, 4.0]), np.array([1.0, 2.0])), [3, 2])
    # The bank's average share of signal is 3/8: a class whose noise is as long as itself keeps half of that.
    np.testing.assert_allclose(_signal(np.array([4.0, 4.0]), np.array([1.0, 4.0])), [3, 4 * 3 / 16])
    # A bank that is all noise is taken to be one tenth of signal.
    np.testing.assert_allclose(_signal(np.array([4.0, 4.0]), np.array([4.0, 5.0])), [0.2, 0.2])


@pytest.mark.parametrize("unit_length", [False, True])
def test_points_without_noise_have_the_unbiased_distances(unit_length):
    rng = np.random.default_rng(7)
    cloud = replace(cloud_of(rng.standard_normal((5, 30))), error=rng.random(5))
    cloud.points[4] = 0
    points, noise = without_noise(cloud, unit_length=unit_length)
    found = cdist(points, points) ** 2 - np.add.outer(noise, noise)
    different = ~np.eye(5, dtype=bool)
    expected = (_Sphere if unit_length else _Plane)(cloud, cloud).unbiased
    np.testing.assert_allclose(found[different], expected[different], rtol=1e-9)


def cloud_of(points):
    """Means without errors."""
    n, width = points.shape
    return MeanCloud(points, np.full(n, 1 / n), np.zeros(n), np.eye(width) / np.sqrt(width), np.full(n, 10.0))


def test_points_at_the_centre_stay_finite(make_bank):
    banks = [make_bank(np.zeros((3, 3)), [2, 2, 2], dataset=f"folder:{name}") for name in "ab"]
    interval = rank_domains(banks[0], banks[1:], geometry="centred", bootstrap=4).domains[0].emd_interval
    assert interval is not None and np.isfinite([interval.low, interval.estimate, interval.high]).all()


@pytest.mark.parametrize("geometry", ["cosine", "centred"])
def test_points_of_length_one_are_at_most_two_apart(make_bank, geometry):
    """Where nearly all is noise, the ends would run up to 8."""
    rng = np.random.default_rng(8)
    for _ in range(5):
        means = rng.standard_normal((3, 4))
        banks = [make_bank(sign * means, [2] * 3, dataset=f"folder:{sign}") for sign in (-1, 1)]
        clouds = mean_clouds(metric := fit_geometry(geometry, banks[1:], banks[:1]), banks)
        interval = only(clouds, metric.unit_length, 4, rng)
        assert 0 <= interval.low <= interval.high <= 2


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_the_nearest_class_distance_has_an_interval_too(make_bank, geometry):
    rng = np.random.default_rng(9)
    held, off = [], []
    for _ in range(40):
        targets = rng.standard_normal((5, 24))
        sources = np.concatenate([targets + 0.7 * rng.standard_normal((5, 24)), rng.standard_normal((10, 24))])
        banks = [sample(make_bank, rng, means, 5, name) for means, name in ((sources, "s"), (targets, "t"))]
        metric = fit_geometry(geometry, banks[1:], banks[:1])
        truth = semi_relaxed(metric.points(sources), metric.points(targets), np.ones(5)).value
        plug_in = semi_relaxed(*(metric.points(bank.means) for bank in banks), np.ones(5)).value
        (interval,) = distance_intervals(
            *mean_clouds(metric, banks),
            (nearest_plan,),
            unit_length=metric.unit_length,
            replicates=20,
            generators=(rng, np.random.default_rng(rng.integers(1 << 32))),
        )
        held.append(interval.low <= truth <= interval.high)
        off.append((interval.estimate - truth, plug_in - truth))
    corrected, biased = np.mean(off, axis=0)
    assert sum(held) >= 34  # of 40
    assert abs(corrected) < biased / 2


def test_pairs_of_draws_tell_more_than_intervals_apart(make_bank):
    """Two sources around one target: the error of the target is common to both distances."""
    rng = np.random.default_rng(10)
    targets = rng.standard_normal((4, 8))
    target = sample(make_bank, rng, targets, 5, "target", deviation=2.0)
    near, far = (sample(make_bank, rng, targets + shift, 500, "source", deviation=0.1) for shift in (3.0, 3.3))
    metric = fit_geometry("euclidean", [target], [near, far])
    clouds = mean_clouds(metric, [target, near, far])
    found = [
        distance_intervals(
            cloud,
            clouds[0],
            (balanced_plan,),
            unit_length=False,
            replicates=30,
            generators=(np.random.default_rng(i), np.random.default_rng(7)),
        )[0]
        for i, cloud in enumerate(clouds[1:])
    ]
    assert found[0].high > found[1].low  # the intervals overlap
    assert found[0].nearer_than(found[1]) > 0.99
    assert found[1].nearer_than(found[0]) == pytest.approx(1 - found[0].nearer_than(found[1]))


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_there_is_no_estimate_where_noise_explains_the_distance(make_bank, geometry):
    rng = np.random.default_rng(11)
    missing = 0
    for _ in range(30):
        means = rng.standard_normal((6, 24))
        interval, _, value = interval_and_truth(make_bank, rng, means, means, 2, geometry)
        if interval.estimate is None:
            missing += 1
            assert interval.low == 0 and interval.high >= value * (1 - 1e-12)  # round-off of another sum
            assert interval.nearer_than(interval) is None
        else:
            assert 0 < interval.estimate <= interval.high
    assert missing >= 3


def test_stretching():
    bare = Interval(1.5, 1.0, 2.0, np.zeros(3))
    assert [(found.estimate, found.low, found.high) for found in (bare.holding(3.0), bare.holding(1.5))] == [
        (1.5, 1.0, 3.0),
        (1.5, 1.0, 2.0),
    ]


def test_confidence_of_known_draws():
    draws = np.array([1.0, 2.0, 3.0])
    one = Interval(2.0, 1.0, 3.0, draws)
    assert one.nearer_than(one) == 0.5
    assert one.nearer_than(Interval(3.0, 2.0, 4.0, draws + 1)) == 1.0
    # differences −1, 0, −2: mean −1, deviation 1, Student t of 1 / √(4/3) with 2 degrees of freedom
    other = Interval(3.0, 2.0, 4.0, np.array([2.0, 2.0, 5.0]))
    assert one.nearer_than(other) == pytest.approx(student.cdf(np.sqrt(3) / 2, 2))


def test_one_replicate_is_refused(make_bank):
    clouds = mean_clouds(fit_geometry("euclidean", [], [make_bank(np.eye(2))]), [make_bank(np.eye(2))]) * 2
    with pytest.raises(ValueError, match="replicates must be at least 2, got 1"):
        only(clouds, False, 1, np.random.default_rng(0))
