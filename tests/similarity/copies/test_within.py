"""Copies within one dataset, planted among real photographs; and groups of drawn points."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support import DATA

from features import ExtractConfig, FeatureBank, extract, open_dataset
from features.infrastructure.hdf5.content import stored
from similarity.copies import found_pairs, within
from similarity.copies import neighbours as search
from similarity.copies.local_geometry import local_geometry
from similarity.copies.within import copies_within, groups_of_copies
from similarity.geometry import Geometry
from transfer.archives import unpack


@pytest.mark.skipif(not (DATA / "cub50.tar").is_file(), reason=f"cub50.tar is not in {DATA}")
def test_planted_copies_are_grouped_and_birds_of_one_species_are_not(tmp_path):
    data = unpack(["cub50.tar"], DATA, tmp_path)
    birds = open_dataset(f"cub:{data / 'CUB_200_2011'}@train?per_class=8")
    birds = birds.restrict(birds.classes[:12])
    changes = (
        lambda image: image,
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.crop((6, 6, image.width - 6, image.height - 6)),
    )
    root = tmp_path / "photographs"
    for i, label in enumerate(birds.labels):
        folder = root / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        birds.image(i).save(folder / f"{i}.png")
        if i % 8 == 0:  # one image of each species, in a copy that goes by another name
            changed, file = changes[i // 8 % 4](birds.image(i)), io.BytesIO()
            changed.save(file, "JPEG", quality=70)
            (folder / f"copy-{i}.jpg").write_bytes(file.getvalue())
    options = {"backbone": "efficientnet_lite0", "keep_images": True, "device": "cpu"}
    bank = extract(ExtractConfig(dataset=f"folder:{root}", out=str(tmp_path / "bank.h5"), **options)).bank
    groups, ids = groups_of_copies(bank), bank.images()[2]
    group_of = dict(zip(ids, groups.tolist(), strict=True))
    copies = [id_ for id_ in ids if "copy-" in id_]
    assert len(copies) == 12
    found = [group_of[id_] == group_of[id_.replace("copy-", "").replace(".jpg", ".png")] for id_ in copies]
    assert sum(found) >= 11
    sizes = np.bincount(groups)
    assert sizes.max() == 2 and (sizes == 2).sum() <= 14  # CUB has near-copies of its own


def kept(features, path, created="once"):
    """A bank of one class that keeps these features."""
    values = features.astype(np.float32)
    means, variances = values.mean(axis=0, keepdims=True), values.var(axis=0, keepdims=True)
    bank = FeatureBank(
        ("a",),
        np.array([len(values)]),
        means,
        variances,
        np.cov(values.T, bias=True).astype(np.float32),
        attrs={"created": created},
    )
    labels, ids = np.zeros(len(values), dtype=np.int64), [str(i) for i in range(len(values))]
    return bank.write(path, (values, labels, ids))


def test_copies_of_copies_are_one_group(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((400, 256))
    points[101] = points[100] + 0.6 * rng.standard_normal(256)
    points[102] = points[101] + 0.6 * rng.standard_normal(256)
    points[7] = points[300]
    groups = groups_of_copies(kept(points, tmp_path / "bank.h5"))
    assert groups[100] == groups[101] == groups[102] and groups[7] == groups[300]
    assert len(np.unique(groups)) == 400 - 3


def test_narrow_features_tell_no_copies(tmp_path):
    points = np.random.default_rng(0).standard_normal((30, 6))
    points[1] = points[0]
    assert groups_of_copies(kept(points, tmp_path / "bank.h5")).tolist() == list(range(30))


def unit(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def cosines(bank):
    """(N, N) similarities of all images of a small bank, by the definition."""
    points = local_geometry(bank.images()[0], rectified=False).points(bank.images()[0])
    return unit(points) @ unit(points).T


@pytest.fixture
def chained(tmp_path):
    """A bank of 500 images with chains of copies, and forty images that are all the same."""
    rng = np.random.default_rng(1)
    points = rng.standard_normal((500, 128))
    for place in range(1, 60, 3):
        points[place] = points[place - 1] + 0.7 * rng.standard_normal(128)
        points[place + 1] = points[place] + 0.7 * rng.standard_normal(128)
    points[rng.permutation(np.arange(100, 500))[:40]] = points[99]
    return kept(points, tmp_path / "bank.h5")


def check_by_definition(bank, threshold, found, tmp_path):
    left_out, stays, cosine, following = found
    similar = cosines(bank)
    left = np.setdiff1d(np.arange(len(similar)), left_out)
    among = similar[np.ix_(left, left)][np.triu_indices(len(left), 1)]
    assert among.max() < threshold  # no two of the images that stay are copies
    assert set(stays) <= set(left) and (stays < left_out).all()
    np.testing.assert_allclose(cosine, similar[left_out, stays], atol=1e-5)
    assert cosine.min() >= threshold > following
    assert not list(tmp_path.glob("points*"))  # the file's name goes on


@pytest.mark.parametrize(
    "shape", [((10, 0), (9, 55), (1, 65)), ((1, 65), (9, 55), (10, 0)), ((12, 0), (12, 55), (12, 110))]
)
def test_an_image_that_is_left_out_is_the_original_of_none(shape, tmp_path, monkeypatch):
    """Bursts of images at some angles, more than neighbours are searched, which later searches join."""
    rng, angles = np.random.default_rng(0), np.repeat(*np.array(shape)[:, ::-1].T).astype(float)
    plane, _ = np.linalg.qr(rng.standard_normal((64, 2)))
    points = np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))], axis=1) @ plane.T
    points += 1e-4 * rng.standard_normal(points.shape)
    monkeypatch.setattr(
        "similarity.copies.within.local_geometry", lambda near, rectified: Geometry("", unit_length=True)
    )
    bank = kept(points, tmp_path / "bank.h5")
    left_out, stays, _, _ = copies_within(bank, 0.5, tmp_path / "points")
    similar = unit(points) @ unit(points).T
    left = np.setdiff1d(np.arange(len(points)), left_out)
    assert set(stays) <= set(left) and similar[left_out, stays].min() >= 0.5
    assert np.max(similar[np.ix_(left, left)] - np.eye(len(left))) < 0.5
    groups = groups_of_copies(bank)
    assert len(np.unique(groups)) == 1


def test_no_two_images_that_stay_are_copies(chained, tmp_path):
    found = copies_within(chained, 0.6, tmp_path / "points")
    check_by_definition(chained, 0.6, found, tmp_path)
    assert 40 + 20 <= len(found[0]) <= 40 + 40


def test_lists_and_codes_find_what_comparing_all_with_all_finds(chained, tmp_path, monkeypatch):
    expected = copies_within(chained, 0.6, tmp_path / "points")
    monkeypatch.setattr(search, "EXACT", 50)
    found = copies_within(chained, 0.6, tmp_path / "points")
    check_by_definition(chained, 0.6, found, tmp_path)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.fixture
def killed(chained, tmp_path, monkeypatch):
    """What a search leaves that was killed after its third block of 64 images."""
    monkeypatch.setattr(search, "EXACT", 50)
    monkeypatch.setattr(search, "BLOCK", 64)
    monkeypatch.setattr(found_pairs, "_EVERY", 0.0)
    monkeypatch.setattr(found_pairs, "_COSTS", 0.0)
    before, add = copies_within(chained, 0.6, tmp_path / "points"), found_pairs.FoundPairs.add

    def add_three(self, images, *neighbours):
        if images[0] == 3 * 64:
            raise KeyboardInterrupt
        add(self, images, *neighbours)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(found_pairs.FoundPairs, "add", add_three)
        copies_within(chained, 0.6, tmp_path / "points", tmp_path / "resume")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank.h5", "resume"]
    return before


def starts_of(monkeypatch):
    """The first images of the blocks that are searched from now on."""
    starts, add = [], found_pairs.FoundPairs.add
    monkeypatch.setattr(found_pairs.FoundPairs, "add", lambda self, *of: (starts.append(of[0][0]), add(self, *of)))
    return starts


def test_a_killed_search_goes_on(killed, chained, tmp_path, monkeypatch, capsys):
    starts = starts_of(monkeypatch)
    found = copies_within(chained, 0.6, tmp_path / "points", tmp_path / "resume")
    assert starts[0] == 3 * 64 and "resuming after 192 images" in capsys.readouterr().err
    for mine, expected in zip(found, killed, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("change", ["threshold", "bank", "images", "format", "neighbours", "position", "damage"])
def test_what_another_search_left_is_not_gone_on_with(change, killed, chained, tmp_path, monkeypatch, capsys):
    resume, bank, threshold = tmp_path / "resume", chained, 0.6
    if change == "threshold":
        threshold = 0.61
    elif change in ("bank", "images"):  # other features, or fewer; all else that a bank says of itself is the same
        features = np.random.default_rng(2).standard_normal((500 if change == "bank" else 450, 128))
        features[200] = features[100]
        bank = kept(features, tmp_path / "other.h5", created="later" if change == "bank" else "once")
    elif change == "format":
        monkeypatch.setattr(within, "FORMAT", within.FORMAT + 1)
    elif change == "neighbours":
        monkeypatch.setattr(within, "_NEIGHBOURS", 9)
    elif change == "position":
        written = found_pairs.FoundPairs(0.6, 8, 500, key=key_in(resume), position=501)
        written._write(resume)
    else:
        content = bytearray(resume.read_bytes())
        content[len(content) // 2] ^= 255
        resume.write_bytes(content)
    starts = starts_of(monkeypatch)
    found = copies_within(bank, threshold, tmp_path / "points", resume)
    assert starts[0] == 0 and "starts anew" in capsys.readouterr().err
    check_by_definition(bank, threshold, found, tmp_path)


def key_in(path):
    with stored(path, "unfinished search") as content:
        return content.attributes["key"]


def test_pairs_of_other_images_are_refused(tmp_path, capsys):
    one, other = np.array([3, 4]), np.array([9, 5])
    search_of = found_pairs.FoundPairs(0.5, 8, 10, key="a")
    search_of.add(one, np.full((2, 1), 0.9, np.float32), other[:, None])
    search_of._write(tmp_path / "resume")
    assert found_pairs.FoundPairs(0.5, 8, 10, tmp_path / "resume", "a").pairs().second.tolist() == [9, 5]
    assert found_pairs.FoundPairs(0.5, 8, 9, tmp_path / "resume", "a").position == 0
    assert "damaged" in capsys.readouterr().err
