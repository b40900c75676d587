"""Ranking domains: figures, order, intervals, and what is refused."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import similarity.transport.earth_movers_distance
from features.infrastructure.errors import InputError
from similarity import emd, rank_domains, select_classes


@pytest.fixture
def make_bank(make_bank):
    """Banks of classes that vary much less than their means differ."""

    def make(means, counts=None, **options):
        small = {"variances": np.full(np.shape(means), 1e-4), "within": 1e-4 * np.eye(8)}
        return make_bank(means, counts, **{**small, **options})

    return make


@pytest.fixture
def target(make_bank):
    return make_bank(np.random.default_rng(0).random((4, 8)), [3, 5, 1, 9], dataset="folder:target")


@pytest.fixture
def sources(make_bank, target):
    rng = np.random.default_rng(1)
    near = target.means[:3] + 0.05 * rng.random((3, 8))
    return [
        make_bank(rng.random((6, 8)) + 2, [1, 2, 3, 4, 5, 600], dataset="folder:far"),
        make_bank(near, [30, 20, 10], dataset="folder:near"),
    ]


def test_the_nearest_domain_comes_first_with_the_papers_figures(target, sources):
    ranking = rank_domains(target, sources, geometry="euclidean", gamma=0.01, bootstrap=0)
    assert [domain.source for domain in ranking.domains] == ["folder:near", "folder:far"]
    near, bank = ranking.domains[0], sources[1]
    expected = emd(bank.means, bank.counts, target.means, target.counts).value
    assert near.emd == pytest.approx(expected, rel=1e-12)
    assert near.similarity == pytest.approx(np.exp(-0.01 * expected), rel=1e-12)
    assert (near.classes, near.images) == (3, 60)
    assert near.transport.lower_bound <= near.emd
    assert near.interval is None


@pytest.mark.parametrize("geometry", ["euclidean", "cosine", "centred", "whitened"])
def test_a_domain_equal_to_the_target_is_at_distance_zero(target, sources, make_bank, geometry):
    twin = make_bank(target.means, target.counts, dataset="folder:twin")
    best = rank_domains(target, [*sources, twin], geometry=geometry).domains[0]
    assert best.source == "folder:twin"
    assert best.emd == pytest.approx(0, abs=1e-12)
    assert best.similarity == pytest.approx(1)


def test_json_has_the_contracts_keys(target, sources):
    ranking = rank_domains(target, sources, bootstrap=20, geometry="euclidean", gamma=0.2)
    found = json.loads(json.dumps(ranking.to_json()))
    assert list(found) == [
        "target",
        "order",
        "geometry",
        "geometry_steps",
        "gamma",
        "dropped",
        "domains",
        "expected_gain",
    ]
    assert [found[key] for key in list(found)[:4]] == ["folder:target", "nearest-class", "euclidean", "raw means"]
    for domain in found["domains"]:
        assert list(domain) == [
            "source",
            *(name + end for name in ("emd", "nearest_class_distance") for end in ("", "_estimate", "_interval")),
            *("nearer_than_next", "similarity", "interval", "classes", "images", "solver", "emd_bounds"),
        ]
        near, far = domain["emd_interval"]
        assert 0 <= near <= domain["emd_estimate"] <= far
        assert domain["nearest_class_distance"] <= domain["emd"]
        low, high = (np.exp(-found["gamma"] * end) for end in (max(far, domain["emd"]), min(near, domain["emd"])))
        assert domain["interval"] == pytest.approx([low, high])
    assert found["domains"][0]["nearer_than_next"] > 0.95 and found["domains"][1]["nearer_than_next"] is None
    bare = rank_domains(target, sources, bootstrap=0).to_json()["domains"][0]
    assert bare["interval"] == bare["emd_interval"] == [None, None]


def test_intervals_are_seeded_and_shrink_with_images(target, sources, make_bank):
    def width(scale, seed=0):
        banks = [make_bank(b.means, b.counts * scale, dataset=b.name) for b in (target, *sources)]
        low, high = rank_domains(banks[0], banks[1:], bootstrap=30, seed=seed).domains[0].interval
        return high - low

    assert width(1) == width(1) != width(1, seed=1)
    assert width(10_000) < width(1) / 10


@pytest.mark.parametrize("geometry", ["euclidean", "sqrt-whitened"])
def test_similarity_of_few_images_agrees_with_that_of_many(make_bank, geometry):
    """The target's spread, behind γ, is noise in part; an interval of the distance alone would lie above the truth."""
    rng = np.random.default_rng(0)
    aims, others = 20 + rng.standard_normal((8, 40)), 20.5 + rng.standard_normal((30, 40))
    held = 0
    for _ in range(20):
        banks = []
        for means, images, name in ((aims, 3, "target"), (others, 30, "source")):
            features = means[:, None] + 2 * rng.standard_normal((len(means), images, 40))
            variances = features.var(axis=1)
            own = {"variances": variances, "within": np.diag(variances.mean(axis=0))}
            banks.append(make_bank(features.mean(axis=1), [images] * len(means), dataset=f"folder:{name}", **own))
        few = rank_domains(banks[0], banks[1:], geometry=geometry, bootstrap=10).domains[0]
        true = [replace(bank, means=m.astype(np.float32)) for bank, m in zip(banks, (aims, others), strict=True)]
        truth = rank_domains(true[0], true[1:], geometry=geometry).domains[0].similarity
        held += few.interval[0] <= truth <= few.interval[1]
        assert few.interval[0] <= few.similarity <= few.interval[1]
    assert held >= 17


