"""``wds:PATTERN``: tar shards in the WebDataset layout, indexed once and then read in random order.

A sample is the files of one shard whose names agree up to the first dot, such as ``0001.jpg`` and ``0001.cls``. The
standard library reads the index from the tar headers; no other package is needed. A shard in a store is read once from
its first byte to its last for the index, and then by the parts that hold images.
"""

from __future__ import annotations

import glob
import io
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.changes import last_change
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import UnreadableImage, read_image
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tar_files import TAR_ERRORS, is_sparse, open_tar
from features.infrastructure.patterns import TooMany, expand_braces, matching
from features.infrastructure.storage.addresses import Address, Location, is_address
from features.infrastructure.storage.listings import FileState, shared_folder
from features.infrastructure.storage.stores import answer
from features.infrastructure.texts import Texts
from features.readers.checks import check_split, existing_file
from features.readers.class_names import names_in_file, numbered_names, sorted_classes
from features.readers.folders import IMAGE_SUFFIXES, is_left_behind
from features.readers.scheme import Scheme, SpecOption

_IMAGE_ENDINGS = frozenset(suffix[1:] for suffix in IMAGE_SUFFIXES)
_LABEL = "label (.cls, or label in .json)"
#: Bytes of a file that holds a label, at most.
_LONGEST_LABEL = 1 << 20
#: Bytes of a shard in a store that are asked for at once.
_BLOCK = 2**23

Result = TypeVar("Result")


@dataclass(frozen=True)
class TarImages:
    """Images inside uncompressed tar files.

    Attributes:
        shards: Paths or addresses of the tar files.
        shard: (N,) position of each image's tar file in ``shards``.
        offset: (N,) position of the image's first byte in the tar file.
        size: (N,) bytes of the image.
    """

    shards: Sequence[Location]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shard)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        shard, start, size = self.shards[self.shard[index]], int(self.offset[index]), int(self.size[index])
        try:
            if isinstance(shard, Address):
                encoded = shard.read_bytes(start, start + size)
            else:
                with shard.open("rb") as file:
                    file.seek(start)
                    encoded = file.read(size)
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error
        return read_image(io.BytesIO(encoded), min_side)

    def take(self, indices: NDArray[np.int64]) -> TarImages:
        return TarImages(self.shards, self.shard[indices], self.offset[indices], self.size[indices])

    def fingerprint(self) -> bytes:
        return self.size.tobytes()

    def modified(self) -> float:
        return last_change(map(_modified, self.shards))


def _modified(shard: Location) -> float:
    return FileState.of(shard.info() or {}).modified if isinstance(shard, Address) else os.path.getmtime(shard)


def open_shards(spec: DatasetSpec) -> ImageDataset:
    """Read ``wds:PATTERN[?names=FILE][&image=ENDING]``, such as ``wds:data/train-{00..99}.tar`` or ``wds:data/*.tar``.

    The label of a sample is its ``.cls`` file, or ``label`` in its ``.json`` file: an integer, or a class name.
    Integers give the order of the classes, which are called ``class_<label>``, or line ``label`` + 1 of the file of the
    option ``names``. Class names are sorted. Ids are ``shard/key``. The pattern is a path or an address of uncompressed
    tar files with braces (``{0..9}``, ``{a,b}``) and, on the disk, the wildcards ``*`` and ``[…]``. If samples hold
    several images, such as a picture and its mask, the option ``image`` names the ending of the one that counts. Files
    that a system left behind (``._1.jpg``, ``.DS_Store``) are no samples.
    """
    check_split(spec, ())
    shards = _shards(spec)
    names = _names(shards)
    # The samples of a shard are packed before the next is read: as Python objects, all of them would not fit in memory.
    ids: list[Texts] = []
    labels: list[int | str] = []
    met: dict[tuple[type, int | str], int | str] = {}
    where = [np.empty((0, 3), dtype=np.int64)]
    for number, shard in enumerate(shards):
        samples = _index(spec, shard)
        ids.append(Texts.of(f"{names[number]}/{key}" for key, *_ in samples))
        labels += [met.setdefault((type(label), label), label) for _, label, *_ in samples]
        places = [(number, offset, size) for *_, offset, size in samples]
        where.append(np.array(places, dtype=np.int64).reshape(-1, 3))
    shard_of, offsets, sizes = (np.concatenate([part[:, column] for part in where]) for column in range(3))
    del where
    if len(sizes) and isinstance(first := shards[shard_of[0]], Address):
        first.read_bytes(int(offsets[0]), int(offsets[0] + sizes[0]))  # now, not at every image: can parts be read?
    classes, numbers = _classes(spec, labels)
    return ImageDataset(str(spec), classes, numbers, Texts.joined(ids), TarImages(shards, shard_of, offsets, sizes))


def _names(shards: Sequence[Location]) -> list[str]:
    """The paths of the shards below the folder that all of them are in."""
    paths = [str(shard).replace(os.sep, "/") for shard in shards]
    start = shared_folder(paths)
    return [path.removeprefix(start) for path in paths]


def _shards(spec: DatasetSpec) -> list[Location]:
    """The tar files of the pattern, each of which must exist."""
    try:
        return _matching(spec)
    except TooMany as error:
        raise spec.error(f"{error}; name fewer shards") from error


