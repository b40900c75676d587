"""Lists of images and labels, and files of names: encodings, line ends, numbers, lengths and paths."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from hostile.case import Case, Cases, written
from layouts import LAYOUTS, PNG, Entry

#: What a list of two images may hold instead of "a.png 0\nb.png 1\n", and the classes that it has then.
LINES: dict[str, tuple[bytes, dict[str, int] | str | None]] = {
    "Windows line ends": (b"a.png 0\r\nb.png 1\r\n", {"class_0": 1, "class_1": 1}),
    "line ends of old Macs": (b"a.png 0\rb.png 1\r", {"class_0": 1, "class_1": 1}),
    "mixed line ends": (b"a.png 0\n\r\nb.png 1\r", {"class_0": 1, "class_1": 1}),
    "no line end": (b"a.png 0\nb.png 1", {"class_0": 1, "class_1": 1}),
    "a mark of UTF-8": (b"\xef\xbb\xbfa.png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
    "UTF-16": ("a.png 0\nb.png 1\n".encode("utf-16"), "UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + "a.png 0\nb.png 1\n".encode("utf-16-be"), "UTF-16"),
    "UTF-16 without a mark": ("a.png 0\nb.png 1\n".encode("utf-16-le"), "text"),
    "UTF-32": ("a.png 0\nb.png 1\n".encode("utf-32"), "UTF-16"),
    "blank lines": (b"\n\n a.png 0\n \t \nb.png 1\n\n", {"class_0": 1, "class_1": 1}),
    "tabs": (b"a.png\t0\nb.png\t1\n", {"class_0": 1, "class_1": 1}),
    "NUL": (b"a.png 0\0\nb.png 1\n", "text"),
    "NUL in a path": (b"a\0.png 0\nb.png 1\n", "text"),
    "bytes": (bytes(range(1, 256)) * 4, ""),
    "nothing": (b"", "empty"),
    "white space alone": (b" \n\t\n", "empty"),
    "labels alone": (b"0\n1\n", "is not"),
    "paths alone": (b"a.png\nb.png\n", "is not"),
    "a label of 5,000 digits": (b"a.png " + b"9" * 5000 + b"\nb.png 1\n", "the label"),
    "a label of 19 digits": (b"a.png 9999999999999999999\nb.png 1\n", "the label"),
    "the label 2^53": (b"a.png 9007199254740992\nb.png 1\n", {"class_1": 1, "class_9007199254740992": 1}),
    "a label below 0": (b"a.png -1\nb.png 1\n", "the label"),
    "a label with a sign": (b"a.png +1\nb.png 1\n", "the label"),
    "a label with a point": (b"a.png 1.0\nb.png 1\n", "the label"),
    "a label with an exponent": (b"a.png 1e3\nb.png 1\n", "the label"),
    "a hexadecimal label": (b"a.png 0x1\nb.png 1\n", "the label"),
    "a label of nan": (b"a.png nan\nb.png 1\n", "the label"),
    "a label with underscores": (b"a.png 1_0\nb.png 1\n", "the label"),
    "a raised label": ("a.png ²\nb.png 1\n".encode(), "the label"),
    "Arabic digits": ("a.png ٣\nb.png 1\n".encode(), {"class_1": 1, "class_3": 1}),
    "leading zeros": (b"a.png 00\nb.png 01\n", {"class_0": 1, "class_1": 1}),
    "two labels": (b"a.png 0 1\nb.png 1\n", ""),
    "an image in two classes": (b"a.png 0\na.png 1\n", "two classes"),
    "an image listed a thousand times": (b"a.png 0\n" * 1000 + b"b.png 1\n", {"class_0": 1, "class_1": 1}),
    "a line of 100,000 characters": (b"a" * 100_000 + b" 0\n", {"class_0": 1}),
    "a line of 20 MB": (b"a.png 0" * 3_000_000, "longer"),
    "a path of 5,000 characters": (b"a" * 5000 + b".png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
    "a URL": (b"https://127.0.0.1/a.png 0\nb.png 1\n", None),
    "a path from ~": (b"~/a.png 0\nb.png 1\n", None),
    "backslashes": (b"x\\a.png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
    "a comma in place of a space": (b"a.png,0\nb.png,1\n", "is not"),
    "a line separator of Unicode": ("a\u2028c.png 0\nb.png 1\n".encode(), {"class_0": 1, "class_1": 1}),
    "a next-line character": ("a\x85c.png 0\nb.png 1\n".encode(), {"class_0": 1, "class_1": 1}),
    "a vertical tab": (b"a\x0bc.png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
    "an escape sequence": (b"\x1b[2Ja.png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
    "lone bytes": (b"\xff\xfe\x80.png 0\nb.png 1\n".replace(b"\xff\xfe", b"\x80"), {"class_0": 1, "class_1": 1}),
    "a surrogate in UTF-8": (b"\xed\xa0\x80.png 0\nb.png 1\n", {"class_0": 1, "class_1": 1}),
}
#: What a compressed list may hold, and whether that is a list of two classes.
COMPRESSED: dict[str, tuple[Callable[[], bytes], dict[str, int] | str]] = {
    "a line of 1 GB": (lambda: _gzip_of(b"a" * (1 << 20), 1 << 10), "times"),
    "a million million zeros": (lambda: _gzip_of(bytes(1 << 20), 1 << 10), ""),
    "a hundred million short lines": (lambda: _gzip_of(b"a 0\n" * (1 << 18), 400), "times"),
    "half of it": (lambda: gzip.compress(b"a.png 0\nb.png 1\n" * 99)[:-20], "cannot be read"),
    "no gzip": (lambda: b"a.png 0\nb.png 1\n", "cannot be read"),
    "another checksum": (lambda: gzip.compress(b"a.png 0\nb.png 1\n")[:-8] + bytes(8), "cannot be read"),
    "two parts": (lambda: gzip.compress(b"a.png 0\n") + gzip.compress(b"b.png 1\n"), {"class_0": 1, "class_1": 1}),
    "gzip within gzip": (lambda: gzip.compress(gzip.compress(b"a.png 0\n")), ""),
    "zeros behind it": (lambda: gzip.compress(b"a.png 0\nb.png 1\n") + bytes(99), {"class_0": 1, "class_1": 1}),
    "text behind it": (lambda: gzip.compress(b"a.png 0\nb.png 1\n") + b"more", "cannot be read"),
}
#: Paths that leave the folder that they start from.
LEAVING = (
    "../x.png",
    "a/../../x.png",
    "./../x.png",
    "/x.png",
    "//x.png",
    "a/b/../../../x.png",
    "..",
    "../given2/x.png",
)
#: Layouts of which paths stand in a file.
LISTING = ("list", "csv", "inat", "cub", "nabirds", "cars", "dogs")


def _gzip_of(block: bytes, times: int) -> bytes:
    """The gzip of a block that is repeated; parts of a gzip file are one text."""
    return gzip.compress(block, 9) * times


def _list(content: Callable[[], bytes], name: str = "l.txt") -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for image in ("a.png", "b.png"):
            written(folder / image, PNG)
        written(folder / name, content())
        return f"list:{folder / name}"

    return build


def _leaving(layout: str, path: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        spec = LAYOUTS[layout].write(folder / "given", ("ant",), [Entry(0, "a.png"), Entry(0, "PLACE.png", None)])
        written(folder / "x.png", PNG)
        above = {"list": "../", "csv": "../", "dogs": "../", "cars": "../"}.get(layout, "")  # below img/, Images/ant/
        inserted = path if path.startswith("/") else above + path
        for file in (folder / "given").rglob("*.*"):
            if file.suffix in (".txt", ".csv", ".json"):
                text = file.read_text()
                for before in ("img/PLACE.png", "PLACE.png"):
                    text = text.replace(before, inserted.removeprefix("../") if before[0] == "i" else inserted)
                file.write_text(text)
        if layout in ("cars", "dogs"):
            _mat(folder / "given", layout, path)
        return spec

    return build


def _mat(root: Path, layout: str, path: str) -> None:
    import numpy as np
    from scipy.io import savemat

    if layout == "dogs":
        names = np.array(["n/a.png", path], dtype=object).reshape(-1, 1)
        savemat(root / "train_list.mat", {"file_list": names, "labels": np.array([[1.0], [1.0]])})
        return
    rows = np.zeros((1, 2), dtype=[("class", object), ("fname", object)])
    rows[0, 0], rows[0, 1] = (1, "a.png"), (1, path if path.startswith("/") else f"../{path}")
    savemat(root / "cars_train_annos.mat", {"annotations": rows})


def _many(n: int) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        lines = "".join(f"images/{i % 1000:03d}/{i:07d}.png {i % 1000}\n" for i in range(n))
        written(folder / "l.txt", lines)
        return f"list:{folder / 'l.txt'}"

    return build


def _many_classes(n: int) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        written(folder / "l.csv", "image,label\n" + "".join(f"{i}.png,class {i}\n" for i in range(n)))
        return f"csv:{folder / 'l.csv'}"

    return build


def _one_long_name(folder: Path) -> str:
    rows = "".join(f"{i}.png,{'long' * 2_500 if i == 7 else 'ant'}\n" for i in range(200_000))
    written(folder / "l.csv", f"image,label\n{rows}")
    return f"csv:{folder / 'l.csv'}"


def _names(content: bytes) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        spec = _list(lambda: b"a.png 0\nb.png 1\n")(folder)
        written(folder / "n.txt", content)
        return f"{spec}?names={folder / 'n.txt'}"

    return build


def cases() -> Cases:
    for name, (content, right) in LINES.items():
        if isinstance(right, dict):
            right = dict(right)
        yield Case(f"a list with {name}", _list(lambda c=content: c), right, -1)
        yield Case(f"a file of names with {name}", _names(content), None, -1)
    for name, (content, right) in COMPRESSED.items():
        yield Case(f"a compressed list with {name}", _list(content, "l.txt.gz"), right, -1)
    for layout in LISTING:
        for path in LEAVING:
            yield Case(f"the path {path} in {layout}", _leaving(layout, path), "leaves")
    million = {f"{i:03d}": 1000 for i in range(1000)}
    yield Case("a list of a million lines", _many(10**6), million, -1)
    yield Case("a table of 300,000 classes", _many_classes(300_000), {f"class {i}": 1 for i in range(300_000)}, 64)
    yield Case("a table of 200,000 rows and a long name", _one_long_name, {"ant": 199_999, "long" * 2_500: 1}, 64)