@pytest.mark.parametrize(("classes", "known"), [(2, False), (3, True)])
def test_no_interval_around_the_centre_of_two_classes(target, make_bank, classes, known):
    source = make_bank(np.random.default_rng(0).random((classes, 8)))
    domain = rank_domains(target, [source], geometry="centred", bootstrap=3).domains[0]
    assert (domain.interval is not None, domain.emd_interval is not None) == (known, known)
    assert rank_domains(target, [source], geometry="cosine", bootstrap=3).domains[0].interval is not None


def test_few_images_drop_out_of_sources_but_not_of_the_target(target, sources):
    far = rank_domains(target, sources[:1], min_count=4, geometry="euclidean").domains[0]
    assert (far.classes, far.images) == (3, 609)
    kept = sources[0].at_least(4)
    expected = emd(kept.means, kept.counts, target.means, target.counts).value  # the target's class of one image too
    assert far.emd == pytest.approx(expected, rel=1e-12)


def test_a_source_without_a_class_is_dropped_as_in_a_selection(target, sources, capsys):
    ranking = rank_domains(target, sources, min_count=500, geometry="euclidean")
    assert [domain.source for domain in ranking.domains] == ["folder:far"]
    assert ranking.dropped == ("folder:near",)
    assert ranking.to_json()["dropped"] == ["folder:near"]
    said = "folder:near: dropped, no class has 500 images (the largest has 30)"
    assert said in capsys.readouterr().err
    subset = select_classes([target], sources, strategy="all", min_count=500, geometry="euclidean")
    assert [row.source for row in subset.rows] == ["folder:far"]
    assert said in capsys.readouterr().err
    assert rank_domains(target, sources).dropped == ()


def test_each_transport_is_solved_once(target, sources, monkeypatch):
    """The ranking and the measure ``emd`` share the solution."""
    solved = []
    solve = similarity.transport.earth_movers_distance.transport_plan
    monkeypatch.setattr(
        "similarity.transport.earth_movers_distance.transport_plan",
        lambda *args, **options: solved.append(args) or solve(*args, **options),
    )
    ranking = rank_domains(target, sources, measures=["emd", "frechet"])
    assert len(solved) == len(sources)
    assert [domain.measures["emd"].value for domain in ranking.domains] == [domain.emd for domain in ranking.domains]


