"""What holds for every scheme: the contract, the generic options, the errors at the door."""

import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import ArrayImages
from features.infrastructure.errors import InputError
from features.readers import SCHEMES, open_dataset
from features.readers.schemes.clusters import write_clusters
from features.readers.subsampling import draw_indices, long_tail_counts


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (shade, 20, 30)).save(path)


def make_folder(root):
    for name, n in (("ant", 3), ("bee", 2)):
        for i in range(n):
            picture(root / "train" / name / f"{i}.png", i)
    return f"folder:{root}@train"


def make_cub(root):
    for name in ("1.ant/a.jpg", "1.ant/b.jpg", "2.bee/c.jpg"):
        picture(root / "images" / name)
    (root / "images.txt").write_text("1 1.ant/a.jpg\n2 1.ant/b.jpg\n3 2.bee/c.jpg\n")
    (root / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    (root / "classes.txt").write_text("1 1.ant\n2 2.bee\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    return f"cub:{root}"


def make_nabirds(root):
    return make_cub(root).replace("cub:", "nabirds:") + "@train"


def make_dogs(root):
    files = ["n01-ant/a.jpg", "n01-ant/b.jpg", "n02-bee/c.jpg"]
    for name in files:
        picture(root / "Images" / name)
    cells = np.array(files, dtype=object).reshape(-1, 1)
    savemat(root / "train_list.mat", {"file_list": cells, "labels": np.array([[1.0], [1.0], [2.0]])})
    return f"dogs:{root}@train"


def make_cars(root):
    for part in ("train", "test"):
        picture(root / part / "Audi A5" / "1.jpg")
        picture(root / part / "BMW M3" / "1.jpg")
    return f"cars:{root}"


def make_inat(root):
    for name in ("x/a.jpg", "y/b.jpg"):
        picture(root / name)
    content = {
        "images": [{"id": 5, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y/b.jpg"}],
        "annotations": [{"image_id": 2, "category_id": 8}, {"image_id": 5, "category_id": 3}],
        "categories": [{"id": 8, "name": "ant"}, {"id": 3, "name": "bee"}],
    }
    (root / "train.json").write_text(json.dumps(content))
    return f"inat:{root / 'train.json'}"


def make_list(root):
    for name in ("x/a.jpg", "y/b.jpg"):
        picture(root / name)
    (root / "train.txt").write_text("x/a.jpg 0\ny/b.jpg 1\n")
    return f"list:{root / 'train.txt'}"


def make_torch(root):
    for name in ("ant/a.png", "bee/b.png"):
        picture(root / "eurosat" / "2750" / name)
    return f"torch:EuroSAT:{root}"


def make_wds(root):
    root.mkdir(exist_ok=True)
    encoded = io.BytesIO()
    Image.new("RGB", (6, 5)).save(encoded, "PNG")
    with tarfile.open(root / "s.tar", "w") as tar:
        for key, label in (("a", b"4"), ("b", b"0"), ("c", b"4")):
            for ending, content in (("png", encoded.getvalue()), ("cls", label)):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return f"wds:{root / 's.tar'}"


def make_images(root):
    make_folder(root)
    return f"images:{root}"


def make_clusters(root):
    base = make_images(root)
    rows = [("train/ant/0.png", "x"), ("train/bee/1.png", "y"), ("train/ant/2.png", "x")]
    write_clusters(root / "clusters.csv", base, open_dataset(base).manifest_sha256, rows, {})
    return f"clusters:{root / 'clusters.csv'}"


MAKERS = [
    make_folder, make_images, make_clusters, make_cub, make_nabirds, make_dogs, make_cars, make_inat, make_list,
    make_torch, make_wds, lambda root: "digits:@test",
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_every_reader_answers_without_decoding_and_reads_what_it_lists(make, tmp_path, monkeypatch):
    spec = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *a, **k: pytest.fail("an image was decoded"))
        dataset = open_dataset(spec)
        counts, manifest = dataset.counts, dataset.manifest_sha256
    assert dataset.spec == spec
    assert len(set(dataset.classes)) == len(dataset.classes) and all(isinstance(c, str) for c in dataset.classes)
    assert dataset.labels.dtype == np.int64 and dataset.labels.shape == (len(dataset),)
    assert counts.tolist() == [sum(label == c for label in dataset.labels) for c in range(len(dataset.classes))]
    assert min(counts) > 0
    assert len(set(dataset.ids)) == len(dataset) and all(isinstance(i, str) and "\\" not in i for i in dataset.ids)
    for index in (0, len(dataset) - 1):
        assert dataset.image(index).mode == "RGB"
    again = open_dataset(DatasetSpec.parse(spec))
    assert list(again.ids) == list(dataset.ids) and again.manifest_sha256 == manifest


def test_the_schemes_of_the_design_are_there():
    assert set(SCHEMES) >= {
        "folder", "cub", "nabirds", "dogs", "cars", "inat", "list", "torch", "hf", "wds", "images", "clusters",
        "glyphs", "digits",
    }  # fmt: skip


def refused(spec):
    with pytest.raises(InputError) as caught:
        open_dataset(spec)
    assert "\n" not in str(caught.value) and repr(spec) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
def test_every_row_keeps_the_contract(scheme, tmp_path):
    assert scheme.meaning and "\n" not in scheme.meaning
    assert DatasetSpec.parse(scheme.form).scheme == scheme.name
    # What `transfer inspect schemes` prints.
    assert SCHEMES.meanings()[scheme.name] == f"{scheme.form}: {scheme.meaning}"
    location = "CIFAR10:x" if scheme.needs_location else ""  # options are checked before the location is opened
    assert f"{scheme.name} has no option 'no_such'; " in refused(f"{scheme.name}:{location}?no_such=1")
    refused(f"{scheme.name}:{tmp_path / 'none'}")
    if scheme.needs_location:
        assert f"{scheme.name} needs a location; type {scheme.form}" in refused(f"{scheme.name}:")
    else:
        assert len(open_dataset(f"{scheme.name}:"))


def test_a_folder_opens_and_schemes_are_listed_without_heavy_imports(tmp_path):
    spec = make_folder(tmp_path)
    code = (
        "import sys, features; before = set(sys.modules); from features import open_dataset;"
        "from features.readers import SCHEMES;"
        f"print(len(open_dataset({spec!r})), len(SCHEMES.meanings()) > 10);"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new & {'torch', 'scipy', 'torchvision', 'sklearn', 'matplotlib', 'datasets'}))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.splitlines() == ["5 True", "[]"], done.stderr


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("fodler:x", "unknown scheme 'fodler'; did you mean folder?"),
        ("zzz:x", "unknown scheme 'zzz'; expected one of clusters, inat,"),
        ("folder:", "folder needs a location; type folder:DIR[@split]"),
        ("list:", "list needs a location; type list:FILE.txt[.gz]"),
        (
            "folder:x?rooot=1",
            "folder has no option 'rooot'; expected one of names, per_class, imbalance, seed, holdout, "
            "part, groups, exclude",
        ),
        ("inat:x?rooot=1", "inat has no option 'rooot'; did you mean root?"),
        (
            "digits:?size=3",
            "digits has no option 'size'; expected one of per_class, imbalance, seed, holdout, part, groups, exclude",
        ),
        ("digits:?seed=3", "give one of them"),
        ("digits:?per_class=0", "per_class=0 is not an integer of at least 1"),
        ("digits:?imbalance=0.5", "imbalance=0.5 is not a number of at least 1"),
        ("digits:?imbalance=nan", "imbalance=nan is not a number of at least 1"),
        ("digits:?imbalance=inf", "imbalance=inf is not a number of at least 1"),
        ("digits:?imbalance=many", "imbalance=many is not a number of at least 1"),
        ("digits:?imbalance=1000", "leaves class 'digit 7' without an image; the largest class has 183 images"),
    ],
)
def test_wrong_specs_are_refused_in_one_line(spec, said):
    with pytest.raises(InputError) as caught:
        open_dataset(spec)
    assert said in str(caught.value) and repr(spec) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("largest", "classes", "totals"),
    [
        (5000, 10, {10: 20_431, 20: 17_023, 50: 13_996, 100: 12_406, 200: 11_203}),
        (500, 100, {10: 19_573, 20: 15_907, 50: 12_608, 100: 10_847, 200: 9_502}),
    ],
)
def test_long_tailed_cifar_has_the_published_totals(largest, classes, totals):
    for imbalance, total in totals.items():
        counts = long_tail_counts(largest, classes, imbalance)
        assert counts.sum() == total
        assert counts[0] == largest and (np.diff(counts) <= 0).all()
        # int() cuts off up to one image of the smallest class
        assert largest / imbalance - 1 < counts[-1] <= largest / imbalance


