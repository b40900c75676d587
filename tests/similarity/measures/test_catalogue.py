"""One contract for all measures."""

import math

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from similarity import rank_domains
from similarity.measures import MEASURES, Evidence, Score, Unmeasured, measure, side_by_side
from similarity.measures.evidence import NEEDS

ALL = list(MEASURES)
#: Measures that look at the labels of the target.
OF_LABELS = ["emd", "otdd", "leep", "nce", "knn", "linear-probe", "logme", "h-score", "transrate", "gbc"]
#: Measures whose value another source changes.
OF_SOURCE = [name for name, of in MEASURES.items() if of.compares != "models"]


@pytest.fixture
def world(clusters):
    """Means of 5 target classes, the labelled features of target and source, and those of a source far away."""
    rng = np.random.default_rng(0)
    means = 5 + 2 * rng.standard_normal((5, 8))
    target = clusters(means, [12, 10, 9, 8, 7])
    source = clusters(np.vstack([means + 0.3, 5 + 2 * rng.standard_normal((3, 8))]), [20] * 8, seed=1)
    far = clusters(-9 + 0.1 * rng.standard_normal((4, 8)), [15] * 4, seed=2)
    return target, source, far


@pytest.fixture
def evidence(world, image_bank):
    target, source, _ = world
    return Evidence(image_bank(*target), image_bank(*source, dataset="folder:source"), parameters=1000)


def value(name, evidence):
    score = measure([name], evidence)[name]
    assert isinstance(score, Score), score
    return score.value


def better(name, one, other):
    return one > other if MEASURES[name].direction == "higher" else one < other


@pytest.mark.parametrize("name", ALL)
def test_what_a_measure_says_of_itself(name):
    entry = MEASURES[name]
    assert entry.name == name
    assert entry.meaning and "\n" not in entry.meaning
    assert entry.needs <= set(NEEDS)
    assert entry.direction in ("higher", "lower")
    assert entry.compares in ("sources", "models", "both")


