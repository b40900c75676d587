"""Banks without a within-class covariance: what takes its place is said, and what needs it is refused in one line."""

import numpy as np
import pytest

from features.bank import FeatureBank
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError
from similarity import Evidence, Subset, measure, rank_domains, select_classes, selection_curves, selection_stability
from similarity.geometry import fit_geometry
from similarity.measures import Unmeasured
from similarity.measures.source_classifier import source_posterior
from similarity.selection.curve import write_curves
from similarity.uncertainty.sampling_error import mean_clouds

RNG = np.random.default_rng(0)
WIDTH = 6


def bank(name, n_classes=5, *, spread=False, counts=None):
    means = np.abs(RNG.normal(size=(n_classes, WIDTH))).astype(np.float32)
    noise = RNG.normal(size=(WIDTH, WIDTH))
    return FeatureBank(
        tuple(f"{name} {i}" for i in range(n_classes)),
        np.full(n_classes, counts or 1),
        means,
        np.full_like(means, 0.5) if spread else None,
        (noise @ noise.T).astype(np.float32) if spread else None,
        {"dataset": f"features:{name}"},
        counts_known=counts is not None,
    )


@pytest.fixture
def alone():
    return bank("target"), bank("source", 9)


@pytest.fixture(autouse=True)
def nothing_said_before():
    say_once.cache_clear()


@pytest.mark.parametrize(("geometry", "steps"), [("whitened", "centred, unit length"),
                                                 ("sqrt-whitened", "square root, centred, unit length")])  # fmt: skip
def test_a_geometry_leaves_whitening_out_and_says_so_once(alone, capsys, geometry, steps):
    target, source = alone
    metric = fit_geometry(geometry, [target], [source])
    assert metric.description == steps
    points = np.sqrt(source.means) if "square" in steps else source.means.astype(float)
    points = points - points.mean(axis=0)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(metric.points(source.means), points, atol=1e-6)
    fit_geometry(geometry, [target], [source])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the geometry {geometry} is not whitened here; its steps are: {steps}" in line


@pytest.mark.parametrize("geometry", ["euclidean", "cosine", "centred"])
def test_a_geometry_without_whitening_has_nothing_to_say(alone, capsys, geometry):
    fit_geometry(geometry, [alone[0]], [alone[1]])
    assert capsys.readouterr().err == ""


def test_the_covariance_of_the_others_is_used_where_there_is_one(alone, capsys):
    known = bank("known", spread=True, counts=20)
    metric = fit_geometry("whitened", [alone[0]], [known])
    of_known = fit_geometry("whitened", [known], [known])
    np.testing.assert_allclose(metric.whitening_factor, of_known.whitening_factor)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("features:target: holds class means without a covariance; that of the other banks is used")


def test_rank_orders_by_plug_in_distances_and_says_why_there_are_no_intervals(alone):
    target, source = alone
    near = FeatureBank(
        tuple("abcde"), target.counts, target.means * 1.01, None, None, {"dataset": "features:near"}, counts_known=False
    )
    ranking = rank_domains(target, [source, near])
    assert [domain.source for domain in ranking.domains] == ["features:near", "features:source"]
    assert ranking.without_intervals == "of features:target the number of images of each class is not known"
    assert all(domain.nearest_class_interval is None and domain.images is None for domain in ranking.domains)
    counted = rank_domains(bank("target", counts=4), [bank("source", 9, counts=7)])
    assert counted.without_intervals == "no bank says how the images of a class vary"
    assert counted.domains[0].images == 63


def test_errors_of_counted_means_are_taken_from_a_bank_that_knows_its_own():
    target, source = bank("target", counts=4), bank("source", 9, spread=True, counts=10)
    assert rank_domains(target, [source]).without_intervals is None
    metric = fit_geometry("euclidean", [target], [source])
    clouds = mean_clouds(metric, [target, source])
    of_image = clouds[1].error.mean() * 10
    np.testing.assert_allclose(clouds[0].error, of_image / 4)


def test_what_cannot_do_without_is_refused(alone):
    target, source = alone
    for options, line in (
        ({"strategy": "importance"}, "`strategy` importance: looks at the images of the target or draws them"),
        ({"min_count": 5}, "`min_count` 5: of features:source the number of images of each class is not known"),
        ({"images": 5}, "`images` 5: of features:source the number of images"),
    ):
        with pytest.raises(InputError) as caught:
            select_classes([target], [source], **options)
        assert line in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="`resample`: of features:target the number of images"):
        selection_stability([target], [source], 3)
    with pytest.raises(InputError, match="features:source holds no within-class covariance, so there are no class"):
        source_posterior(target.means, source)


@pytest.mark.parametrize(("name", "reason"), [
    ("frechet", "features:source holds no within-class covariance"),
    ("gbc", "features:target holds no variances and covariance"),
    ("source-images", "of features:source the number of images is not known"),
    ("mmd", "needs the source's images: features:source is made of class means, not of images"),
    ("leep", "needs the target's images: features:target is made of class means, not of images"),
])  # fmt: skip
def test_a_measure_says_what_it_lacks(alone, name, reason):
    found = measure([name, "emd"], Evidence(*alone))
    assert isinstance(found[name], Unmeasured) and found[name].reason.startswith(reason)
    assert found["emd"].value > 0


@pytest.mark.parametrize("strategy", ["mutual-proximity", "coverage", "kernel-density", "local-scaling", "nearest"])
def test_a_choice_has_no_count_and_its_file_is_read_back(alone, tmp_path, strategy):
    target, source = alone
    subset = select_classes([target], [source], classes=4, strategy=strategy)
    subset.write(tmp_path / "subset.csv")
    back = Subset.read(tmp_path / "subset.csv")
    assert back.rows == subset.rows and [row.count for row in back.rows] == [None] * 4
    assert back.provenance["sources"][0]["images"] is None


def test_a_curve_has_no_images(alone, tmp_path):
    curves = selection_curves([alone[0]], [alone[1]])
    assert curves[0].images is None
    write_curves(curves, tmp_path / "curve.csv", {})
    assert (tmp_path / "curve.csv").read_text().splitlines()[2].startswith("features:target,1,,")