def test_long_tail_without_imbalance_or_with_one_class_is_flat():
    assert long_tail_counts(7, 4, 1).tolist() == [7, 7, 7, 7]
    assert long_tail_counts(7, 1, 50).tolist() == [7]


def test_draw_takes_the_quota_of_each_class_nested_and_uniformly():
    labels = np.random.default_rng(1).integers(0, 5, 400)
    have = np.bincount(labels, minlength=6)
    few = draw_indices(labels, np.array([3, 0, 500, 1, 40, 9]), seed=4)
    more = draw_indices(labels, np.array([9, 2, 500, 1, 60, 9]), seed=4)
    assert np.bincount(labels[few], minlength=6).tolist() == [3, 0, have[2], 1, 40, 0]
    assert (np.diff(few) > 0).all() and set(few) <= set(more)
    assert not np.array_equal(few, draw_indices(labels, np.array([3, 0, 500, 1, 40, 9]), seed=5))
    # Over seeds, each image of a class is as likely as another: 600 draws of 1 in 4, mean 150, 5 sigma = 53.
    hits = sum(np.bincount(draw_indices(np.zeros(4, int), np.array([1]), seed), minlength=4) for seed in range(600))
    assert (np.abs(hits - 150) < 53).all()


def test_per_class_keeps_pixels_labels_and_ids_together(tmp_path):
    for name, n in (("ant", 9), ("bee", 2)):
        for i in range(n):
            picture(tmp_path / name / f"{i}.png", 20 * i)
    dataset = open_dataset(f"folder:{tmp_path}?per_class=4")
    assert dataset.counts.tolist() == [4, 2] and dataset.classes == ("ant", "bee")
    for i, name in enumerate(dataset.ids):
        assert dataset.classes[dataset.labels[i]] == name.split("/")[0]
        assert dataset.image(i).getpixel((0, 0))[0] == 20 * int(Path(name).stem)
    same = open_dataset(f"folder:{tmp_path}?per_class=4&seed=0")
    assert list(same.ids) == list(dataset.ids)
    draws = {tuple(open_dataset(f"folder:{tmp_path}?per_class=4&seed={seed}").ids) for seed in range(8)}
    assert len(draws) > 1


