"""γ: what a similarity of one half means."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import similarity.ranking.calibration
from similarity import fit_geometry, rank_domains
from similarity import similarity as similarity_of
from similarity.ranking.calibration import calibrated_gamma, class_spread, gamma_without_noise, given_gamma
from similarity.uncertainty.sampling_error import mean_clouds


def test_spread_is_the_mean_distance_of_two_images_of_different_classes():
    rng = np.random.default_rng(0)
    points, counts = rng.standard_normal((4, 3)), np.array([3, 1, 5, 2])
    images = np.repeat(np.arange(4), counts)
    distances = cdist(points, points)[np.ix_(images, images)]
    expected = distances[images[:, None] != images].mean()
    assert class_spread(points, counts) == pytest.approx(expected, rel=1e-12)
    assert class_spread(points[:1], counts[:1]) == 0
    assert class_spread(np.ones((3, 2)), counts[:3]) == 0


def test_a_source_as_far_as_the_targets_classes_from_each_other_has_one_half(make_bank):
    target = make_bank([[0.0, 0.0], [0.0, 2.0]], dataset="folder:target")
    source = make_bank([[2.0, 0.0], [2.0, 2.0]])
    ranking = rank_domains(target, [source], geometry="euclidean")
    assert ranking.domains[0].similarity == pytest.approx(0.5, rel=1e-12)
    assert ranking.half == "as far as the target's classes are from each other (2)"
    assert ranking.to_json()["gamma"] == ranking.gamma == pytest.approx(np.log(2) / 2)


@pytest.mark.parametrize("geometry", ["euclidean", "whitened"])
def test_similarity_has_no_unit(make_bank, geometry):
    rng = np.random.default_rng(1)
    target, source = rng.standard_normal((4, 5)), rng.standard_normal((6, 5))

    def of(scale):
        banks = [
            make_bank(scale * means, within=scale**2 * np.eye(5), dataset=f"folder:{name}")
            for name, means in (("target", target), ("source", source))
        ]
        return rank_domains(banks[0], banks[1:], geometry=geometry).domains[0].similarity

    assert of(100.0) == pytest.approx(of(1.0), rel=1e-5)  # the means are stored in float32


def test_the_scale_is_the_targets_whatever_sources_there_are(make_bank):
    target = make_bank([[0.0, 0.0], [0.0, 2.0]], dataset="folder:target")
    near, far = make_bank([[1.0, 0.0]], dataset="folder:near"), make_bank([[90.0, 0.0]], dataset="folder:far")
    alone, both = (rank_domains(target, sources, geometry="euclidean") for sources in ([near], [near, far]))
    assert alone.gamma == both.gamma


def test_a_target_of_one_class_takes_the_sources_scale(make_bank):
    target = make_bank([[0.0, 0.0]], dataset="folder:target")
    sources = [make_bank([[1.0, 0.0]]), make_bank([[5.0, 0.0]], dataset="folder:other")]
    ranking = rank_domains(target, sources, geometry="euclidean")
    assert ranking.gamma == pytest.approx(np.log(2) / 4)
    assert "the sources' classes" in ranking.half and "the target has one class" in ranking.half


def test_where_nothing_differs_gamma_is_the_papers():
    point, one = np.ones((1, 2)), np.ones(1)
    found = calibrated_gamma(point, one, [point], [one])
    assert found.value == 0.01
    assert similarity_of(69.3, found.value) == pytest.approx(0.5, abs=1e-3)
    assert found.meaning == "an EMD of 69.31"


def test_spread_of_more_classes_than_are_measured_is_that_of_a_sample(monkeypatch):
    rng = np.random.default_rng(0)
    points, counts = rng.standard_normal((600, 8)), rng.integers(1, 9, 600)
    whole = class_spread(points, counts)
    monkeypatch.setattr(similarity.ranking.calibration, "_ROWS", 7)
    assert class_spread(points, counts) == pytest.approx(whole, rel=1e-12)
    monkeypatch.setattr(similarity.ranking.calibration, "_MOST_CLASSES", 300)
    assert class_spread(points, counts) == class_spread(points, counts) == pytest.approx(whole, rel=0.02)
    assert class_spread(points, counts) != whole


@pytest.mark.parametrize("geometry", ["euclidean", "cosine"])
@pytest.mark.parametrize("spread_of", ["target", "sources"])
def test_gamma_without_noise_is_that_of_the_true_means(make_bank, geometry, spread_of):
    rng = np.random.default_rng(0)
    truth = 3 + rng.standard_normal((12, 60))
    found, naive = [], []
    for _ in range(20):
        features = truth[:, None] + 2 * rng.standard_normal((12, 4, 60))
        means, variances = features.mean(axis=1), features.var(axis=1)
        own = {"variances": variances, "within": np.diag(variances.mean(axis=0))}
        one = make_bank([truth[0]], [4], dataset="folder:one", variances=variances[:1], within=own["within"])
        classes = make_bank(means, [4] * 12, dataset="folder:classes", **own)
        banks = [classes, one] if spread_of == "target" else [one, classes]
        metric = fit_geometry(geometry, banks[:1], banks[1:])
        points, counts = [metric.points(bank.means) for bank in banks], [bank.counts for bank in banks]
        gamma = calibrated_gamma(points[0], counts[0], points[1:], counts[1:])
        assert gamma.spread_of == spread_of
        clouds = mean_clouds(metric, banks)
        found.append(np.log(2) / gamma_without_noise(gamma, clouds, counts, unit_length=metric.unit_length))
        naive.append(np.log(2) / gamma.value)
    expected = class_spread(metric.points(truth), np.ones(12))
    assert np.mean(found) == pytest.approx(expected, rel=0.03)
    assert np.mean(naive) > 1.2 * expected


def test_a_gamma_that_was_given_stays_and_one_of_noise_alone_is_unknown(make_bank):
    bank = make_bank(np.full((3, 4), 2.0) + 0.1 * np.eye(3, 4), [5] * 3)
    metric = fit_geometry("euclidean", [bank], [bank])
    clouds, counts = mean_clouds(metric, [bank, bank]), [bank.counts] * 2
    assert gamma_without_noise(given_gamma(0.3), clouds, counts, unit_length=False) == 0.3
    gamma = calibrated_gamma(metric.points(bank.means), bank.counts, [], [])
    assert gamma_without_noise(gamma, clouds, counts, unit_length=False) is None
    other = make_bank(np.zeros((3, 4)), [5] * 3, dataset="folder:other")
    domain = rank_domains(bank, [other], geometry="euclidean", bootstrap=3).domains[0]
    assert domain.interval == (0, 1)
