"""``images:``: images without labels."""

import os

import pytest
from support import refused

from features.readers import open_dataset

IDS = ["a/deep/er/x.Jpeg", "a/y.png", "b/1.JPG", "b/2.png", "c/z.png", "top.webp"]


def test_every_image_below_a_folder_is_of_one_class(lake):
    dataset = open_dataset(f"images:{lake}")
    assert dataset.classes == ("unlabelled",) and dataset.counts.tolist() == [6]
    assert list(dataset.ids) == IDS
    assert dataset.image(3).getpixel((0, 0)) == (0, 0, 0) and dataset.image(5).size == (4, 4)
    assert open_dataset(f"images:{lake}?per_class=2").counts.tolist() == [2]


def test_images_are_found_as_folder_finds_them(lake):
    (lake / "b" / "gone.jpg").symlink_to(lake / "nowhere.jpg")  # listed: reading it says so
    (lake / "c" / "up").symlink_to(lake)  # a loop
    (lake / "a" / "more").symlink_to(lake / "b")
    found = list(open_dataset(f"images:{lake}").ids)
    assert found == sorted([*IDS, "b/gone.jpg", "a/more/1.JPG", "a/more/2.png", "a/more/gone.jpg"])
    (lake / "lost").symlink_to(lake / "nowhere")
    assert "lost is a broken link, perhaps to a folder of images" in refused(f"images:{lake}")


def test_what_is_no_folder_of_images_is_refused(lake):
    assert "no such directory: " in refused(f"images:{lake / 'none'}")
    assert "not a directory: " in refused(f"images:{lake / 'notes.txt'}")
    assert "holds no image; expected files with endings such as .jpg" in refused(f"images:{lake / 'empty'}")
    assert "images has no splits; leave @train out" in refused(f"images:{lake}@train")
    assert "images needs a location; type images:DIR" in refused("images:")
    assert "images has no option 'names'" in refused(f"images:{lake}?names=x")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list any folder")
def test_a_folder_that_cannot_be_listed_is_named(lake):
    (lake / "b").chmod(0)
    try:
        assert f"{lake / 'b'} cannot be listed: Permission denied" in refused(f"images:{lake}")
    finally:
        (lake / "b").chmod(0o755)
