"""``wds:``."""

import io
import json
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from support import refused

from features.dataset_spec import DatasetSpec
from features.image_sources import UnreadableImage
from features.infrastructure.patterns import expand_braces
from features.readers import open_dataset
from features.readers.schemes.webdataset import open_shards


def encoded(shade, form="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (shade, 0, 0)).save(file, form)
    return file.getvalue()


def shard(path, files, mode="w", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, **options) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path):
    number = 0
    for s in range(3):
        files = []
        for i in range(4):
            files += [(f"d/{i:03d}.png", encoded(10 * number)), (f"d/{i:03d}.cls", str(number % 5 * 2).encode())]
            number += 1
        shard(tmp_path / f"train-{s:04d}.tar", files)
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["train-{0000..0002}.tar", "train-*.tar", "train-000{0,1,2}.tar", "train-000[0-2].tar"]
)
def test_samples_of_all_shards_with_their_own_pixels(shards, pattern):
    dataset = open_dataset(f"wds:{shards}/{pattern}")
    assert dataset.ids[:5] == [*(f"train-0000.tar/d/{i:03d}" for i in range(4)), "train-0001.tar/d/000"]
    assert dataset.classes == ("class_0", "class_2", "class_4", "class_6", "class_8")
    assert dataset.labels.tolist() == [i % 5 for i in range(12)]
    assert [dataset.image(i).getpixel((0, 0))[0] for i in range(12)] == [10 * i for i in range(12)]


def test_samples_are_packed_shard_by_shard(tmp_path):
    for s in range(40):
        numbers = range(50 * s, 50 * s + 50)
        shard(tmp_path / f"{s:04d}.tar", [(f"{i:09d}.{end}", b"1000") for i in numbers for end in ("jpg", "cls")])
    spec = DatasetSpec.parse(f"wds:{tmp_path}/*.tar")
    open_shards(spec)  # the first time, modules are loaded
    tracemalloc.start()
    try:
        assert len(open_shards(spec)) == 2000
        assert tracemalloc.get_traced_memory()[1] / 2000 < 200  # bytes; as lists of Python objects 350
    finally:
        tracemalloc.stop()


def test_the_source_is_picked_from_and_pickled(shards):
    dataset = open_dataset(f"wds:{shards}/train-*.tar")
    few = pickle.loads(pickle.dumps(dataset.take(np.array([11, 0]))))
    assert [few.image(i).getpixel((0, 0))[0] for i in range(2)] == [110, 0]
    assert few.manifest_sha256 != dataset.manifest_sha256
    for path in shards.glob("*.tar"):
        path.unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        few.image(0)


def test_a_damaged_image_is_an_error_about_that_image(tmp_path):
    path = shard(tmp_path / "s.tar", [("a.jpg", b"no image"), ("a.cls", b"0"), ("b.jpg", encoded(9)), ("b.cls", b"1")])
    dataset = open_dataset(f"wds:{path}")
    with pytest.raises(UnreadableImage):
        dataset.image(0)
    assert dataset.image(1).getpixel((0, 0)) == (9, 0, 0)


def test_labels_as_names_in_json_and_with_a_file_of_names(tmp_path):
    path = shard(
        tmp_path / "s.tar", [("a.jpg", encoded(1)), ("a.cls", b"owl\n"), ("b.JPEG", encoded(2)), ("b.cls", b"ant")]
    )
    assert open_dataset(f"wds:{path}").classes == ("ant", "owl")
    assert "the labels are names already" in refused(f"wds:{path}?names={tmp_path / 'names.txt'}")
    files = [("a.webp", encoded(1)), ("a.json", json.dumps({"label": 2, "w": 5}).encode()), ("a.txt", b"caption")]
    files += [("b.png", encoded(2)), ("b.json", b'{"w": 5}'), ("b.cls", b"1")]
    path = shard(tmp_path / "json.tar", files)
    (tmp_path / "names.txt").write_text("ant\nbee\nwood owl\n")
    dataset = open_dataset(f"wds:{path}?names={tmp_path / 'names.txt'}")
    assert dataset.classes == ("bee", "wood owl") and dataset.labels.tolist() == [1, 0]
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    assert "names.txt has 2 names, but a label is 2" in refused(f"wds:{path}?names={tmp_path / 'names.txt'}")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("a.jpg", b"")], "the sample a has no label (.cls, or label in .json); it has .jpg"),
        ([("a.cls", b"0"), ("a.seg.png", b"")], "the sample a has no image; it has .cls, .seg.png"),
        ([("a.jpg", b""), ("a.jpg", b""), ("a.cls", b"0")], "the sample a has two files .jpg"),
        ([("a.jpg", b""), ("a.cls", b"")], "the sample a has no label"),
        (
            [("a.jpg", b""), ("a.mask.png", b""), ("a.cls", b"0")],
            "the sample a has several images (.jpg, .mask.png); say which with ?image=jpg",
        ),
        ([("a.png", b""), ("a.jpg", b""), ("a.cls", b"0")], "several images (.png, .jpg); say which with ?image=png"),
        ([("a.jpg", b""), ("a.json", b"[1")], "a.json holds no label"),
        ([("a.jpg", b""), ("a.json", b'{"label": -1}')], "a.json has the label -1"),
        ([("a.jpg", b""), ("a.json", b'{"label": [1]}')], "a.json has the label [1]"),
        (
            [("a.jpg", b""), ("a.cls", b"1"), ("b.jpg", b""), ("b.cls", b"x")],
            "some labels are numbers and some are names",
        ),
        ([], "the dataset is empty"),
    ],
)
def test_samples_that_are_not_whole_are_named(tmp_path, files, said):
    assert said in refused(f"wds:{shard(tmp_path / 's.tar', files)}")