def test_names_in_the_order_of_their_place():
    assert [
        *("emd", "otdd", "frechet", "mmd", "leep", "nce", "knn", "linear-probe", "transrate", "h-score"),
        *("logme", "gbc", "source-images", "parameters"),
    ] == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_finite_float_the_same_each_time(name, evidence):
    first = value(name, evidence)
    assert type(first) is float and math.isfinite(first)
    assert value(name, evidence) == first
    again = Evidence(evidence.target, evidence.source, parameters=1000)
    assert value(name, again) == first


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_images_and_classes_changes_nothing(name, world, evidence, image_bank):
    rng = np.random.default_rng(5)
    moved = []
    for features, labels in world[:2]:
        order = rng.permutation(len(labels))
        renamed = rng.permutation(labels.max() + 1)[labels]
        moved.append((features[order], renamed[order]))
    banks = [image_bank(*of, dataset=name) for of, name in zip(moved, ("folder:target", "folder:source"), strict=True)]
    assert value(name, Evidence(*banks, parameters=1000)) == pytest.approx(value(name, evidence), rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_nothing_that_is_handed_in_is_changed(name, world, evidence):
    theta = np.random.default_rng(0).dirichlet(np.ones(6), len(world[0][1]))
    evidence = Evidence(evidence.target, evidence.source, posterior=theta.astype(np.float32), parameters=1000)
    arrays = [evidence.posterior, evidence.images.features, evidence.images.labels]
    for bank in (evidence.target, evidence.source):
        arrays += [bank.means, bank.variances, bank.within_covariance, bank.counts]
    before = [array.copy() for array in arrays]
    value(name, evidence)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", ALL)
def test_a_missing_need_is_the_reason(name, world, image_bank):
    """Evidence that lacks one thing, and what cannot be without it: the reason says what to do about it."""
    target, source = (image_bank(*of, dataset=f"folder:{i}", keep=False) for i, of in enumerate(world[:2]))
    kept = image_bank(*world[0], dataset="folder:0"), image_bank(*world[1], dataset="folder:1")
    without_source = Evidence(kept[0], parameters=1)
    all_of_source = {"source", "source images", "posterior"}
    lacking = {
        "target images": (
            Evidence(target, kept[1], parameters=1),
            {"target images"},
            "extract folder:0 with `keep_images`",
        ),
        "source": (without_source, all_of_source, "needs a source: give its bank"),
        "source images": (
            Evidence(kept[0], source, parameters=1),
            {"source images"},
            "extract folder:1 with `keep_images`",
        ),
        "posterior": (without_source, all_of_source, "needs class probabilities: give a model with its classifier"),
        "parameters": (Evidence(*kept), {"parameters"}, "needs the number of parameters: give a model"),
    }
    assert set(lacking) == set(NEEDS)
    for need, (evidence, missing, remedy) in lacking.items():
        found = measure([name], evidence)[name]
        concerned = missing & MEASURES[name].needs
        assert isinstance(found, Unmeasured if concerned else Score)
        if concerned == {need}:
            assert remedy in found.reason


@pytest.mark.parametrize("name", ALL)
def test_what_a_measure_needs_is_enough(name, world, image_bank):
    """Evidence of nothing but the declared needs: the value is that of full evidence."""
    needs = MEASURES[name].needs
    kept = [image_bank(*of, dataset=f"folder:{i}") for i, of in enumerate(world[:2])]
    bare = [image_bank(*of, dataset=f"folder:{i}", keep=False) for i, of in enumerate(world[:2])]
    source = (kept if "source images" in needs else bare)[1]
    least = Evidence(
        (kept if "target images" in needs else bare)[0],
        source if needs & {"source", "source images", "posterior"} else None,
        parameters=1000 if "parameters" in needs else None,
    )
    assert value(name, least) == value(name, Evidence(*kept, parameters=1000))


def test_more_parameters_are_better(evidence):
    larger = Evidence(evidence.target, evidence.source, parameters=2000)
    assert better("parameters", value("parameters", larger), value("parameters", evidence))


@pytest.mark.parametrize("name", OF_LABELS)
def test_true_labels_beat_shuffled_ones(name, world, evidence, image_bank):
    (features, labels), _, _ = world
    shuffled = image_bank(features, np.random.default_rng(0).permutation(labels))
    worse = Evidence(shuffled, evidence.source, parameters=1000)
    assert better(name, value(name, evidence), value(name, worse))


@pytest.mark.parametrize("name", OF_SOURCE)
def test_a_source_like_the_target_beats_one_far_away(name, world, evidence, image_bank):
    far = Evidence(evidence.target, image_bank(*world[2], dataset="folder:far"))
    assert better(name, value(name, evidence), value(name, far))


@pytest.mark.parametrize("name", [name for name in ALL if MEASURES[name].compares == "models"])
def test_a_measure_of_models_does_not_look_at_the_source(name, world, evidence, image_bank):
    far = Evidence(evidence.target, image_bank(*world[2], dataset="folder:far"), parameters=1000)
    assert value(name, far) == value(name, evidence)


def test_a_table_leaves_out_what_cannot_tell_its_rows_apart(evidence):
    scores = measure(MEASURES, evidence, comparing="sources")
    assert list(scores) == ALL
    assert [name for name, of in scores.items() if isinstance(of, Score)] == OF_SOURCE
    assert scores["knn"] == Unmeasured("measures the model on the target, so it is the same for every source")
    scores = measure(MEASURES, evidence, comparing="models")
    missing = [name for name, of in scores.items() if isinstance(of, Unmeasured)]
    assert missing == ["emd", "otdd", "frechet", "mmd", "source-images"]
    assert scores["emd"] == Unmeasured("compares source domains, not models")
    with pytest.raises(ValueError, match="comparing must be one of sources, models, got 'targets'"):
        measure(MEASURES, evidence, comparing="targets")


def test_an_unknown_name(evidence):
    with pytest.raises(
        InputError, match=r"`measures` logm: there is no such measure of transferability; did you mean logme\?"
    ):
        measure(["logm"], evidence)
    with pytest.raises(InputError, match="expected one of emd, otdd"):
        measure(["xyz"], evidence)


def test_a_target_of_one_class_is_a_reason_and_the_other_measures_go_on(world, image_bank):
    (features, labels), source, _ = world
    one = image_bank(features[labels == 0], np.zeros(12))
    scores = measure(MEASURES, Evidence(one, image_bank(*source, dataset="folder:source"), parameters=1))
    reasons = {name: of.reason for name, of in scores.items() if isinstance(of, Unmeasured)}
    assert set(reasons) == {"leep", "nce", "knn", "linear-probe", "logme", "h-score", "transrate", "gbc"}
    assert all("folder:target" in reason and "class" in reason for reason in reasons.values())


def test_one_image_a_class_is_a_reason_where_nothing_can_be_said(world, image_bank):
    singles = image_bank(np.random.default_rng(0).random((6, 8)), np.arange(6))
    source = image_bank(np.random.default_rng(1).random((7, 8)), np.arange(7), dataset="folder:singles")
    scores = measure(MEASURES, Evidence(singles, source, parameters=1))
    reasons = {name: of.reason for name, of in scores.items() if isinstance(of, Unmeasured)}
    assert set(reasons) == {"leep", "nce", "linear-probe", "gbc"}
    assert "folder:singles" in reasons["leep"] and "folder:target" in reasons["gbc"]
    assert all(math.isfinite(of.value) for of in scores.values() if isinstance(of, Score))


def test_sources_side_by_side_have_one_ruler(world, evidence, image_bank):
    sources = [evidence.source, image_bank(*world[2], dataset="folder:far")]
    together = side_by_side(evidence.target, sources)
    assert together[0].images is together[1].images
    assert together[0].metric is together[1].metric
    ranking = {domain.source: domain.emd for domain in rank_domains(evidence.target, sources).domains}
    for of in together:
        assert value("emd", of) == pytest.approx(ranking[of.source.name], rel=1e-12)
    with pytest.raises(ValueError, match="at least one feature bank"):
        side_by_side(evidence.target, [])
