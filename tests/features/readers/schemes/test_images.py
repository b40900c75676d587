"""``images:``: images without labels."""

import gzip
import os

import pytest
from support import picture, refused

from features.image_sources import UnreadableImage
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
    assert "no such file: " in refused(f"images:{lake / 'none'}")
    assert "notes.txt, line 1: 'no image' is no path of an image" in refused(f"images:{lake / 'notes.txt'}")
    assert "holds no image; expected files with endings such as .jpg" in refused(f"images:{lake / 'empty'}")
    assert "images has no splits; leave @train out" in refused(f"images:{lake}@train")
    assert "images needs a location; type images:DIR" in refused("images:")
    assert "images has no option 'names'" in refused(f"images:{lake}?names=x")
    for name in (lake, lake / "top.webp"):
        assert "root says where the paths of a list start; leave it out" in refused(f"images:{name}?root={lake}")


def test_one_image(lake):
    dataset = open_dataset(f"images:{lake / 'a' / 'deep' / 'er' / 'x.Jpeg'}")
    assert list(dataset.ids) == ["x.Jpeg"] and dataset.classes == ("unlabelled",)
    assert dataset.image(0).size == (4, 4)


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ""])
def test_a_list_of_paths_keeps_its_order(lake, tmp_path, ending):
    lines = b"lake/c/z.png\r\n\n  lake/./a/y.png \nlake/b/gone.jpg\nlake/caf\xe9 1.png\nlake/c/z.png"
    picture(tmp_path / "lake" / os.fsdecode(b"caf\xe9 1.png"))
    path = tmp_path / f"some{ending}"
    path.write_bytes(gzip.compress(lines) if ending == ".txt.gz" else lines)
    dataset = open_dataset(f"images:{path}")
    assert list(dataset.ids) == ["lake/c/z.png", "lake/a/y.png", "lake/b/gone.jpg", "lake/caf\\xe9 1.png"]
    assert dataset.image(1).getpixel((0, 0)) == (160, 0, 0) and dataset.image(3).size == (4, 4)
    with pytest.raises(UnreadableImage, match="there is no file"):
        dataset.image(2)


def test_a_list_may_start_elsewhere(lake, tmp_path):
    (tmp_path / "some.txt").write_text(f"b/2.png\n{lake / 'c' / 'z.png'}\n")
    dataset = open_dataset(f"images:{tmp_path / 'some.txt'}?root={lake}")
    assert list(dataset.ids) == ["b/2.png", str(lake / "c" / "z.png")]
    assert dataset.image(0).size == dataset.image(1).size == (4, 4)
    assert "no such directory: " in refused(f"images:{tmp_path / 'some.txt'}?root={lake / 'none'}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lists no image; expected the path of an image a line"),
        (b"a.png\nb.png 3\n", "line 2: 'b.png 3' has a label beside the path; type list:"),
        (b"a.png: 3\n", "line 1: 'a.png: 3' has a label beside the path; type list:"),
        (b"image,class\n", "line 1: 'image,class' is no path of an image, with an ending such as .jpg"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "line 1: "),
        (b"\0\0\0\0", "is no text file"),
    ],
)
def test_a_file_that_lists_no_images_is_refused(content, said, tmp_path):
    (tmp_path / "some.txt").write_bytes(content)
    assert said in refused(f"images:{tmp_path / 'some.txt'}")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list any folder")
def test_a_folder_that_cannot_be_listed_is_named(lake):
    (lake / "b").chmod(0)
    try:
        assert f"{lake / 'b'} cannot be listed: Permission denied" in refused(f"images:{lake}")
    finally:
        (lake / "b").chmod(0o755)