@pytest.mark.parametrize("case", ["bootstrap", "two classes around the centre", "too large", "semi-dual"])
def test_a_progress_bar_counts_what_is_done(target, sources, make_bank, monkeypatch, case):
    bars = {}

    @contextmanager
    def record(description, total):
        bars[description] = [total, 0]

        def advance(n=1, note=""):
            bars[description][1] += n

        yield advance

    monkeypatch.setattr("similarity.ranking.domains.progress", record)
    if case == "two classes around the centre":
        sources = [make_bank(np.random.default_rng(0).random((2, 8)))]
    elif case == "too large":
        monkeypatch.setattr("similarity.ranking.domains.EXACT_PAIRS", 20)
    elif case == "semi-dual":
        monkeypatch.setattr("similarity.transport.earth_movers_distance.EXACT_POINTS", 5)
    ranking = rank_domains(target, sources, bootstrap=3, measures=["emd"])
    assert all(domain.interval is None for domain in ranking.domains) == (case != "bootstrap")
    resampled = case in ("bootstrap", "semi-dual")  # the nearest-class distance needs no solver
    assert all(domain.nearest_class_interval is None for domain in ranking.domains) != resampled
    done = {"transport": [len(sources)] * 2, "measures": [len(sources)] * 2}
    assert bars == (done | {"bootstrap": [3 * len(sources)] * 2} if resampled else done)


def test_one_image_a_class_tells_nothing_about_errors(make_bank, target):
    banks = [make_bank(bank.means, [1] * len(bank.means), dataset=bank.name) for bank in (target, target)]
    other = make_bank(target.means + 0.1, [1] * len(target.means), dataset="folder:other")
    for domain in rank_domains(banks[0], [other, make_bank(target.means + 0.2)], bootstrap=5).domains:
        assert domain.nearest_class_interval is not None  # the last source has 10 images a class
    only = rank_domains(banks[0], [other], bootstrap=5, geometry="euclidean").domains[0]
    assert (only.nearest_class_interval, only.emd_interval, only.interval) == (None, None, None)


@pytest.mark.parametrize(
    ("geometry", "rectified", "signed", "without_variance"),
    [
        ("euclidean", *["raw means"] * 3),
        ("cosine", *["unit length"] * 3),
        ("centred", *["centred, unit length"] * 3),
        ("whitened", *["centred, whitened, unit length"] * 2, "centred, unit length"),
        (
            "sqrt-whitened",
            "square root, centred, whitened, unit length",
            "centred, whitened, unit length",
            "square root, centred, unit length",
        ),
    ],
)
def test_a_ranking_says_which_steps_were_taken(
    target, sources, make_bank, geometry, rectified, signed, without_variance
):
    ranking = rank_domains(target, sources, geometry=geometry)
    assert (ranking.geometry, ranking.geometry_steps) == (geometry, rectified)
    negative = make_bank(sources[1].means - 0.5, dataset="folder:signed")
    found = rank_domains(target, [sources[0], negative], geometry=geometry)
    assert found.geometry_steps == found.to_json()["geometry_steps"] == signed
    single = [replace(bank, counts=np.ones_like(bank.counts)) for bank in (target, *sources)]
    assert rank_domains(single[0], single[1:], geometry=geometry).geometry_steps == without_variance


def test_gamma_scales_the_similarity_alone(target, sources):
    paper, steep = (rank_domains(target, sources, gamma=gamma) for gamma in (0.01, 1.0))
    assert [d.emd for d in paper.domains] == [d.emd for d in steep.domains]
    assert steep.domains[0].similarity == pytest.approx(np.exp(-steep.domains[0].emd))


def test_equal_domains_stay_in_the_order_given(target, sources, make_bank):
    twins = [make_bank(sources[0].means, sources[0].counts, dataset=f"folder:{name}") for name in "zay"]
    assert [d.source for d in rank_domains(target, twins, bootstrap=0).domains] == ["folder:z", "folder:a", "folder:y"]


def test_target_of_one_class(make_bank, sources):
    target = make_bank(np.zeros((1, 8)), [7], dataset="folder:target")
    near = rank_domains(target, sources, geometry="euclidean").domains[0]
    expected = np.average(np.linalg.norm(sources[1].means, axis=1), weights=sources[1].counts)
    assert near.emd == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bootstrap", [0, 3])
