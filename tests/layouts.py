"""One dataset in the format of each reader, for the battery that runs over all of them."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def encoded(shade: int = 0, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (shade, 20, 30)).save(file, kind)
    return file.getvalue()


PNG = encoded(9)


@dataclass(frozen=True)
class Entry:
    """An image: the position of its class, its name, and what its file holds; None for a file that is not there."""

    label: int
    name: str
    content: bytes | None = PNG


@dataclass(frozen=True)
class Layout:
    """A format: ``write(root, classes, entries)`` returns the spec; ``can`` says which oddities it is able to hold."""

    write: Callable[[Path, Sequence[str], Sequence[Entry]], str]
    can: frozenset[str]


def _put(path: Path, content: bytes | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)


def _text(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode("".join(f"{line}\n" for line in lines)))


def folder(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    for name in classes:
        (root / name).mkdir(parents=True)
    for entry in entries:
        _put(root / classes[entry.label] / entry.name, entry.content)
    return f"folder:{root}"


def split_folder(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    folder(root / "train", classes, entries)
    return f"folder:{root}@train"


def cars_folders(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    folder(root / "train", classes, entries)
    return f"cars:{root}@train"


def list_file(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    for entry in entries:
        _put(root / "img" / entry.name, entry.content)
    _text(root / "list.txt", [f"img/{entry.name} {entry.label}" for entry in entries])
    _text(root / "names.txt", classes)
    return f"list:{root / 'list.txt'}?names={root / 'names.txt'}"


def csv_file(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    for entry in entries:
        _put(root / "img" / entry.name, entry.content)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(
        [("image", "label"), *((f"img/{entry.name}", classes[entry.label]) for entry in entries)]
    )
    _text(root / "list.csv", file.getvalue().splitlines())
    return f"csv:{root / 'list.csv'}"


def coco(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    for entry in entries:
        _put(root / entry.name, entry.content)
    content = {
        "images": [{"id": i, "file_name": entry.name} for i, entry in enumerate(entries)],
        "annotations": [{"image_id": i, "category_id": entry.label} for i, entry in enumerate(entries)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
    }
    _text(root / "all.json", [json.dumps(content)])
    return f"inat:{root / 'all.json'}"


def cub(root: Path, classes: Sequence[str], entries: Sequence[Entry], scheme: str = "cub") -> str:
    for entry in entries:
        _put(root / "images" / entry.name, entry.content)
    (root / "images").mkdir(parents=True, exist_ok=True)
    _text(root / "images.txt", [f"{i} {entry.name}" for i, entry in enumerate(entries)])
    _text(root / "image_class_labels.txt", [f"{i} {entry.label + 1}" for i, entry in enumerate(entries)])
    _text(root / "classes.txt", [f"{i + 1} {name}" for i, name in enumerate(classes)])
    _text(root / "train_test_split.txt", [f"{i} 1" for i in range(len(entries))])
    return f"{scheme}:{root}@train"


def nabirds(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    return cub(root, classes, entries, "nabirds")


def cars(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    (root / "cars_train").mkdir(parents=True)
    rows = np.zeros((1, len(entries)), dtype=[("class", object), ("fname", object)])
    for i, entry in enumerate(entries):
        rows[0, i] = (entry.label + 1, entry.name)
        _put(root / "cars_train" / entry.name, entry.content)
    savemat(root / "cars_meta.mat", {"class_names": np.array(classes, dtype=object).reshape(1, -1)})
    savemat(root / "cars_train_annos.mat", {"annotations": rows})
    return f"cars:{root}@train"


def dogs(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    files = [f"{classes[entry.label]}/{entry.name}" for entry in entries]
    for file, entry in zip(files, entries, strict=True):
        _put(root / "Images" / file, entry.content)
    (root / "Images").mkdir(parents=True, exist_ok=True)
    labels = np.array([[entry.label + 1.0] for entry in entries])
    savemat(root / "train_list.mat", {"file_list": np.array(files, dtype=object).reshape(-1, 1), "labels": labels})
    return f"dogs:{root}@train"


def wds(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "s.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            stem, _, ending = entry.name.partition(".")
            for name, content in (
                (entry.name, entry.content or b""),
                (f"{stem}.cls", os.fsencode(classes[entry.label])),
            ):
                if name.endswith(".cls") and not ending:
                    continue
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return f"wds:{root / 's.tar'}"


def eurosat(root: Path, classes: Sequence[str], entries: Sequence[Entry]) -> str:
    folder(root / "eurosat" / "2750", classes, entries)
    return f"torch:EuroSAT:{root}"


#: A class without an image; an image listed twice; files that are not there; names that are not UTF-8 or not ASCII;
#: files of kinds that are not read; what systems leave behind; folders below a class.
_FOLDERS = frozenset({"empty class", "bytes", "unicode", "punctuation", "heic", "left behind", "deep"})
_LISTS = frozenset({"empty class", "twice", "missing", "bytes", "unicode", "punctuation", "heic", "deep"})
LAYOUTS = {
    "folder": Layout(folder, _FOLDERS),
    "folder@split": Layout(split_folder, _FOLDERS),
    "cars as folders": Layout(cars_folders, _FOLDERS),
    "list": Layout(list_file, _LISTS - {"empty class"}),  # a class is a number on a line of an image
    "csv": Layout(csv_file, _LISTS - {"empty class"}),  # a class is the label of an image
    "inat": Layout(coco, _LISTS),
    "cub": Layout(cub, _LISTS - {"empty class"}),  # classes.txt has the inner nodes of a hierarchy too
    "nabirds": Layout(nabirds, _LISTS - {"empty class"}),
    "cars": Layout(cars, _LISTS - {"bytes", "deep"}),
    "dogs": Layout(dogs, _LISTS - {"bytes", "empty class", "deep", "twice", "punctuation"}),
    "wds": Layout(wds, frozenset({"heic", "left behind", "unicode", "punctuation"})),
    "torch": Layout(eurosat, frozenset({"unicode", "punctuation", "deep"})),
}
