"""``?holdout=…``: two parts without a common image or copy, of the right size in every class."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from features import open_dataset
from features.image_sources import ArrayImages, FileImages
from features.infrastructure.errors import InputError
from features.readers.copies import equal_images
from features.readers.holdout import held_out


def write_image(path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)).save(path)


def random_case(seed: int, images: int = 400, classes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    return labels, np.unique(rng.integers(0, images // 2, images), return_inverse=True)[1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_groups_stay_whole_and_quotas_hold(seed, share):
    labels, groups = random_case(seed)
    held = held_out(labels, groups, share, seed)
    for group in np.unique(groups):  # a plain loop
        assert len(set(held[groups == group])) == 1
    for label in np.unique(labels):
        images, found = (labels == label).sum(), held[labels == label].sum()
        assert 1 <= found <= max(1, round(share * images + 1e-9)) + 1
        assert found < images


def test_without_groups_each_class_gives_its_share_exactly():
    labels = np.repeat([0, 1, 2, 3], [1, 2, 10, 101])
    held = held_out(labels, np.arange(len(labels)), 0.2, seed=3)
    assert [held[labels == label].sum() for label in range(4)] == [0, 1, 2, 20]


def test_the_draw_is_by_chance_and_by_the_seed():
    labels, groups = random_case(0)
    first = held_out(labels, groups, 0.3, seed=1)
    assert (first == held_out(labels, groups, 0.3, seed=1)).all()
    share = np.mean([held_out(labels, groups, 0.3, seed=seed) for seed in range(300)], axis=0)
    grouped = np.bincount(groups)[groups] > 1
    # A group is held out about as often as a single image, neither always nor never.
    assert 0.15 < share[grouped].mean() < 0.35 and 0.2 < share[~grouped].mean() < 0.6
    assert share.min() > 0 and share.max() < 1


def test_a_class_of_groups_alone_has_its_smallest_held_out():
    labels = np.repeat([0, 1], [12, 10])
    groups = np.r_[np.repeat([0, 1, 2], [5, 4, 3]), np.arange(3, 13)]
    for seed in range(20):
        held = held_out(labels, groups, 0.1, seed)
        assert held[:12].sum() == 3 and held[9:12].all()  # 1 image would be the share, and no group is so small
        assert held[12:].sum() == 1
    assert not held_out(np.zeros(4, int), np.zeros(4, int), 0.5, 0).any()  # one group: nothing can be held out


@pytest.fixture
def photographs(tmp_path):
    """Three classes of ten images; in one of them two are copies, and one has a copy in another class."""
    root = tmp_path / "photographs"
    for label, name in enumerate("abc"):
        (root / name).mkdir(parents=True)
        for i in range(10):
            write_image(root / name / f"{i}.png", seed=100 * label + i)
    shutil.copy(root / "a" / "0.png", root / "a" / "10.png")
    shutil.copy(root / "a" / "1.png", root / "b" / "10.png")
    return root


def test_the_two_parts_are_the_dataset(photographs, capsys):
    spec = f"folder:{photographs}?holdout=0.3"
    whole, kept, held = (open_dataset(text) for text in (f"folder:{photographs}", spec, f"{spec}&part=held-out"))
    assert sorted([*kept.ids, *held.ids]) == sorted(whole.ids)
    assert kept.classes == held.classes == whole.classes
    assert held.counts.tolist() == [3, 3, 3]
    assert "4 images are in groups of copies; each group is held out or kept as a whole" in capsys.readouterr().err
    for pair in (("a/0.png", "a/10.png"), ("a/1.png", "b/10.png")):
        assert (pair[0] in held.ids) == (pair[1] in held.ids)
    others = [set(open_dataset(f"{spec}&part=held-out&seed={seed}").ids) for seed in range(4)]
    assert len(set(map(frozenset, others))) == 4
    assert set(others[0]) == set(held.ids)


def test_groups_are_read_from_a_table(photographs, tmp_path):
    table = tmp_path / "groups.csv"
    rows = [f"{name}/{i}.png,{name}{i // 5}" for name in "abc" for i in range(10)]
    table.write_text("id,group\n" + "\n".join(rows) + "\n")
    spec = f"folder:{photographs}?holdout=0.4&groups={table}"
    for seed in range(5):
        held = set(open_dataset(f"{spec}&part=held-out&seed={seed}").ids)
        for name in "abc":
            parts = [len({f"{name}/{i}.png" for i in five} & held) for five in (range(5), range(5, 10))]
            assert set(parts) <= {0, 5}
        assert sorted(parts) == [0, 5]  # of c, which shares no group with another class
    table.write_text("id,group\nz/9.png,1\n")
    with pytest.raises(InputError, match=r"line 2: 'z/9.png' is no image of the dataset"):
        open_dataset(spec)


def test_the_holdout_comes_before_the_draw_and_the_exclusion(photographs, tmp_path):
    held = open_dataset(f"folder:{photographs}?holdout=0.3&part=held-out")
    excluded = tmp_path / "copies.csv"
    excluded.write_text("id\n" + "\n".join([held.ids[0], "c/3.png"]) + "\n")
    left = open_dataset(f"folder:{photographs}?exclude={excluded}&holdout=0.3&part=held-out")
    assert set(left.ids) == set(held.ids) - {held.ids[0], "c/3.png"}
    few = open_dataset(f"folder:{photographs}?per_class=4&holdout=0.3")
    assert few.counts.tolist() == [4, 4, 4] and not set(few.ids) & set(held.ids)


def test_a_list_about_the_kept_part_fits_it(photographs, tmp_path):
    spec = f"folder:{photographs}?holdout=0.3&seed=2"
    kept = open_dataset(spec)
    listed = tmp_path / "copies.csv"
    listed.write_text(f'# {{"source": "{spec}"}}\nid\n{kept.ids[0]}\n')
    assert set(open_dataset(f"{spec}&exclude={listed}").ids) == set(kept.ids[1:])
    with pytest.raises(InputError, match="lists images of"):
        open_dataset(f"folder:{photographs}?holdout=0.3&seed=3&exclude={listed}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("holdout=1", "holdout=1 is not a share between 0 and 1"),
        ("holdout=nan", "holdout=nan is not a share"),
        ("holdout=20%", "holdout=20% is not a share"),
        ("holdout=0.2&part=test", "part=test is neither kept nor held-out"),
        ("part=held-out", "part=held-out is an option of holdout"),
        ("holdout=0.2&groups=nowhere.csv", "no such file: nowhere.csv; expected a table with columns id,group"),
        ("holdout=0.2&seed=x", "seed=x is not an integer"),
    ],
)
def test_wrong_options_are_refused(photographs, options, message):
    with pytest.raises(InputError, match=message):
        open_dataset(f"folder:{photographs}?{options}")


def test_every_scheme_takes_it():
    kept, held = (open_dataset(f"digits:?holdout=0.25{part}") for part in ("", "&part=held-out"))
    assert len(kept) + len(held) == len(open_dataset("digits:"))
    np.testing.assert_allclose(held.counts / (kept.counts + held.counts), 0.25, atol=0.01)


def test_equal_images_are_found_in_every_kind_of_source(photographs):
    files = FileImages(photographs, ["a/0.png", "a/1.png", "a/10.png", "b/10.png", "missing.png", "gone.png"])
    assert_groups(equal_images(files), [[0, 2], [1, 3], [4], [5]])
    pixels = np.random.default_rng(0).integers(0, 255, (5, 4, 4), dtype=np.uint8)
    pixels[3] = pixels[1]
    assert_groups(equal_images(ArrayImages(pixels)), [[0], [1, 3], [2], [4]])


def test_files_of_one_size_that_differ_in_one_byte_are_different(tmp_path):
    content = bytearray(np.random.default_rng(0).bytes(100_000))
    for name, place in (("a", None), ("b", 5), ("c", 50_000), ("d", 99_999), ("e", None)):
        changed = bytearray(content)
        if place is not None:
            changed[place] ^= 1
        (tmp_path / name).write_bytes(changed)
    assert_groups(equal_images(FileImages(tmp_path, list("abcde"))), [[0, 4], [1], [2], [3]])


def assert_groups(numbers: np.ndarray, expected: list[list[int]]) -> None:
    assert sorted(np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)) == expected
