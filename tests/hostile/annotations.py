"""Annotation files of which a field has another type, a hostile text, or a number without sense."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, Cases, written
from layouts import PNG

#: What may stand in JSON in the place of what is meant.
VALUES: dict[str, Any] = {
    "null": None,
    "-1": -1,
    "1.5": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "10^30": 10**30,
    "nothing": "",
    "[]": [],
    "[[1]]": [[1]],
    "{}": {},
    "true": True,
    "NUL": "\0",
    "two lines": "a\nb",
    "half a pair": "\ud800",
    "a million characters": "x" * 10**6,
    "an escape sequence": "\x1b[2J",
    "right to left": "\u202egnp.a",
}
_FIELDS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name", "supercategory"),
}
_GOOD: dict[str, list[dict[str, Any]]] = {
    "images": [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}],
    "annotations": [{"image_id": 0, "category_id": 0}, {"image_id": 1, "category_id": 1}],
    "categories": [{"id": 0, "name": "a", "supercategory": "s"}, {"id": 1, "name": "a", "supercategory": "s"}],
}
_DEEP = 100_000
#: Whole files in the place of a JSON file of annotations.
_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "arrays nested 10^5 deep": (lambda: b"[" * _DEEP + b"]" * _DEEP, "no list"),
    "images nested 10^5 deep": (lambda: b'{"images":' + b"[" * _DEEP + b"]" * _DEEP + b"}", "nested"),
    "objects nested 10^5 deep": (lambda: b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, "nested"),
    "annotations nested 10^5 deep": (
        lambda: json.dumps(_GOOD).replace('"s"', "[" * _DEEP + "]" * _DEEP, 1).encode(),
        "nested",
    ),
    "10^5 open brackets": (lambda: b"[" * _DEEP, "no list"),
    "10^7 empty lists": (lambda: b"[" + b"[]," * 10**7 + b"[]]", "no list"),
    "10^7 empty lists as images": (lambda: b'{"images": [' + b"[]," * 10**7 + b"[]]}", "entry 0 of images lacks"),
    "an integer of 5,000 digits": (lambda: json.dumps(_GOOD).replace("1", "9" * 5000, 1).encode(), "JSON"),
    "the beginning alone": (lambda: json.dumps(_GOOD).encode()[:-1], "JSON"),
    "text": (lambda: b"no json", "JSON"),
    "nothing": (lambda: b"", "JSON"),
    "NUL": (lambda: bytes(100), "JSON"),
    "bytes": (lambda: bytes(range(256)), "JSON"),
    "a list": (lambda: b"[]", "no list"),
    "a number": (lambda: b"5", "no list"),
    "a text": (lambda: b'"images"', "no list"),
    "null": (lambda: b"null", "no list"),
    "one key twice": (lambda: b'{"images": [], "images": 5}', "no list"),
    "one list twice": (lambda: b'{"images": [], "images": []}', "given twice"),
    "two objects": (lambda: json.dumps(_GOOD).encode() * 2, "Extra data"),
    "a comma too many": (lambda: b'{"images": [],}', "JSON"),
    "no comma": (lambda: b'{"images": [{"id": 1, "file_name": "a"} {}]}', "JSON"),
    "no colon": (lambda: b'{"images" []}', "JSON"),
    "a key that is none": (lambda: b"{5: []}", "JSON"),
}
#: Other encodings of a good file.
_ENCODED = {
    "a mark of UTF-8": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "Windows line ends": lambda text: text.replace(",", ",\r\n").encode(),
}


def _json(content: Callable[[], bytes]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for image in ("a.png", "b.png"):
            written(folder / image, PNG)
        written(folder / "a.json", content())
        return f"inat:{folder / 'a.json'}"

    return build


def _with(part: str, field: str, value: Any) -> Callable[[], bytes]:
    def content() -> bytes:
        changed = copy.deepcopy(_GOOD)
        changed[part][0][field] = value
        return json.dumps(changed).encode()

    return content


def _labels() -> dict[str, Any]:
    import numpy as np

    return {
        "text": np.array([["a"], ["b"]], dtype=object),
        "NaN": np.array([[np.nan], [1.0]]),
        "infinity": np.array([[np.inf], [1.0]]),
        "a fraction": np.array([[1.5], [1.0]]),
        "0": np.array([[0.0], [1.0]]),
        "10^300": np.array([[1e300], [1.0]]),
        "complex numbers": np.array([[1 + 2j], [1.0]]),
        "three": np.ones((3, 1)),
        "none": np.zeros((0, 0)),
        "a struct": {"a": 1},
        "a matrix": np.ones((2, 2)),
        "truth": np.array([[True], [True]]),
        "2^64 - 1": np.array([[2**64 - 1], [1]], dtype=np.uint64),
        "cells in cells": np.array([[np.array([[1.0]])], [2.0]], dtype=object),
    }


def _matlab(part: str, name: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        import numpy as np
        from scipy.io import savemat

        folder.mkdir(parents=True)
        (folder / "Images").mkdir()
        good = {"file_list": np.array([["n/a.jpg"], ["m/b.jpg"]], dtype=object), "labels": np.array([[1.0], [2.0]])}
        savemat(folder / "train_list.mat", good | {part: _labels()[name]})
        return f"dogs:{folder}@train"

    return build


def element(kind: int, content: bytes) -> bytes:
    """An element of a MATLAB file."""
    return struct.pack("<II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")


def matrix(kind: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"") -> bytes:
    """A matrix of a class of MATLAB: 1 for cells, 2 for structs, 3 for objects, 6 for numbers."""
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(parts))


def _doubles(*values: float) -> bytes:
    return element(9, struct.pack(f"<{len(values)}d", *values))


def _nested(depth: int) -> bytes:
    """Cells in cells; their lengths run from the inside, so each is written once."""
    heads: list[bytes] = []
    size = len(matrix(6, (1, 1), _doubles(1.0)))
    inner = matrix(6, (1, 1), _doubles(1.0))
    own = matrix(1, (1, 1))[8:]
    for level in range(depth):
        first = own if level < depth - 1 else matrix(1, (1, 1), name=b"labels")[8:]
        size_inside = size + len(first)
        heads.append(struct.pack("<II", 14, size_inside) + first)
        size = size_inside + 8
    return b"".join(reversed(heads)) + inner


def _v4(rows: int, columns: int, kind: int = 0) -> bytes:
    """A file of MATLAB 4 with an array of a stated shape and two numbers."""
    return struct.pack("<5i", kind, rows, columns, 0, 7) + b"labels\0" + struct.pack("<2d", 1, 2)


_HEAD = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM"
#: MATLAB files of which a part states more than there is.
_MATLAB_FILES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"no MATLAB file\n" * 99,
    "a head alone": lambda: _HEAD,
    "half a head": lambda: _HEAD[:60],
    "MATLAB 7.3": lambda: b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM",
    "an array of 10^18 numbers": lambda: _HEAD + matrix(6, (10**9, 10**9), _doubles(1, 2), name=b"labels"),
    "an array of 2^31 numbers": lambda: _HEAD + matrix(6, (2**31 - 1, 1), _doubles(1, 2), name=b"labels"),
    "cells of 10^9": lambda: _HEAD + matrix(1, (10**9, 1), name=b"file_list"),
    "cells of -1": lambda: _HEAD + matrix(1, (-1, 1), name=b"file_list"),
    "structs of 10^9": lambda: (
        _HEAD
        + matrix(2, (10**9, 1), element(5, struct.pack("<I", 8)), element(1, b"a".ljust(8, b"\0")), name=b"labels")
    ),
    "a thousand dimensions": lambda: _HEAD + matrix(6, (1,) * 1000, _doubles(1), name=b"labels"),
    "an element of 4 GB": lambda: _HEAD + struct.pack("<II", 14, 2**32 - 1) + bytes(64),
    "numbers of 4 GB": lambda: _HEAD + matrix(6, (2**29, 1), struct.pack("<II", 9, 2**32 - 8), name=b"labels"),
    "cells nested 10^5 deep": lambda: _HEAD + _nested(100_000),
    "compressed cells nested 10^5 deep": lambda: _HEAD + _compressed(_nested(100_000)),
    "a compressed array of 1 GB": lambda: _HEAD + _compressed_zeros(1 << 30),
    "compressed within compressed": lambda: (
        _HEAD + _compressed(_compressed(matrix(6, (1, 1), _doubles(1), name=b"labels")))
    ),
    "an object": lambda: _HEAD + matrix(3, (1, 1), element(1, b"double"), name=b"labels"),
    "a function": lambda: _HEAD + matrix(16, (1, 1), name=b"labels"),
    "an opaque object": lambda: _HEAD + matrix(17, (1, 1), element(1, b"MCOS"), name=b"labels"),
    "an unknown class": lambda: _HEAD + matrix(99, (1, 1), _doubles(1), name=b"labels"),
    "an unknown type": lambda: _HEAD + matrix(6, (1, 1), element(99, bytes(8)), name=b"labels"),
    "an old array of 10^18 numbers": lambda: _v4(10**9, 10**9),
    "an old array of -1 numbers": lambda: _v4(-1, 1),
    "an old sparse array": lambda: _v4(10**9, 3, 2),
}


def _compressed(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(packed)) + packed


def _compressed_zeros(size: int) -> bytes:
    packer = zlib.compressobj(9)
    head = matrix(6, (size // 8, 1), name=b"labels")[8:] + struct.pack("<II", 9, size)
    first = packer.compress(struct.pack("<II", 14, len(head) + size) + head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # one after a full flush may be repeated
    packed = first + block * (size >> 20) + packer.flush()
    return struct.pack("<II", 15, len(packed)) + packed


def _matlab_file(layout: str, content: Callable[[], bytes]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        (folder / "Images").mkdir(parents=True)
        for name in ("train_list.mat", "cars_meta.mat", "cars_train_annos.mat"):
            written(folder / name, content())
        return f"{layout}:{folder}@train"

    return build


def _hundred_thousand(folder: Path) -> str:
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(100_000)],
        "annotations": [{"image_id": i, "category_id": i % 100} for i in range(100_000)],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(100)],
    }
    return f"inat:{written(folder / 'a.json', json.dumps(content))}"


def cases() -> Cases:
    for name, value in VALUES.items():
        for part, fields in _FIELDS.items():
            for field in fields:
                yield Case(f"{name} as {field} of {part}", _json(_with(part, field, value)), None, -1)
    for name, (content, line) in _FILES.items():
        yield Case(f"JSON: {name}", _json(content), line)
    for name, encode in _ENCODED.items():
        good = json.dumps(_GOOD)
        yield Case(f"JSON with {name}", _json(lambda e=encode, g=good: e(g)), {"s/a (0)": 1, "s/a (1)": 1})
    yield Case("JSON of 100,000 images", _hundred_thousand, {f"c{i}": 1000 for i in range(100)}, 64)
    for part in ("labels", "file_list"):
        for name in (
            "text",
            "NaN",
            "infinity",
            "a fraction",
            "0",
            "10^300",
            "complex numbers",
            "three",
            "none",
            "a struct",
            "a matrix",
            "truth",
            "2^64 - 1",
            "cells in cells",
        ):
            yield Case(f"{name} as {part} in MATLAB", _matlab(part, name), None, -1)
    for name, content in _MATLAB_FILES.items():
        yield Case(f"a MATLAB file of dogs: {name}", _matlab_file("dogs", content), "")
        yield Case(f"a MATLAB file of cars: {name}", _matlab_file("cars", content), "")
