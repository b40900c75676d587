"""``torch:``, over torchvision's own classes on small data in their official layouts."""

import json
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat
from support import refused

from features import InputError
from features.image_sources import ArrayImages, FileImages
from features.readers import open_dataset


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("a reader went to the network"))


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def agrees_with(dataset, *originals):
    """The oracle: labels and pixels of torchvision's ``__getitem__``, as a multiset of (label, pixels).

    Classes without an image are left out, so labels are compared by their order.
    """
    used = sorted({int(label) for original in originals for _, label in original})
    assert dataset.counts.all() and len(used) == len(dataset.classes)
    ours = sorted((int(c), dataset.image(i).tobytes()) for i, c in enumerate(dataset.labels))
    theirs = sorted(
        (used.index(int(label)), image.convert("RGB").tobytes()) for original in originals for image, label in original
    )
    assert ours == theirs
    assert len(set(dataset.ids)) == len(dataset)


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """50 images a class in the five official pickles; the published checksums cannot hold."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        content = {"data": random.integers(0, 256, (100, 3072), np.uint8), "labels": random.permutation(100) % 10}
        content["labels"] = content["labels"].tolist()
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"kind {i}" for i in range(10)]}))
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, None] for name in names[:5]])
    monkeypatch.setattr(kind, "test_list", [[names[5], None]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return tmp_path


def test_cifar10_from_memory(cifar10):
    train = open_dataset(f"torch:CIFAR10:{cifar10}@train")
    assert isinstance(train.source, ArrayImages) and train.classes[3] == "kind 3"
    assert train.counts.tolist() == [50] * 10 and train.ids[499] == "train/499"
    agrees_with(train, torchvision.datasets.CIFAR10(cifar10, train=True))
    agrees_with(open_dataset(f"torch:CIFAR10:{cifar10}@test"), torchvision.datasets.CIFAR10(cifar10, train=False))
    both = open_dataset(f"torch:CIFAR10:{cifar10}@train+test")
    assert len(both) == 600 and both.ids[599] == "test/99"


def test_long_tailed_cifar10(cifar10):
    dataset = open_dataset(f"torch:CIFAR10:{cifar10}@train?imbalance=10")
    assert dataset.counts.tolist() == [50, 38, 29, 23, 17, 13, 10, 8, 6, 5]  # by hand: int(50 · 10^(−i/9))
    whole = open_dataset(f"torch:CIFAR10:{cifar10}@train")
    for i, name in enumerate(dataset.ids):
        position = int(name.removeprefix("train/"))
        assert dataset.labels[i] == whole.labels[position]
        assert dataset.image(i).tobytes() == whole.image(position).tobytes()


def test_cifar_splits_and_missing_files(cifar10, tmp_path):
    assert "CIFAR10 has no split 'val'; expected one of train, test" in refused(f"torch:CIFAR10:{cifar10}@val")
    said = refused(f"torch:CIFAR10:{cifar10}")
    assert f"say which split, such as torch:CIFAR10:{cifar10}@train; CIFAR10 has train, test" in said
    said = refused(f"torch:CIFAR100:{tmp_path}@test")
    call = f"torchvision.datasets.CIFAR100('{tmp_path}', train=False, download=True)"
    assert f'not found or corrupted; to download it there, run python -c "import torchvision; {call}"' in said
    (cifar10 / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"not a pickle")
    assert "torchvision.datasets.CIFAR10 cannot be read from" in refused(f"torch:CIFAR10:{cifar10}@train")


def test_mnist_grey_tensors(tmp_path):
    random = np.random.default_rng(0)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        pixels, labels = random.integers(0, 256, (20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
        header = np.array([0x803, 20, 28, 28], ">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, 20], ">i4").tobytes() + labels.tobytes())
    dataset = open_dataset(f"torch:MNIST:{tmp_path}@test")
    assert dataset.classes[0] == "0 - zero"
    agrees_with(dataset, torchvision.datasets.MNIST(tmp_path, train=False))


def test_svhn_channels_first_and_without_names(tmp_path, monkeypatch):
    kind = torchvision.datasets.SVHN
    monkeypatch.setattr(kind, "split_list", {k: [v[0], v[1], None] for k, v in kind.split_list.items()})
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 12), np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": pixels, "y": np.arange(12).reshape(-1, 1) % 10 + 1})
    dataset = open_dataset(f"torch:SVHN:{tmp_path}@train")
    assert dataset.classes == tuple(f"class_{i}" for i in range(10))
    agrees_with(dataset, kind(tmp_path, split="train"))
    assert "SVHN has no split 'dev'; expected one of train, test, extra" in refused(f"torch:SVHN:{tmp_path}@dev")


@pytest.fixture
def flowers(tmp_path, monkeypatch):
    kind = torchvision.datasets.Flowers102
    monkeypatch.setattr(kind, "_file_dict", {k: (v[0], None) for k, v in kind._file_dict.items()})
    folder = tmp_path / "flowers-102"
    for i in range(1, 13):
        picture(folder / "jpg" / f"image_{i:05d}.jpg", 20 * i)
    savemat(folder / "imagelabels.mat", {"labels": np.arange(12).reshape(1, -1) % 4 * 25 + 1})
    splits = {"trnid": [[5, 1, 9]], "valid": [[2, 6]], "tstid": [[3, 4, 7, 8, 10, 11, 12]]}
    savemat(folder / "setid.mat", splits)
    return tmp_path


def test_flowers102_trains_on_train_and_val(flowers):
    original = torchvision.datasets.Flowers102
    dataset = open_dataset(f"torch:Flowers102:{flowers}@train+val")
    assert isinstance(dataset.source, FileImages) and len(dataset) == 5
    assert dataset.ids[0] == "flowers-102/jpg/image_00001.jpg"
    assert dataset.classes == ("pink primrose", "corn poppy")  # the two of 102 that have an image here
    agrees_with(dataset, original(flowers, split="train"), original(flowers, split="val"))
    assert "Flowers102 has no split 'vla'; did you mean val?" in refused(f"torch:Flowers102:{flowers}@train+vla")


def test_aircraft_and_its_annotation_level(tmp_path):
    data = tmp_path / "fgvc-aircraft-2013b" / "data"
    write(data / "variants.txt", "707-320\n727-200\nA300B4\n")
    write(data / "families.txt", "Boeing 707\nBoeing 727\nA300\n")
    for level, names in (("variant", ("A300B4", "707-320")), ("family", ("A300", "Boeing 707"))):
        write(data / f"images_{level}_trainval.txt", f"0034309 {names[0]}\n0034958 {names[1]}\n")
    for name in ("0034309", "0034958"):
        picture(data / "images" / f"{name}.jpg", int(name[-2:]))
    dataset = open_dataset(f"torch:FGVCAircraft:{tmp_path}@trainval")
    assert dataset.classes == ("707-320", "A300B4") and dataset.labels.tolist() == [1, 0]
    assert open_dataset(f"torch:FGVCAircraft:{tmp_path}@trainval?annotation_level=family").classes[0] == "Boeing 707"
    agrees_with(dataset, torchvision.datasets.FGVCAircraft(tmp_path, split="trainval"))
    said = refused(f"torch:FGVCAircraft:{tmp_path}@trainval?level=family")
    assert "torch has no option 'level'; expected one of split, annotation_level, per_class" in said


def test_food101_pets_textures_and_imagenet_folders(tmp_path):
    food = tmp_path / "food-101"
    for name in ("pie/2", "pie/1", "apple/3"):
        picture(food / "images" / f"{name}.jpg", int(name[-1]))
    write(food / "meta" / "train.json", json.dumps({"pie": ["pie/2", "pie/1"], "apple": ["apple/3"]}))
    dataset = open_dataset(f"torch:Food101:{tmp_path}@train")
    assert dataset.classes == ("apple", "pie") and dataset.labels.tolist() == [0, 1, 1]
    agrees_with(dataset, torchvision.datasets.Food101(tmp_path, split="train"))

    pets = tmp_path / "oxford-iiit-pet"
    for name in ("Abyssinian_1", "great_pyrenees_7"):
        picture(pets / "images" / f"{name}.jpg", int(name[-1]))
    write(pets / "annotations" / "test.txt", "Abyssinian_1 1 1 1\ngreat_pyrenees_7 2 2 1\n")
    dataset = open_dataset(f"torch:OxfordIIITPet:{tmp_path}@test")
    assert dataset.classes == ("Abyssinian", "Great Pyrenees")
    agrees_with(dataset, torchvision.datasets.OxfordIIITPet(tmp_path, split="test"))

    dtd = tmp_path / "dtd" / "dtd"
    for name in ("banded/banded_1.jpg", "dotted/dotted_2.jpg"):
        picture(dtd / "images" / name, 9)
        write(dtd / "labels" / "test2.txt", "dotted/dotted_2.jpg\nbanded/banded_1.jpg\n")
    dataset = open_dataset(f"torch:DTD:{tmp_path}@test?partition=2")
    assert list(dataset.ids) == ["dtd/dtd/images/banded/banded_1.jpg", "dtd/dtd/images/dotted/dotted_2.jpg"]
    agrees_with(dataset, torchvision.datasets.DTD(tmp_path, split="test", partition=2))
    assert "partition=two is not an integer" in refused(f"torch:DTD:{tmp_path}@test?partition=two")

    for name in ("n02012849", "n03126707"):
        picture(tmp_path / "val" / name / "1.JPEG", int(name[-2:]))
    torch.save(({"n02012849": ("crane",), "n03126707": ("crane", "derrick")}, []), tmp_path / "meta.bin")
    dataset = open_dataset(f"torch:ImageNet:{tmp_path}@val")
    assert dataset.classes == ("n02012849 crane", "n03126707 crane")
    agrees_with(dataset, torchvision.datasets.ImageNet(tmp_path, split="val"))
    assert f"or read class folders with folder:{tmp_path}@train" in refused(f"torch:ImageNet:{tmp_path}@train")


def test_inaturalist_2021_and_the_older_ones(tmp_path):
    species = ["00000_A_B_C_D_E_F_owl", "00001_A_B_C_D_E_F_tit"]
    for i, name in enumerate((f"{species[1]}/b.jpg", f"{species[1]}/a.jpg", f"{species[0]}/c.jpg")):
        picture(tmp_path / "2021_valid" / name, i)
    dataset = open_dataset(f"torch:INaturalist:{tmp_path}@2021_valid")
    assert dataset.classes == tuple(species) and dataset.labels.tolist() == [0, 1, 1]
    assert list(dataset.ids) == [f"2021_valid/{species[0]}/c.jpg", *(f"2021_valid/{species[1]}/{x}.jpg" for x in "ab")]
    agrees_with(dataset, torchvision.datasets.INaturalist(tmp_path, version="2021_valid"))
    for year in ("2017", "2018", "2019"):
        assert f"with inat:train{year}.json?root=DIR" in refused(f"torch:INaturalist:{tmp_path}@{year}")
    assert "INaturalist has no split 'train'" in (said := refused(f"torch:INaturalist:{tmp_path}@train"))
    assert "2021_train" in said


def test_inaturalist_unpacked_by_hand_is_not_downloaded_again(tmp_path):
    picture(tmp_path / "train_mini" / "00000_A_B_C_D_E_F_owl" / "a.jpg")
    said = refused(f"torch:INaturalist:{tmp_path}@2021_train_mini")
    assert (
        f"read it with folder:{tmp_path}@train_mini, or rename it to 2021_train_mini" in said and "download" not in said
    )


def test_caltech_in_both_sizes(tmp_path):
    for name in ("ant/image_0001.jpg", "bee/image_0001.jpg", "bee/image_0002.jpg", "BACKGROUND_Google/x.jpg"):
        picture(tmp_path / "caltech101" / "101_ObjectCategories" / name, len(name))
    dataset = open_dataset(f"torch:Caltech101:{tmp_path}")
    assert dataset.classes == ("ant", "bee") and dataset.labels.tolist() == [0, 1, 1]
    agrees_with(dataset, torchvision.datasets.Caltech101(tmp_path))
    assert "Caltech256 cannot be read" in refused(f"torch:Caltech256:{tmp_path}")
    assert not (tmp_path / "caltech256").exists()
    for name in ("001.ant/001_0001.jpg", "002.bee/002_0001.jpg"):
        picture(tmp_path / "caltech256" / "256_ObjectCategories" / name, 5)
    dataset = open_dataset(f"torch:Caltech256:{tmp_path}")
    agrees_with(dataset, torchvision.datasets.Caltech256(tmp_path))
    assert "Caltech256 has no splits; leave @test out" in refused(f"torch:Caltech256:{tmp_path}@test")


def test_stanford_cars_and_signs(tmp_path):
    cars = tmp_path / "stanford_cars"
    rows = np.zeros((1, 2), dtype=[("class", object), ("fname", object)])
    rows[0, 0], rows[0, 1] = (2, "1.jpg"), (1, "2.jpg")
    (cars / "devkit").mkdir(parents=True)
    savemat(cars / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    savemat(cars / "devkit" / "cars_meta.mat", {"class_names": np.array([["Audi", "BMW"]], dtype=object)})
    for i in (1, 2):
        picture(cars / "cars_train" / f"{i}.jpg", i)
    dataset = open_dataset(f"torch:StanfordCars:{tmp_path}@train")
    assert dataset.classes == ("Audi", "BMW") and dataset.labels.tolist() == [1, 0]
    agrees_with(dataset, torchvision.datasets.StanfordCars(tmp_path, split="train"))
    assert "its download address is dead" in refused(f"torch:StanfordCars:{tmp_path}@test")

    for name in ("00000/a.ppm", "00007/b.ppm"):
        picture(tmp_path / "gtsrb" / "GTSRB" / "Training" / name, 7)
    assert open_dataset(f"torch:GTSRB:{tmp_path}@train").classes == ("class_0", "class_1")


def test_what_torchvision_cannot_tell_without_decoding_is_refused(tmp_path):
    assert "does not read from a directory" in refused(f"torch:FakeData:{tmp_path}")
    assert "has no class 'flowers102'; did you mean Flowers102?" in refused(f"torch:flowers102:{tmp_path}@test")
    assert "type torch:Food101:DIR@split" in refused("torch:Food101@test")
    assert f"no such directory: {tmp_path / 'no'}" in refused(f"torch:Food101:{tmp_path / 'no'}@test")
    assert "needs the argument 'annFile'" in refused(f"torch:CocoDetection:{tmp_path}")
    folder = tmp_path / "MovingMNIST"
    folder.mkdir()
    np.save(folder / "mnist_test_seq.npy", np.zeros((20, 2, 8, 8), np.uint8))
    assert "has no attribute with its images and labels" in refused(f"torch:MovingMNIST:{tmp_path}@train")


def test_labels_that_are_missing_or_not_one_a_image(tmp_path):
    kind = torchvision.datasets.FER2013
    folder = tmp_path / "fer2013"
    folder.mkdir()
    (folder / "test.csv").write_text("pixels\n" + " ".join(["7"] * 48 * 48) + "\n")
    (folder / "train.csv").write_text("emotion,pixels\n2," + " ".join(["7"] * 48 * 48) + "\n")
    resources = {key: (value[0], None) for key, value in kind._RESOURCES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_RESOURCES", resources)
        assert "does not give one class an image in this split" in refused(f"torch:FER2013:{tmp_path}@test")
        assert open_dataset(f"torch:FER2013:{tmp_path}@train").image(0).getpixel((0, 0)) == (7, 7, 7)


def test_emnist_takes_two_selectors(tmp_path):
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    for part in ("train", "test"):
        name = f"emnist-digits-{part}"
        (raw / f"{name}-images-idx3-ubyte").write_bytes(
            np.array([0x803, 4, 28, 28], ">i4").tobytes() + pixels.tobytes()
        )
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(np.array([0x801, 4], ">i4").tobytes() + bytes([0, 1, 2, 9]))
    dataset = open_dataset(f"torch:EMNIST:{tmp_path}@test?split=digits")
    agrees_with(dataset, torchvision.datasets.EMNIST(tmp_path, split="digits", train=False))
    assert "EMNIST has no split 'test'; expected one of byclass, bymerge," in refused(f"torch:EMNIST:{tmp_path}@test")


def test_a_relative_directory_gives_the_same_ids(tmp_path, monkeypatch):
    picture(tmp_path / "eurosat" / "2750" / "Forest" / "1.jpg")
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("torch:EuroSAT:.")
    assert list(dataset.ids) == ["eurosat/2750/Forest/1.jpg"]
    monkeypatch.chdir(Path("/"))
    assert dataset.image(0).size == (4, 3)


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("Food101:{}@train", "food-101/meta/train.json"),
        ("OxfordIIITPet:{}@trainval", "oxford-iiit-pet/annotations/trainval.txt"),
        ("FGVCAircraft:{}@train", "fgvc-aircraft-2013b/data/variants.txt"),
        ("SUN397:{}", "SUN397/ClassName.txt"),
        ("USPS:{}@train", "usps.bz2"),
    ],
)
def test_a_pipe_among_the_files_of_a_dataset_is_one_line(tmp_path, monkeypatch, spec, file):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in ("food-101/images", "oxford-iiit-pet/images", "fgvc-aircraft-2013b/data/images"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    monkeypatch.setattr("torchvision.datasets.usps.check_integrity", lambda *_: True, raising=False)
    with pytest.raises(InputError) as found:
        open_dataset("torch:" + spec.format(tmp_path))
    assert f"{path}: is a pipe; remove it" in str(found.value) and "\n" not in str(found.value)