def test_imbalance_and_per_class_combine(monkeypatch):
    labels = np.repeat(np.arange(5), 40)
    balanced = ImageDataset(
        "digits:", tuple("abcde"), labels, [str(i) for i in range(200)], ArrayImages(np.zeros((200, 2, 2), np.uint8))
    )
    monkeypatch.setitem(SCHEMES._rows, "digits", replace(SCHEMES["digits"], open=lambda spec: balanced))
    tail = [int(40 * (1 / 10) ** (i / 4)) for i in range(5)]
    assert open_dataset("digits:?imbalance=10").counts.tolist() == tail == [40, 22, 12, 7, 4]
    assert open_dataset("digits:?imbalance=10&per_class=12").counts.tolist() == [12, 12, 12, 7, 4]
    assert open_dataset("digits:?imbalance=1").counts.tolist() == [40] * 5


def test_an_empty_dataset_is_refused(monkeypatch):
    empty = ImageDataset("digits:", ("a",), np.zeros(0), [], ArrayImages(np.zeros((0, 2, 2), np.uint8)))
    monkeypatch.setitem(SCHEMES._rows, "digits", replace(SCHEMES["digits"], open=lambda spec: empty))
    with pytest.raises(InputError, match="the dataset is empty; expected handwritten digits"):
        open_dataset("digits:")
