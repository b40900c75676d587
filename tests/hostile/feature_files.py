"""Files of features that state more than they hold, and pickles wherever a file of a dataset is expected."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile.case import Case, Cases, written
from layouts import LAYOUTS, PNG, Entry

from features.readers import SCHEMES


class Payload:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("run-by-a-pickle",)


PICKLE = pickle.dumps(Payload())


def npy(header: str, content: bytes = b"", version: int = 1) -> bytes:
    """A ``.npy`` file with a header of one's own."""
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + content


def _head(shape: str, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def _saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


_FOUR = np.arange(8, dtype="<f4").tobytes()
NPY: dict[str, Callable[[], bytes]] = {
    "10^12 rows": lambda: npy(_head("(1000000000000, 2)"), _FOUR),
    "2^40 by 2^40": lambda: npy(_head("(1099511627776, 1099511627776)"), _FOUR),
    "2^64 rows": lambda: npy(_head("(18446744073709551616, 2)"), _FOUR),
    "-1 rows": lambda: npy(_head("(-1, 2)"), _FOUR),
    "-2 by -4": lambda: npy(_head("(-2, -4)"), _FOUR),
    "a shape of text": lambda: npy(_head("('a', 2)"), _FOUR),
    "a shape of truth": lambda: npy(_head("(True, 2)"), _FOUR),
    "a shape of 10^6 dimensions": lambda: npy(_head(f"({'1,' * 100_000})"), _FOUR, 2),
    "10^12 rows of nothing": lambda: npy(_head("(1000000000000, 0)")),
    "10^12 numbers of no bytes": lambda: npy(_head("(1000000000000,)", "|V0")),
    "texts of 2 GB": lambda: npy(_head("(1,)", "<U500000000"), _FOUR),
    "an unknown type": lambda: npy(_head("(4, 2)", "x9"), _FOUR),
    "a type nested deep": lambda: npy(
        "{'descr': " + "[('a', " * 500 + "'<f4'" + ")]" * 500 + ", 'fortran_order': False, 'shape': (4, 2), }", _FOUR
    ),
    "a header nested deep": lambda: npy("(" * 4000 + ")" * 4000, _FOUR),
    "a header of minus signs": lambda: npy("-" * 9000 + "1", _FOUR),
    "a header that calls": lambda: npy("__import__('os').mkdir('run-by-a-header')", _FOUR),
    "a header of 4 GB": lambda: b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1) + b"{",
    "version 9": lambda: b"\x93NUMPY\x09\0" + _FOUR,
    "the magic alone": lambda: b"\x93NUMPY",
    "half of its rows": lambda: _saved(np.ones((4, 2), "f4"))[:-9],
    "objects": lambda: _saved(np.array([Payload()] * 4, dtype=object), allow_pickle=True),
    "objects in a record": lambda: _saved(np.array([(Payload(),)] * 4, dtype=[("a", object)]), allow_pickle=True),
    "a pickle": lambda: PICKLE,
    "NaN": lambda: _saved(np.full((4, 2), np.nan, "f4")),
    "complex numbers": lambda: _saved(np.ones((4, 2), complex)),
    "no rows": lambda: _saved(np.ones((0, 2), "f4")),
    "no columns": lambda: _saved(np.ones((4, 0), "f4")),
}


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _with_size(archive: bytes, size: int) -> bytes:
    """A ZIP archive whose directory states another size of its first member."""
    at = archive.rindex(b"PK\x01\x02")
    return archive[: at + 24] + struct.pack("<I", size) + archive[at + 28 :]