def test_shards_that_are_not_whole_are_refused(shards, tmp_path):
    assert "no such file: " in (said := refused(f"wds:{shards}/train-{{0000..0003}}.tar")) and "train-0003.tar" in said
    assert "no file matches " in refused(f"wds:{shards}/test-*.tar")
    assert "wds has no splits" in refused(f"wds:{shards}/train-0000.tar@train")
    assert "name the address itself" in refused("wds:pipe:curl https://example.org/train-0000.tar")
    assert "has no wildcards" in refused("wds:s3://bucket/train-*.tar")
    packed = shard(tmp_path / "s.tar.gz", [("a.jpg", b""), ("a.cls", b"0")], "w:gz")
    assert "is not an uncompressed, whole tar file" in refused(f"wds:{packed}")
    whole = (shards / "train-0000.tar").read_bytes()
    (shards / "cut.tar").write_bytes(whole[: 512 + 100])
    assert "is not an uncompressed, whole tar file" in refused(f"wds:{shards}/cut.tar")
    (shards / "cut.tar").write_bytes(whole[: 2 * 1024 + 100])  # inside a header
    assert "cut.tar is damaged after byte 2048" in refused(f"wds:{shards}/cut.tar")
    (shards / "hit.tar").write_bytes(whole[:2048] + b"x" * 512 + whole[2560:])
    assert "hit.tar is damaged after byte 2048" in refused(f"wds:{shards}/hit.tar")


def test_ids_tell_shards_of_one_name_apart(tmp_path):
    for folder in ("a", "b"):
        shard(tmp_path / folder / "0.tar", [("x.png", encoded(1)), ("x.cls", b"0")])
    assert list(open_dataset(f"wds:{tmp_path}/*/0.tar").ids) == ["a/0.tar/x", "b/0.tar/x"]
    assert list(open_dataset(f"wds:{tmp_path}/a/0.tar").ids) == ["0.tar/x"]


def test_braces():
    assert list(expand_braces("a")) == ["a"]
    assert list(expand_braces("{8..11}-{x,y}")) == [f"{i}-{c}" for i in (8, 9, 10, 11) for c in "xy"]
    assert list(expand_braces("{007..009}")) == ["007", "008", "009"]


def test_one_of_several_images_is_chosen_by_name(tmp_path):
    files = [("a.mask.png", encoded(1)), ("a.jpg", b"x"), ("a.cls", b"0"), ("b.jpg", b"y"), ("b.cls", b"1")]
    path = shard(tmp_path / "masks.tar", files)
    dataset = open_dataset(f"wds:{path}?image=JPG")
    assert dataset.source.size.tolist() == [1, 1] and dataset.labels.tolist() == [0, 1]
    assert "the sample b has no image .mask.png; it has .jpg, .cls" in refused(f"wds:{path}?image=mask.png")


def test_what_systems_leave_behind_is_no_sample(tmp_path):
    left = [("._a.png", b"x"), ("./.DS_Store", b"x"), ("__MACOSX/._a.cls", b"x"), ("d/@eaDir/a.png", b"x")]
    dataset = open_dataset(f"wds:{shard(tmp_path / 'mac.tar', [*left, ('./a.png', encoded(1)), ('./a.cls', b'7')])}")
    assert len(dataset) == 1 and dataset.classes == ("class_7",)
