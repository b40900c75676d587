"""``list:``."""

import gzip
from collections import Counter

import pytest
from PIL import Image
from support import DATA

from features.infrastructure.errors import InputError
from features.readers import open_dataset


@pytest.fixture
def opened(tmp_path):
    def opened(text, options="", name="list.txt"):
        path = tmp_path / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return open_dataset(f"list:{path}{options}")

    return opened


def test_both_forms_spaces_blank_lines_and_gaps(opened):
    dataset = opened("\n  \na/x 1.jpg 12\nb/y.jpg: 3\n\na/my: z.jpg\t12\r\n")
    assert list(dataset.ids) == ["a/x 1.jpg", "b/y.jpg", "a/my: z.jpg"]
    assert dataset.classes == ("b", "a") and dataset.labels.tolist() == [1, 0, 1]


def test_byte_order_mark_and_gzip(opened):
    assert list(opened("\ufeffa/x.jpg 0\nb/ü.jpg 1\n", name="list.txt.gz").ids) == ["a/x.jpg", "b/ü.jpg"]


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("train/n01/a.jpg 0\ntrain/n02/b.jpg 1\n", ("n01", "n02")),
        ("field/wild/a.jpg 0\nforest/wild/b.jpg 1\n", ("field/wild", "forest/wild")),
        ("x/a.jpg 4\ny/b.jpg 4\nz/c.jpg 7\n", ("class_4", "class_7")),
        ("x/a.jpg 4\nx/b.jpg 7\n", ("class_4", "class_7")),
        ("a.jpg 4\nb.jpg 7\n", ("class_4", "class_7")),
    ],
)
def test_names_of_classes(opened, text, classes):
    assert opened(text).classes == classes


def test_names_are_lines_of_a_file(opened, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncow\nbee\n")
    dataset = opened("a/x.jpg 3\na/y.jpg 1\nb/z.jpg 2\n", f"?names={tmp_path / 'names.txt'}")
    assert dataset.classes == ("bee (1)", "cow", "bee (3)") and dataset.numbers == (1, 2, 3)
    assert dataset.restrict(["bee (3)", "cow"]).numbers == (3, 2)
    with pytest.raises(InputError, match=r"names.txt has 4 names, but a label is 4"):
        opened("a/x.jpg 4\n", f"?names={tmp_path / 'names.txt'}")


def test_an_image_that_is_listed_twice(opened, capsys):
    with pytest.raises(InputError, match=r"the image a/x\.jpg is listed in two classes, 'class_0' and 'class_1'"):
        opened("a/x.jpg 0\na/y.jpg 0\n./a//x.jpg 1\n")
    dataset = opened("a/x.jpg 0\nb/y.jpg 1\n./a//x.jpg 0\n")
    assert list(dataset.ids) == ["a/x.jpg", "b/y.jpg"] and dataset.counts.tolist() == [1, 1]
    assert "1 images are listed more than once, and count once" in capsys.readouterr().err


def test_root(opened, tmp_path):
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 3)).save(tmp_path / "pictures" / "a" / "x.png")
    assert opened("a/x.png 0\n", f"?root={tmp_path / 'pictures'}").image(0).size == (4, 3)
    assert opened("pictures/a/x.png 0\n").image(0).size == (4, 3)
    with pytest.raises(InputError, match=r"no such directory: .*nope; expected the directory that the image paths"):
        opened("a/x.png 0\n", f"?root={tmp_path / 'nope'}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/x.jpg 0\n\na/y.jpg\n", "line 3: 'a/y.jpg' is not 'relative/path label'"),
        ("a/x.jpg 0\na/y.jpg one\n", "line 2: the label 'one' is not an integer of at least 0"),
        ("a/x.jpg 1.0\n", "line 1: the label '1.0'"),
        ("a/x.jpg -1\n", "line 1: the label '-1'"),
        ("a/x.jpg 9999999999999999999\n", "line 1: the label '9999999999999999999'"),
        ("a/x.jpg 0\na/y.jpg 0 1\n", "line 2: 'a/y.jpg 0 1' has several labels; expected one"),
        ("a/x.jpg,0\n", "line 1: 'a/x.jpg,0' is not"),
        ("\n\n", "the dataset is empty; expected lines of 'relative/path label'"),
    ],
)
def test_malformed_lines_are_named(opened, text, said):
    with pytest.raises(InputError) as caught:
        opened(text)
    assert said in str(caught.value)


def test_files_that_are_no_lists(opened, tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*none.txt; expected a text file with lines"):
        open_dataset(f"list:{tmp_path / 'none.txt'}")
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(b"a/x.jpg 0\n" * 500)[:-20])
    with pytest.raises(InputError, match=r"bad.txt.gz cannot be read: "):
        open_dataset(f"list:{tmp_path / 'bad.txt.gz'}")
    with pytest.raises(InputError, match="list has no splits; leave @train out"):
        opened("a/x.jpg 0\n", "@train")


@pytest.mark.parametrize(
    ("name", "images", "classes", "first"),
    [("Places_LT_train.txt.gz", 62_500, 365, "airfield"), ("ImageNet_LT_val.txt.gz", 20_000, 1000, "n01440764")],
)
def test_real_lists_parse_whole(name, images, classes, first):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; set TRANSFER_DATA to the folder that holds it")
    dataset = open_dataset(f"list:{path}")
    assert (len(dataset), len(dataset.classes), dataset.classes[0]) == (images, classes, first)
    with gzip.open(path, "rt") as file:
        lines = [line.split(" ") for line in file]
    assert list(dataset.ids) == [line[0] for line in lines]
    assert dict(enumerate(dataset.counts.tolist())) == Counter(int(line[1]) for line in lines)
    assert all(f"/{dataset.classes[c]}/" in i for c, i in zip(dataset.labels.tolist(), dataset.ids, strict=True))