def _matching(spec: DatasetSpec) -> list[Location]:
    if is_address(spec.location):
        if re.search(r"[*\[]", spec.location):
            raise spec.error("an address has no wildcards * and […]; name its shards by braces, such as {0000..0099}")
        words = expand_braces(spec.location)
        return [existing_file(spec, Address(word), "a tar shard") for word in words]
    if spec.location.startswith("pipe:"):
        raise spec.error("shards are read from files and addresses; name the address itself, such as s3://…")
    shards: dict[Location, None] = {}  # each once
    for word in expand_braces(os.path.expanduser(spec.location)):
        found = matching(word) if glob.has_magic(word) else [word]
        if not found:
            raise spec.error(f"no file matches {word}; expected tar shards, such as data/train-{{0000..0099}}.tar")
        for path in found:
            shards[Path(os.path.abspath(existing_file(spec, Path(path), "a tar shard")))] = None
    return list(shards)


def _read(shard: Location, use: Callable[[IO[bytes]], Result]) -> Result:
    """Return what ``use`` makes of the open file of a shard."""
    if isinstance(shard, Address):
        return answer(
            shard.full, lambda store, path: use(store.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))
        )
    with shard.open("rb") as file:
        return use(file)


def _index(spec: DatasetSpec, shard: Location) -> list[tuple[str, int | str, int, int]]:
    """(key, label, offset, size) of each sample of a shard."""
    return _read(shard, lambda file: _samples(spec, shard, file))


def _samples(spec: DatasetSpec, shard: Location, file: IO[bytes]) -> list[tuple[str, int | str, int, int]]:
    """The samples of an open shard, from its headers and its label files."""
    wanted = spec.options.get("image", "").lower()
    images_of: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    label_of: dict[str, int | str] = {}
    contents: dict[str, list[str]] = defaultdict(list)
    try:
        with open_tar(file) as tar:
            for member in tar:
                if not member.isreg() or is_left_behind(member.name):
                    continue
                if is_sparse(member):
                    raise spec.error(f"{shard}: the file {member.name} is sparse; pack it as a plain one")
                folder, _, file_name = member.name.rpartition("/")
                stem, _, ending = file_name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                ending = ending.lower()
                if ending in contents[key]:
                    raise spec.error(f"{shard}: the sample {key} has two files .{ending}")
                contents[key].append(ending)
                if ending == wanted or (not wanted and ending.rpartition(".")[2] in _IMAGE_ENDINGS):
                    images_of[key][ending] = member.offset_data, member.size
                elif ending == "cls" or (ending == "json" and key not in label_of):
                    if member.size > _LONGEST_LABEL:
                        raise spec.error(f"{shard}: {member.name} is too large to hold a label; expected a word in it")
                    content = tar.extractfile(member)
                    label = _label(spec, shard, member.name, content.read() if content else b"", ending)
                    if label is not None:
                        label_of[key] = label
            _refuse_damage(spec, shard, tar, file)
    except InputError:
        raise
    except TAR_ERRORS as error:
        raise spec.error(
            f"{shard} is not an uncompressed, whole tar file ({error}); unpack .gz or copy it anew"
        ) from error
    for key, endings in contents.items():
        if key not in label_of:
            raise spec.error(f"{shard}: the sample {key} has no {_LABEL}; it has .{', .'.join(endings)}")
        found = images_of[key]
        plain = [ending for ending in found if wanted or "." not in ending]  # .seg.png is a mask, or the like
        if not plain:
            what = f"image .{wanted}" if wanted else "image"
            choose = "".join(f"; if .{ending} is one, add ?image={ending}" for ending in list(found)[:1])
            raise spec.error(f"{shard}: the sample {key} has no {what}; it has .{', .'.join(endings)}{choose}")
        if len(found) > 1:
            raise spec.error(
                f"{shard}: the sample {key} has several images (.{', .'.join(found)}); say which with ?image={plain[0]}"
            )
    return [(key, label_of[key], *next(iter(images_of[key].values()))) for key in contents]


def _refuse_damage(spec: DatasetSpec, shard: Location, tar: tarfile.TarFile, file: IO[bytes]) -> None:
    """Raise `InputError` for a damaged header, at which tarfile stops silently; a whole file has only zeros there."""
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise spec.error(f"{shard} is damaged after byte {tar.offset}; copy it anew")


def _label(spec: DatasetSpec, shard: Location, name: str, content: bytes, ending: str) -> int | str | None:
    """The label in a ``.cls`` or ``.json`` file; None if a ``.json`` file has none."""
    try:
        label = json.loads(content).get("label") if ending == "json" else content.decode().strip()
        if isinstance(label, str) and label.isdecimal():
            label = int(label)
        if isinstance(label, int) and label >= 2**63:
            raise ValueError(f"the number {label} is too large")
    except (ValueError, AttributeError, RecursionError) as error:
        raise spec.error(f"{shard}: {name} holds no label: {error}") from error
    if isinstance(label, str):
        return label or None
    if label is None or (isinstance(label, int) and label >= 0):
        return label
    raise spec.error(f"{shard}: {name} has the label {label!r}; expected an integer of at least 0, or a name")


def _classes(spec: DatasetSpec, labels: Sequence[int | str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and the labels as 0 to C − 1."""
    if len({type(label) for label in labels}) > 1:
        raise spec.error("some labels are numbers and some are names; expected one kind")
    if labels and isinstance(labels[0], str):
        if "names" in spec.options:
            raise spec.error("the labels are names already; leave the option names out")
        return sorted_classes([str(label) for label in labels])
    values, numbers = np.unique(np.array(labels, dtype=np.int64), return_inverse=True)
    found = values.tolist()
    return (names_in_file(spec, found) if "names" in spec.options else numbered_names(found)), numbers


WEBDATASET = Scheme(
    "wds",
    "WebDataset tar shards, such as data/train-{0000..0099}.tar",
    "wds:PATTERN",
    open_shards,
    options={
        "names": SpecOption("FILE", "a text file with the name of a class on each line, for labels that are numbers"),
        "image": SpecOption("ENDING", "the ending of the images, such as jpg, where a sample has several"),
    },
    addresses=True,
)
