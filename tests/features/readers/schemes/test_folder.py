"""``folder:``."""

import os
import shlex
import tarfile
from collections import Counter

import pytest
from support import DATA, picture, refused

from features.image_sources import UnreadableImage
from features.readers import open_dataset


@pytest.fixture
def animals(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "a/images/deep/x.Jpeg", "a/images/y.webp"):
        picture(tmp_path / name)
    (tmp_path / "a" / "boxes.txt").write_text("no image")
    (tmp_path / "README.md").write_text("no class")
    picture(tmp_path / "b" / "._1.jpg")
    picture(tmp_path / ".ipynb_checkpoints" / "1.jpg")
    return tmp_path


def test_classes_and_images_are_sorted_and_found_below_the_class(animals):
    dataset = open_dataset(f"folder:{animals}")
    assert dataset.classes == ("a", "b")
    assert list(dataset.ids) == ["a/images/deep/x.Jpeg", "a/images/y.webp", "b/1.JPG", "b/2.png"]
    assert dataset.labels.tolist() == [0, 0, 1, 1]


def test_a_split_is_a_folder_and_part_of_the_ids(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/b/1.png"):
        picture(tmp_path / name)
    dataset = open_dataset(f"folder:{tmp_path}@train")
    assert list(dataset.ids) == ["train/a/1.png", "train/b/1.png"] and dataset.image(1).size == (4, 4)
    assert list(open_dataset(f"folder:{tmp_path}@test").ids) == ["test/b/1.png"]
    assert "unknown split 'tran'; did you mean train?" in refused(f"folder:{tmp_path}@tran")
    said = refused(f"folder:{tmp_path}")
    assert f"holds splits (test, train), not classes; type folder:{tmp_path}@test or folder:{tmp_path}@train" in said


def test_links_are_followed_and_a_loop_ends(animals, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    picture(elsewhere / "z.png")
    (animals / "c").symlink_to(elsewhere)
    (animals / "b" / "3.png").symlink_to(elsewhere / "z.png")
    (animals / "b" / "more").symlink_to(elsewhere)
    (animals / "a" / "images" / "up").symlink_to(animals / "a")
    dataset = open_dataset(f"folder:{animals}")
    assert dataset.classes == ("a", "b", "c") and dataset.counts.tolist() == [2, 4, 1]
    assert {"b/3.png", "b/more/z.png", "c/z.png"} < set(dataset.ids)
    assert all(dataset.image(i).size == (4, 4) for i in range(len(dataset)))


def test_what_has_an_images_name_is_listed_even_if_it_cannot_be_read(animals):
    (animals / "a" / "folder.jpg").mkdir()
    (animals / "a" / "gone.jpg").symlink_to(animals / "nowhere.jpg")
    (animals / "a" / "empty.jpg").touch()
    dataset = open_dataset(f"folder:{animals}")
    for name in ("a/folder.jpg", "a/gone.jpg", "a/empty.jpg"):
        with pytest.raises(UnreadableImage):
            dataset.image(list(dataset.ids).index(name))
    assert len(dataset) == 7 and len(dataset.manifest_sha256) == 64


def test_a_broken_link_that_may_be_a_folder_is_refused(animals):
    (animals / "b" / "extra").symlink_to(animals / "nowhere")
    assert "b/extra is a broken link" in refused(f"folder:{animals}")
    (animals / "b" / "extra").unlink()
    (animals / "lost").symlink_to(animals / "nowhere")
    assert "lost is a broken link" in refused(f"folder:{animals}")


@pytest.mark.parametrize(
    "folders",
    [
        ("Train", "Test"),
        ("training_set", "test_set"),
        ("train", "val", "annotations"),
        ("train2017", "val2017"),
        ("TRAIN IMAGES", "TEST IMAGES"),
        ("train/a", "train/b"),
        ("Train/x", "train/x"),
    ],
)
def test_splits_are_no_classes(tmp_path, folders):
    for name in folders:
        picture(tmp_path / name / "a" / "1.png")
    found = sorted({name.partition("/")[0] for name in folders} - {"annotations"})
    said = refused(f"folder:{tmp_path}")
    assert (
        f"holds splits ({', '.join(found)}), not classes; type {shlex.quote(f'folder:{tmp_path}@{found[0]}')}" in said
    )


@pytest.mark.parametrize("folders", [("fold1", "fold2"), ("train", "other"), ("images",)])
def test_classes_that_hold_the_same_folders_are_told(tmp_path, folders, capsys):
    for name in folders:
        for inside in ("aa", "bb"):
            picture(tmp_path / name / inside / "1.png")
    assert open_dataset(f"folder:{tmp_path}").classes == tuple(sorted(folders))
    said = f"if these are the classes, type folder:{tmp_path / min(folders)}"
    assert "in folders such as aa, bb" in (err := capsys.readouterr().err) and said in err


def test_a_folder_above_the_class_folders_is_told(tmp_path, capsys):
    for image in ("my birds/owl/1.png", "my birds/wren/1.png", "things/cup/1.png", "things/hat/1.png"):
        picture(tmp_path / image)
    assert open_dataset(f"folder:{tmp_path}").classes == ("my birds", "things")
    said = f"if these are the classes, type 'folder:{tmp_path}/my birds' or folder:{tmp_path}/things"
    assert said in (err := capsys.readouterr().err) and "in folders such as owl, wren" in err


@pytest.mark.parametrize("images", [("a/images/1.png", "b/images/2.png"), ("a/x/1.png", "a/y/2.png", "b/1.png")])
def test_folders_inside_of_classes_are_usual(tmp_path, images, capsys):
    for image in images:
        picture(tmp_path / image)
    assert open_dataset(f"folder:{tmp_path}").classes == ("a", "b") and capsys.readouterr().err == ""


def test_images_beside_the_class_folders_are_told(animals, capsys):
    for name in ("z.png", "._z.png", "Y.JPG", "notes.txt"):
        (animals / name).touch()
    assert len(open_dataset(f"folder:{animals}")) == 4
    said = capsys.readouterr().err
    assert said == f"folder:{animals}: images in {animals} beside the class folders are not in the dataset: " + (
        "'Y.JPG', 'z.png'\n"
    )


@pytest.mark.parametrize("folders", [("train", "bus"), ("test",), ("trainer", "tester"), ("valid", "invalid")])
def test_a_class_may_have_the_name_of_a_split(tmp_path, folders):
    for name in folders:
        picture(tmp_path / name / "1.png")
    assert set(open_dataset(f"folder:{tmp_path}").classes) == set(folders)


def test_class_folders_without_an_image_are_left_out_and_named(animals, capsys):
    (animals / "empty").mkdir()
    (animals / "texts").mkdir()
    (animals / "texts" / "a.txt").touch()
    dataset = open_dataset(f"folder:{animals}")
    assert dataset.classes == ("a", "b") and dataset.counts.all()
    assert "2 of 4 classes have no image and are left out: 'empty', 'texts'" in capsys.readouterr().err
    (animals / "words.txt").write_text("a\tant\nb\tbee\n")  # what is left out needs no name
    assert open_dataset(f"folder:{animals}?names=words.txt").classes == ("a ant", "b bee")


def test_what_systems_leave_behind_is_no_class_and_no_image(animals):
    for name in ("__MACOSX/a/._y.webp", "@eaDir/y.webp", "a/@eaDir/y.png", "a/._y.webp", "a/.thumbs/1.png"):
        picture(animals / name)
    assert open_dataset(f"folder:{animals}").classes == ("a", "b")
    assert len(open_dataset(f"folder:{animals}")) == len(open_dataset(f"images:{animals}")) == 4


def test_images_of_kinds_that_are_not_read_are_counted(animals):
    (animals / "b" / "photo.HEIC").write_bytes(b"not read here")
    dataset = open_dataset(f"folder:{animals}")
    assert dataset.counts.tolist() == [2, 3]
    with pytest.raises(UnreadableImage, match="not an image, or of an unknown format such as HEIC"):
        dataset.image(list(dataset.ids).index("b/photo.HEIC"))


def test_what_is_no_directory_of_classes_is_refused(animals):
    assert "no such directory: " in (said := refused(f"folder:{animals / 'nope'}"))
    assert "expected a directory with one folder a class" in said
    assert "not a directory: " in refused(f"folder:{animals / 'README.md'}")
    assert "holds no folders; expected one folder a class" in refused(f"folder:{animals / 'b'}")


def test_names_come_from_a_file_below_the_directory(animals):
    (animals / "words.txt").write_text("z\tunused\na\tgoldfish, Carassius auratus\n\nb\tgoldfish\n")
    dataset = open_dataset(f"folder:{animals}?names=words.txt")
    assert dataset.classes == ("a goldfish", "b goldfish") and dataset.counts.tolist() == [2, 2]
    (animals / "kaggle.txt").write_text("a tench, Tinca tinca\nb tiger shark\n")
    assert open_dataset(f"folder:{animals}?names=kaggle.txt").classes == ("a tench", "b tiger shark")
    (animals / "words.txt").write_text("a\tx\nb\n")
    assert "words.txt, line 2: 'b' is not 'folder<TAB>name'" in refused(f"folder:{animals}?names=words.txt")
    (animals / "words.txt").write_text("a\tx\n")
    assert "has no line for the class folder 'b'" in refused(f"folder:{animals}?names=words.txt")
    assert "no such file: " in refused(f"folder:{animals}?names=none.txt")


def test_listing_asks_the_disk_nothing_per_image(tmp_path, monkeypatch):
    for i in range(40):
        (tmp_path / "few" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "many" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "many" / "a" / f"{i}.jpg").touch()
    (tmp_path / "few" / "a" / "0.jpg").touch()
    calls = []
    for name in ("stat", "lstat"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _f=original, **k: calls.append(a) or _f(*a, **k))
    open_dataset(f"folder:{tmp_path / 'few'}")
    few = len(calls)
    open_dataset(f"folder:{tmp_path / 'many'}")
    assert len(calls) == 2 * few


@pytest.fixture(scope="module")
def tiny_imagenet(tmp_path_factory):
    archive = DATA / "tiny-imagenet-100.tar"
    if not archive.is_file():
        pytest.skip(f"{archive} is not there; set TRANSFER_DATA to the folder that holds it")
    root = tmp_path_factory.mktemp("tiny")
    kept: Counter[str] = Counter()
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # older Pythons have none
        for member in tar:  # 20 images a class, most of them empty: a test has no time to write 20,000 files
            path, folder = root / member.name, os.path.dirname(member.name)
            if not member.name.endswith(".JPEG") or "n01443537" in member.name:
                tar.extract(member, root)
            elif kept[folder] < 20:
                if not kept[folder]:
                    path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            kept[folder] += 1
    return next(root.rglob("words.txt")).parent


def test_tiny_imagenet_in_its_official_layout(tiny_imagenet):
    dataset = open_dataset(f"folder:{tiny_imagenet}@train?names=words.txt")
    assert dataset.counts.tolist() == [100] + [20] * 199
    assert dataset.classes[0] == "n01443537 goldfish"
    assert [name.split()[0] for name in dataset.classes] == sorted((tiny_imagenet / "wnids.txt").read_text().split())
    walked = sorted(
        os.path.relpath(os.path.join(folder, file), tiny_imagenet)
        for folder, _, files in os.walk(tiny_imagenet / "train")
        for file in files
        if file.endswith(".JPEG")
    )
    assert sorted(dataset.ids) == walked
    assert all(
        dataset.classes[c].split()[0] == i.split("/")[1] for c, i in zip(dataset.labels, dataset.ids, strict=True)
    )
    assert dataset.image(99).size == (64, 64)