def test_one_class_against_one_class(make_bank, bootstrap):
    target, source = make_bank(np.zeros((1, 8)), [1], dataset="folder:target"), make_bank(np.ones((1, 8)), [1])
    domain = rank_domains(target, [source], geometry="euclidean", bootstrap=bootstrap).domains[0]
    assert domain.emd == pytest.approx(np.sqrt(8))
    assert 0 < domain.similarity < 1


def test_splitting_a_class_changes_nothing_in_the_papers_geometry(target, sources, make_bank):
    bank = sources[1]
    split = make_bank(np.vstack([bank.means, bank.means[:1]]), [13, 20, 10, 17], dataset="folder:split")
    whole, parted = rank_domains(target, [bank, split], geometry="euclidean").domains
    assert whole.emd == pytest.approx(parted.emd, rel=1e-12)


def test_what_is_refused(target, sources, make_bank):
    with pytest.raises(ValueError, match="sources must hold at least one"):
        rank_domains(target, [])
    with pytest.raises(ValueError, match="gamma must be positive, got 0"):
        rank_domains(target, sources, gamma=0)
    for replicates in (-1, 1):
        with pytest.raises(ValueError, match=f"bootstrap must be 0 or at least 2, got {replicates}"):
            rank_domains(target, sources, bootstrap=replicates)
    with pytest.raises(ValueError, match="min_count must be at least 0, got -2"):
        rank_domains(target, sources, min_count=-2)
    with pytest.raises(InputError, match="`min_count` 601: no source class has so many images; the largest has 600"):
        rank_domains(target, sources, min_count=601)
    with pytest.raises(InputError, match="`geometry`"):
        rank_domains(target, sources, geometry="flat")
    with pytest.raises(InputError, match="transform is 't' in one and 'other' in the other"):
        rank_domains(target, [make_bank(np.ones((2, 8)), transform="other")])


def test_a_broad_source_that_holds_the_targets_kind_comes_before_a_narrow_one_that_does_not(make_bank):
    rng = np.random.default_rng(5)
    kinds = 4 * rng.standard_normal((12, 8))
    target = make_bank(kinds[0] + rng.standard_normal((5, 8)), [20] * 5, dataset="folder:target")
    everything = np.concatenate([centre + rng.standard_normal((4, 8)) for centre in kinds])
    broad = make_bank(everything, dataset="folder:broad")
    narrow = make_bank(0.6 * kinds[0] + 2 * rng.standard_normal((4, 8)), dataset="folder:narrow")
    options = {"geometry": "euclidean", "bootstrap": 10}
    found = rank_domains(target, [narrow, broad], **options)
    assert [domain.source for domain in found.domains] == ["folder:broad", "folder:narrow"]
    paper = rank_domains(target, [narrow, broad], order="emd", **options)
    assert [domain.source for domain in paper.domains] == ["folder:narrow", "folder:broad"]
    assert {d.source: d.emd for d in paper.domains} == {d.source: d.emd for d in found.domains}
    distances = cdist(broad.means, target.means)
    assert found.domains[0].nearest_class_distance == pytest.approx(distances.min(axis=0).mean(), rel=1e-6)


def test_twins_cannot_be_told_apart(target, make_bank):
    rng = np.random.default_rng(6)
    means = rng.random((6, 8))
    drawn = [make_bank(means + 0.05 * rng.standard_normal((6, 8)), [20] * 6, dataset=f"folder:{n}") for n in "ab"]
    first, last = rank_domains(target, drawn, geometry="euclidean", bootstrap=20).domains
    assert 0.5 <= first.nearer_than_next < 0.95 and last.nearer_than_next is None
    assert first.nearest_class_interval.estimate <= last.nearest_class_interval.estimate


def test_a_semicolon_in_a_spec_matters_to_subset_files_only(target, sources, make_bank):
    odd = make_bank(target.means, target.counts, dataset="folder:a;b")
    assert rank_domains(odd, sources).target == "folder:a;b"


def test_an_unknown_order(target, sources):
    with pytest.raises(ValueError, match="order must be one of nearest-class, emd, got 'best'"):
        rank_domains(target, sources, order="best")
