"""Clusters as classes: k-means against its definition, and the bank against an extraction of what it names."""

import numpy as np
import pytest
from kept_banks import write_kept as bank_of

from features import ExtractConfig, FeatureBank, InputError, extract, open_dataset
from similarity import ClusterConfig, cluster, select_classes

SPEC = "digits:@test?per_class=20"
#: A start from which k-means finds the groups below; from one in three it ends with two in one.
GOOD = 3


def write_kept(path, features, spec=SPEC, **options):
    return bank_of(path, features, spec, **options)


@pytest.fixture
def groups():
    """200 features in five directions, of any length, and the group of each."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(5), [70, 50, 40, 30, 10]))
    centres = np.eye(5, 12) * 10
    features = (centres[group] + rng.normal(0, 0.3, (200, 12))) * rng.uniform(0.2, 5, (200, 1))
    return features.astype(np.float32), group


def test_clusters_are_the_groups_largest_first(tmp_path, groups):
    features, group = groups
    write_kept(tmp_path / "kept.h5", features)
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=5, seed=GOOD))
    assert found.counts == (70, 50, 40, 30, 10) and found.empty == 0
    assert found.dataset == f"clusters:{tmp_path / 'c.csv'}"
    assert found.cosine > 0.97
    dataset = open_dataset(found.dataset)
    assert dataset.classes == tuple(f"cluster {i:04d}" for i in range(5))
    order = {id_: label for id_, label in zip(dataset.ids, dataset.labels.tolist(), strict=True)}
    assert [order[id_] for id_ in open_dataset(SPEC).ids] == group.tolist()  # groups are numbered by size too
    bank = found.bank
    np.testing.assert_allclose(bank.means, [features[group == c].mean(axis=0) for c in range(5)], rtol=1e-5)
    assert bank.name == found.dataset and bank.attrs["manifest_sha256"] == dataset.manifest_sha256
    bank.require_comparable(FeatureBank.open(tmp_path / "kept.h5"))
    assert found.to_json() == {
        "bank": str(tmp_path / "c.h5"), "dataset": found.dataset, "clusters": 5, "images": 200, "largest": 70,
        "smallest": 10, "empty": 0, "cosine": found.cosine,
    }  # fmt: skip


def test_the_same_again_and_otherwise_with_another_seed(tmp_path):
    features = np.random.default_rng(1).random((200, 8)).astype(np.float32)
    write_kept(tmp_path / "kept.h5", features)

    def labels(name, **options):
        config = ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / f"{name}.h5"), clusters=9, **options)
        found = cluster(config)
        return open_dataset(found.dataset).labels.tolist(), found.bank.means, found.cosine

    one, again, other = labels("a"), labels("b"), labels("c", seed=5)
    assert one[0] == again[0] and (one[1] == again[1]).all() and one[2] == again[2]
    assert one[0] != other[0]
    assert labels("d", iterations=1)[2] < one[2]  # each round raises it


def test_clusters_without_an_image_are_left_out_and_counted(tmp_path, groups):
    _, group = groups
    features = np.eye(5, dtype=np.float32)[group]  # five different images only
    write_kept(tmp_path / "kept.h5", features)
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=20))
    assert sum(found.counts) == 200 and min(found.counts) > 0
    assert found.empty == 20 - len(found.counts) > 0
    assert len(open_dataset(found.dataset).classes) == len(found.counts)


def test_unreadable_images_are_in_no_cluster(tmp_path, groups):
    features, group = groups
    skip = [3, 77]
    write_kept(tmp_path / "kept.h5", features, skip=skip)
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=5, seed=GOOD))
    whole, dataset = open_dataset(SPEC), open_dataset(found.dataset)
    assert list(dataset.ids) == [id_ for i, id_ in enumerate(whole.ids) if i not in skip]
    assert found.bank.counts.tolist() == dataset.counts.tolist()
    assert sorted(found.counts) == sorted(np.bincount(np.delete(group, skip)).tolist())
    assert found.bank.skipped == ()


def test_the_default_number_of_clusters(tmp_path, groups):
    write_kept(tmp_path / "kept.h5", groups[0])
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5")))
    assert len(found.counts) + found.empty == 200 // 25


def test_an_extraction_of_the_clusters_is_their_bank(tmp_path):
    """Images skipped, a network with random weights: the same bank, up to the last digits of float32."""
    options = {"backbone": "resnet8", "weights": "none", "device": "cpu", "precision": "fp32", "workers": 0}
    kept = extract(ExtractConfig("digits:@test?per_class=6", str(tmp_path / "k.h5"), keep_images=True, **options))
    found = cluster(ClusterConfig(str(kept.path), str(tmp_path / "c.h5"), clusters=4))
    again = extract(ExtractConfig(found.dataset, str(tmp_path / "again.h5"), **options))
    assert not again.reused
    assert again.bank.classes == found.bank.classes and again.bank.counts.tolist() == list(found.counts)
    for name in ("means", "variances", "within_covariance"):
        theirs, ours = getattr(again.bank, name), getattr(found.bank, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())
    reused = extract(ExtractConfig(found.dataset, str(found.path), **options))
    assert reused.reused  # every attribute agrees


def test_a_bank_of_clusters_can_keep_the_images(tmp_path, groups):
    features, _ = groups
    write_kept(tmp_path / "kept.h5", features)
    options = {"clusters": 5, "seed": GOOD, "keep_images": True}
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), **options))
    dataset, (values, labels, ids) = open_dataset(found.dataset), found.bank.images()
    np.testing.assert_array_equal(values, features.astype(np.float32))
    assert labels.tolist() == dataset.labels.tolist() and ids == list(dataset.ids)


def test_clusters_are_selected_like_classes(tmp_path, groups):
    features, group = groups
    write_kept(tmp_path / "kept.h5", features)
    found = cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=5, seed=GOOD))
    like = np.resize(features[group == 3], (100, 12))
    target = write_kept(tmp_path / "target.h5", like, "digits:@train?per_class=10")
    subset = select_classes([target], [found.bank], classes=1)
    assert subset.rows[0].source == found.dataset and subset.rows[0].class_name == "cluster 0003"
    assert subset.rows[0].count == 30


def test_a_bank_that_cannot_be_written_leaves_no_table(tmp_path, groups, monkeypatch):
    write_kept(tmp_path / "kept.h5", groups[0])
    before = sorted(tmp_path.iterdir())

    def full(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr("similarity.clustering.regroup", full)
    with pytest.raises(OSError, match="No space left"):
        cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=5))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clusters": 1}, "`clusters` 1: expected at least 2"),
        ({"clusters": 201}, "`clusters` 201: digits:@test?per_class=20 has 200 images; give at most as many"),
        ({"iterations": 0}, "`iterations` 0: expected at least 1"),
        ({"seed": -1}, "`seed` -1: expected at least 0"),
        ({"out": "c.csv"}, "`out` c.csv: expected a file name that ends in .h5 or .hdf5"),
        ({"out": "c"}, "`out` c: expected a file name that ends in .h5 or .hdf5"),
        ({"out": "a?b.h5"}, "`out` a?b.h5: a dataset spec cannot contain this name"),
        ({"out": "kept.h5", "overwrite": True}, "`out` kept.h5: would replace what is read"),
        (
            {"out": "there.h5"},
            "the table beside `out` there.csv: is there already; name another file or give `overwrite`",
        ),
        ({"bank": "none.h5"}, "none.h5: no such feature bank"),
        ({"bank": "plain.h5"}, "the bank keeps no image features; extract it again with `keep_images`"),
        ({"bank": "old.h5"}, "its dataset digits:@test?per_class=20 has changed since; extract it again"),
        ({"bank": "twice.h5"}, "two images have the id 'digits/0905'"),
    ],
)
def test_what_is_wrong_is_one_line(given, message, tmp_path, monkeypatch, groups):
    monkeypatch.chdir(tmp_path)
    bank = write_kept("kept.h5", groups[0])
    write_kept("old.h5", groups[0], manifest_sha256="0")
    values, labels, ids = bank.images()
    bank.write("plain.h5")
    bank.write("twice.h5", (values, labels, ["digits/0905", "digits/0905", *ids[2:]]))
    (tmp_path / "there.csv").touch()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError) as refusal:
        cluster(ClusterConfig(**{"bank": "kept.h5", "out": "c.h5"} | given))
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_clustering_of_clusters_does_not_replace_its_own_base(tmp_path, groups, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_kept("kept.h5", groups[0])
    found = cluster(ClusterConfig("kept.h5", "c.h5", clusters=5))
    dataset = open_dataset(found.dataset)
    found.bank.write("again.h5", (groups[0], dataset.labels, list(dataset.ids)))
    with pytest.raises(InputError, match=r"the table beside `out` c\.csv: would replace what is read"):
        cluster(ClusterConfig("again.h5", "c.h5", clusters=2, overwrite=True))
    assert len(cluster(ClusterConfig("again.h5", "d.h5", clusters=2)).counts) == 2


def test_more_clusters_than_sampled_images_are_one_line(tmp_path, groups, monkeypatch):
    write_kept(tmp_path / "kept.h5", groups[0])
    monkeypatch.setattr("similarity.clustering._SAMPLE_NUMBERS", 50 * groups[0].shape[1])
    with pytest.raises(InputError, match=r"`clusters` 60: k-means runs on a sample of 50 images"):
        cluster(ClusterConfig(str(tmp_path / "kept.h5"), str(tmp_path / "c.h5"), clusters=60))