_LABELS = _saved(np.array(["a", "a", "b", "b"]))
_GOOD = _saved(np.ones((4, 2), "f4"))
NPZ: dict[str, Callable[[], bytes]] = {
    "10^12 rows": lambda: _zip({"feature.npy": npy(_head("(1000000000000, 2)"), _FOUR), "label.npy": _LABELS}),
    "labels of 10^12": lambda: _zip({"feature.npy": _GOOD, "label.npy": npy(_head("(1000000000000,)", "<i8"), _FOUR)}),
    "400 MB of zeros": lambda: _zip(
        {"feature.npy": npy(_head("(200000, 500)"), bytes(4 * 10**8)), "label.npy": _LABELS}
    ),
    "labels of 400 MB": lambda: _zip(
        {"feature.npy": _GOOD, "label.npy": npy(_head("(4,)", "<U25000000"), bytes(4 * 100_000_000))}
    ),
    "objects": lambda: _zip({"feature.npy": NPY["objects"](), "label.npy": _LABELS}),
    "objects as labels": lambda: _zip({"feature.npy": _GOOD, "label.npy": NPY["objects"]()}),
    "a pickle": lambda: _zip({"feature.npy": PICKLE, "label.npy": _LABELS}),
    "a stated size of 4 GB": lambda: _with_size(_zip({"feature.npy": _GOOD}), 2**32 - 2),
    "a member that leaves": lambda: _zip({"../feature.npy": _GOOD, "label.npy": _LABELS}),
    "one name twice": lambda: _zip({"feature.npy": _GOOD})[:-22] + _zip({"feature.npy": _GOOD}),
    "no members": lambda: _zip({}),
    "half of it": lambda: _zip({"feature.npy": _GOOD, "label.npy": _LABELS})[:-40],
    "text": lambda: b"no archive" * 99,
    "a pickle for an archive": lambda: PICKLE,
    "provenance nested deep": lambda: _zip(
        {"feature.npy": _GOOD, "label.npy": _LABELS, "transfer.features.npy": _saved(np.array("[" * 100_000))}
    ),
    "a fifo by its mode": lambda: _zip({"feature.npy": _GOOD}),
}


def _tensors(header: Any, content: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + content


def _tensor(shape: list[Any], end: int = 32, kind: str = "F32") -> dict[str, Any]:
    return {"feature": {"dtype": kind, "shape": shape, "data_offsets": [0, end]}}


SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "10^12 rows": lambda: _tensors(_tensor([10**12, 2]), _FOUR),
    "10^12 rows by its offsets": lambda: _tensors(_tensor([10**12, 2], 8 * 10**12), _FOUR),
    "2^63 by 2": lambda: _tensors(_tensor([2**63, 2]), _FOUR),
    "-1 rows": lambda: _tensors(_tensor([-1, 2]), _FOUR),
    "a header of 2^60": lambda: _tensors({}, size=2**60),
    "a header nested deep": lambda: _tensors(b"[" * 100_000),
    "an unknown type": lambda: _tensors(_tensor([4, 2], 8, "F8_E9M9"), _FOUR),
    "eight-bit floats": lambda: _tensors(_tensor([4, 2], 8, "F8_E4M3"), _FOUR[:8]),
    "a pickle": lambda: PICKLE,
    "text": lambda: b"no tensors" * 9,
}


def _parquet(rows: int | None = None, damage: Callable[[bytes], bytes] | None = None) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    file = io.BytesIO()
    size = rows or 4
    vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(np.zeros(2 * size, "f4")), 2)
    labels = arrow.array(["a"] * size)
    parquet.write_table(arrow.table({"feature": vectors, "label": labels}), file, compression="zstd")
    content = file.getvalue()
    return content if damage is None else damage(content)


def _swapped(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    """Replaces a number in the metadata of Parquet, a variable-length integer behind its field."""

    def damage(content: bytes) -> bytes:
        at = len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]
        changed = content[at:-8].replace(before, after)
        return content[:at] + changed + struct.pack("<I", len(changed)) + content[-4:]

    return damage


PARQUET: dict[str, Callable[[], bytes]] = {
    "10^12 rows": lambda: _parquet(damage=_swapped(b"\x16\x08", b"\x16\x80\xa0\x94\xa5\x8d\x3a")),
    "2^40 rows": lambda: _parquet(damage=_swapped(b"\x16\x08", b"\x16\x80\x80\x80\x80\x80\x40")),
    "-1 rows": lambda: _parquet(damage=_swapped(b"\x16\x08", b"\x16\x01")),
    "metadata of 4 GB": lambda: _parquet()[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1",
    "metadata of zeros": lambda: _parquet(damage=lambda c: c[:-200] + bytes(192) + c[-8:]),
    "pages of 0xFF": lambda: _parquet(damage=lambda c: c[:4] + b"\xff" * 60 + c[64:]),
    "the marks alone": lambda: b"PAR1PAR1",
    "text": lambda: b"no table" * 99,
    "a pickle": lambda: PICKLE,
}


def _features(name: str, content: Callable[[], bytes]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        written(folder / name, content())
        written(folder / "y.txt", "a\na\nb\nb\n")
        second = f"?label={folder / 'y.txt'}" if name.endswith((".npy", ".safetensors")) else ""
        return f"features:{folder / name}{second}"

    return build


def _pickled(layout: str, file: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        spec = LAYOUTS[layout].write(folder, ("ant",), [Entry(0, "a.png"), Entry(0, "b.png")])
        written(folder / file, PICKLE)
        return spec

    return build


#: Where the classes of torchvision keep files in which Python or PyTorch could find a pickle.
_TORCH = {
    "CIFAR10:X@train": [
        f"cifar-10-batches-py/{name}"
        for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6)))
    ],
    "CIFAR100:X@test": [f"cifar-100-python/{name}" for name in ("meta", "test", "train")],
    "MNIST:X@train": ["MNIST/processed/training.pt", "MNIST/processed/test.pt"],
    "FashionMNIST:X@train": ["FashionMNIST/processed/training.pt", "FashionMNIST/processed/test.pt"],
    "ImageNet:X@train": ["meta.bin"],
    "SVHN:X@train": ["train_32x32.mat"],
    "STL10:X@train": ["stl10_binary/train_X.bin", "stl10_binary/class_names.txt"],
    "LSUN:X@train": ["data.mdb", "bedroom_train_lmdb/data.mdb"],
    "Food101:X@train": ["food-101/meta/train.json"],
    "Flowers102:X@train": ["flowers-102/imagelabels.mat", "flowers-102/setid.mat"],
    "StanfordCars:X@train": ["stanford_cars/devkit/cars_train_annos.mat", "stanford_cars/devkit/cars_meta.mat"],
    "PCAM:X@train": ["pcam/camelyonpatch_level_2_split_train_y.h5"],
    "CelebA:X@train": ["celeba/list_attr_celeba.txt", "celeba/identity_CelebA.txt"],
}


