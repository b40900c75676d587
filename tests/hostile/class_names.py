"""Class names and ids of every alphabet, and those that pretend to be something else."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from hostile.case import IMAGE_COMMANDS, Case, Cases, written
from layouts import PNG

#: Hostile names, and how each is shown: None if as it is.
NAMES: dict[str, tuple[str, str | None]] = {
    "right to left override": ("\u202etac", "\\u202etac"),
    "left to right override": ("\u202dcat", "\\u202dcat"),
    "embeddings": ("a\u202ab\u202bc\u202c", "a\\u202ab\\u202bc\\u202c"),
    "isolates": ("a\u2066b\u2067c\u2068d\u2069", "a\\u2066b\\u2067c\\u2068d\\u2069"),
    "marks of direction": ("a\u200e\u200f\u061c", "a\\u200e\\u200f\\u061c"),
    "a zero-width space": ("an\u200bt", "an\\u200bt"),
    "a word joiner": ("an\u2060t", "an\\u2060t"),
    "a byte order mark": ("ant\ufeff", "ant\\ufeff"),
    "a joiner in Latin": ("an\u200dt", "an\\u200dt"),
    "a non-joiner in Latin": ("an\u200ct", "an\\u200ct"),
    "a non-joiner in Persian": ("می\u200cخواهم", None),
    "a joiner in Sinhala": ("ශ්\u200dරී", None),
    "a family": ("👩\u200d👩\u200d👧", None),
    "a flag of tags": ("🏴\U000e0067\U000e0062\U000e007f", None),
    "tags behind Latin": ("ant\U000e0061\U000e0062", "ant\\U000e0061\\U000e0062"),
    "a soft hyphen": ("an\u00adt", "an\\xadt"),
    "invisible operators": ("a\u2062b", "a\\u2062b"),
    "annotation marks": ("a\ufff9b\ufffb", "a\\ufff9b\\ufffb"),
    "an escape sequence": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "a window title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "one-byte escapes": ("\x9b31m", "\\x9b31m"),
    "a backspace": ("cat\b\b\bdog", "cat\\x08\\x08\\x08dog"),
    "a carriage return": ("cat\rdog", "cat\\rdog"),
    "a new line": ("cat\nclass,1", "cat\\nclass,1"),
    "a line separator": ("cat\u2028dog", "cat\\u2028dog"),
    "a next line": ("cat\x85dog", "cat\\x85dog"),
    "a form feed": ("cat\x0cdog", "cat\\x0cdog"),
    "DEL": ("cat\x7f", "cat\\x7f"),
    "a formula": ("=1+1", None),
    "a formula with @": ("@SUM(A1)", None),
    "a formula that calls": ("=cmd|'/c calc'!A0", None),
    "mathtext": ("$x^{2$", None),
    "HTML": ("<script>alert(1)</script>", None),
    "HTML in an attribute": ('" onmouseover="alert(1)', None),
    "a template": ("{{7*7}}{% raw %}", None),
    "a format": ("%s%n{0.__class__}", None),
    "rich markup": ("[bold]x[/bold][link=file:///]", None),
    "a shell": ("$(touch x);`id`|&", None),
    "SQL": ("'; DROP TABLE a; --", None),
    "a path": ("a/b\\c", None),
    "a path above": ("../../a", None),
    "quotes": ("'a' \"b\" “c” «d»", None),
    "commas": (",,;,", None),
    "a hash": ("#a", None),
    "the word nan": ("nan", None),
    "the word None": ("None", None),
    "a number": ("1e400", None),
    "an infinite number": ("inf", None),
    "4-byte characters": ("🦉🐦\U0001f9a4", None),
    "characters beyond Unicode 15": ("\U0003ffff", None),
    "private characters": ("\ue000", None),
    "a hundred accents": ("a" + "\u0301" * 100, None),
    "Arabic": ("طائر", None),
    "Hebrew": ("ציפור", None),
    "Devanagari": ("पक्षी", None),
    "Thai": ("นก", None),
    "Chinese": ("鳥類", None),
    "Korean": ("새", None),
    "Georgian": ("ჩიტი", None),
    "ten thousand characters": ("n" * 10_000, None),
    "ten thousand 4-byte characters": ("🦉" * 10_000, None),
}
#: Pairs of names that seem equal, or are: the classes that they give, or a line.
PAIRS: dict[str, tuple[str, str, int | str]] = {
    "normal forms": ("b\u00e9e", "be\u0301e", "two Unicode normalisations"),
    "normal forms of Korean": ("\uac00", "\u1100\u1161", "two Unicode normalisations"),
    "an Angstrom and a ring": ("\u212b", "\u00c5", "two Unicode normalisations"),
    "case": ("Bee", "bee", 2),
    "case of Turkish": ("I\u0307", "i\u0307", 2),
    "sharp s": ("gross", "groß", 2),
    "Latin and Cyrillic": ("cat", "c\u0430t", 2),
    "a ligature": ("fi", "\ufb01", 2),
    "full width": ("cat", "\uff43at", 2),
    "an escape and what it stands for": ("a\x1b", "a\\x1b", "two"),
    "a zero-width space": ("ant", "an\u200bt", 2),
    "a mark of direction": ("ant", "ant\u200f", 2),
}


def _json(names: list[str]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for i in range(2 * len(names)):
            written(folder / f"{i}.png", PNG)
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(2 * len(names))],
            "annotations": [{"image_id": i, "category_id": i // 2} for i in range(2 * len(names))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        }
        return f"inat:{written(folder / 'a.json', json.dumps(content))}"

    return build


def _table(names: list[str]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        file = io.StringIO()
        rows = [(f"{i}.png", names[i // 2]) for i in range(2 * len(names))]
        csv.writer(file).writerows([("image", "label"), *rows])
        for path, _ in rows:
            written(folder / path, PNG)
        return f"csv:{written(folder / 'l.csv', file.getvalue())}"

    return build


def _folders(name: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for image in ("a.png", "b.png"):
            written(folder / "ant" / image, PNG)
            written(folder / name / image, PNG)
        return f"folder:{folder}"

    return build


def _ids(name: str) -> Callable[[Path], str]:
    """Images whose names are hostile, on the disk and in a table."""

    def build(folder: Path) -> str:
        written(folder / "img" / f"x{name}.png", PNG)
        written(folder / "img" / "a.png", PNG)
        file = io.StringIO()
        rows = [("image", "label"), (f"img/x{name}.png", "ant"), ("img/a.png", "ant")]
        csv.writer(file).writerows(rows)
        return f"csv:{written(folder / 'l.csv', file.getvalue())}"

    return build


def _fits(name: str) -> bool:
    """Whether a file may have the name."""
    return 0 < len(name.encode("utf-8", "surrogateescape")) < 240 and not {"/", "\0"} & set(name)


def cases() -> Cases:
    for what, (name, shown) in NAMES.items():
        right = {"ant": 2, name if shown is None else shown: 2}
        if what == "a hundred accents":
            right = {"ant": 2, "\u00e1" + "\u0301" * 99: 2}
        commands = IMAGE_COMMANDS if what == "a new line" else ()
        yield Case(f"{what} as a name in JSON", _json(["ant", name]), right, commands=commands)
        if what not in ("a carriage return", "a next line", "a byte order mark"):
            stripped = {key.strip(): images for key, images in right.items()}
            yield Case(f"{what} as a name in a table", _table(["ant", name]), stripped)
        if _fits(name):
            yield Case(f"{what} as a folder", _folders(name), None if name[0] in ".#" else right)
            yield Case(f"{what} in an id", _ids(name), {"ant": 2}, -1, commands)
    for what, (one, other, right) in PAIRS.items():
        classes = {one: 2, other: 2} if isinstance(right, int) else right
        yield Case(f"two names that differ in {what}", _json([one, other]), None if isinstance(right, int) else classes)
    for what, name in {"nothing": "", "a space": " ", "half a pair": "\ud800"}.items():
        yield Case(f"{what} as a name in JSON", _json(["ant", name]), None)
        yield Case(f"{what} as a name in a table", _table(["ant", name.replace("\ud800", "\udc80")]), None)