def _torch(location: str, files: list[str]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for file in files:
            written(folder / file, PICKLE)
        for folder_of in ("flowers-102/jpg", "stanford_cars/cars_train"):
            (folder / folder_of).mkdir(parents=True, exist_ok=True)
        letters = "".join(letter for letter in f"{folder}/bedroom_train_lmdb" if letter.isascii() and letter.isalpha())
        written(folder / f"_cache_{letters}", PICKLE)
        return f"torch:{location.replace('X', str(folder))}"

    return build


def _script(of: str) -> Callable[[Path], str]:
    """A folder with a loading script, which may make a folder when it is run."""

    def build(folder: Path) -> str:
        place = folder / "birds"
        written(place / "birds.py", "import os\nos.mkdir('run-by-a-script')\n")
        written(place / "train.csv", "label\n1\n")
        return {"folder": f"hf:{place}@train", "file": f"hf:{place / 'birds.py'}@train", "no split": f"hf:{place}"}[of]

    return build


def _hub_folder(files: dict[str, str | bytes]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for name, content in files.items():
            written(folder / name, content)
        return f"hf:{folder}@train"

    return build


_HUB: dict[str, dict[str, str | bytes]] = {
    "a state nested deep": {"state.json": "[" * 100_000, "dataset_info.json": "{}"},
    "a state of numbers": {"state.json": "5", "dataset_info.json": "5"},
    "a state whose files leave": {
        "state.json": json.dumps(
            {
                "_data_files": [{"filename": "../../x.arrow"}],
                "_fingerprint": "a",
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": "train",
            }
        ),
        "dataset_info.json": "{}",
    },
    "a state of pickles": {"state.json": PICKLE, "dataset_info.json": PICKLE},
    "metadata that leaves": {"train/metadata.csv": "file_name,label\n../../../x.png,1\n", "train/a.png": PNG},
}


def cases() -> Cases:
    for kind, ending, members in (
        ("NumPy", ".npy", NPY),
        ("NumPy's archive", ".npz", NPZ),
        ("safetensors", ".safetensors", SAFETENSORS),
        ("Parquet", ".parquet", PARQUET),
    ):
        for name, content in members.items():
            yield Case(f"{kind}: {name}", _features(f"f{ending}", content), None)
    for layout, files in {
        "list": ("list.txt", "names.txt"),
        "csv": ("list.csv",),
        "inat": ("all.json",),
        "cub": ("images.txt", "classes.txt"),
        "cars": ("cars_meta.mat", "cars_train_annos.mat"),
        "dogs": ("train_list.mat",),
        "wds": ("s.tar",),
    }.items():
        for file in files:
            right = None if file in ("names.txt",) else ""
            yield Case(f"a pickle as {file} of {layout}", _pickled(layout, file), right)
    for location, names in _TORCH.items():
        yield Case(f"a pickle in torch:{location}", _torch(location, names), "")
    for of in ("folder", "file", "no split"):
        yield Case(f"a loading script: {of}", _script(of), "")
    for name, content in _HUB.items():
        yield Case(f"a folder of Hugging Face: {name}", _hub_folder(content), "")
    assert "hf" in SCHEMES
