"""Dataset specs without an end, without sense, or with folders that lead to themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hostile.archives import sample
from hostile.case import Case, Cases, written
from layouts import PNG

_LONG = "9" * 5000
#: Specs of the folder ``D`` with the classes ``ant`` and ``bee`` of three images each, and what is right.
SPECS: dict[str, dict[str, int] | str | None] = {
    "": "no scheme",
    ":": "no scheme",
    "::::": "no scheme",
    "?": "no scheme",
    "@": "no scheme",
    "\0": "",
    "folder:": "needs a location",
    "folder:\0": "",
    "folder:D\0": "",
    "folder:D\n": "",
    "folder:" + "a" * 5000: "",
    "folder:" + "a/" * 5000: "",
    "folder:D/" + "../" * 2000: "",
    "folder:D" + "@" * 5000: "",
    "folder:D" + "?" * 5000: "",
    "folder:D?" + "&" * 5000: None,
    "folder:D?" + "a=1&" * 5000: "",
    "folder:D?per_class=1" + "&per_class=1" * 5000: "twice",
    f"folder:D?per_class={_LONG}": "",
    f"folder:D?per_class=1&seed={_LONG}": "",
    "folder:D?per_class=-1": "per_class",
    "folder:D?per_class=0": "per_class",
    "folder:D?per_class=1.5": "per_class",
    "folder:D?per_class=1e3": "per_class",
    "folder:D?per_class=nan": "per_class",
    "folder:D?per_class=99999999999999999999": "per_class",
    "folder:D?per_class=1&seed=18446744073709551616": "seed",
    "folder:D?per_class=1&seed=-1": "seed",
    "folder:D?imbalance=nan": "imbalance",
    "folder:D?imbalance=inf": "imbalance",
    "folder:D?imbalance=1e308": "",
    "folder:D?imbalance=0": "imbalance",
    f"folder:D?imbalance={_LONG}": "",
    "folder:D?holdout=nan": "holdout",
    "folder:D?holdout=1e-320": None,
    "folder:D?holdout=0.5&part=\0": "part",
    "folder:D?holdout=0.5&seed=99999999999999999999999": None,
    "folder:D?exclude=D": "not a file",
    "folder:D?exclude=" + "a," * 5000: "",
    "folder:D?exclude=\0": "",
    "folder:D?holdout=0.5&groups=\0": "",
    "folder:D?names=\0": "",
    "folder:D@..": "",
    "folder:D@.": "",
    "folder:D@ant": "",
    "folder:D@\0": "",
    "folder:<s3://a/b": "",
    "folder:<>": "",
    "folder:http://[::1": "",
    "folder:a://b": "",
    "folder:file://D": None,
    "folder:s3://": "",
    "list:D?root=D&names=D": "",
    "images:D?root=D": "root",
    "csv:D": "",
    "cub:D": "",
    "inat:D": "",
    "dogs:D": "",
    "cars:D": "",
    "clusters:D": "",
    "features:D": "",
    "hf:D": "",
    "hf:\0@train": "",
    "hf:" + "a" * 5000 + "@train": "",
    "hf:../../etc@train": "",
    "torch:D": "",
    "torch::D": "",
    "torch:__init__:D": "",
    "torch:os.system:D": "",
    "torch:FakeData:D": "",
    "torch:ImageFolder:\0": "",
    "torch:EuroSAT:D?download=true": "",
    "torch:EuroSAT:D?root=/": "",
    "glyphs:\0": "",
    "glyphs:" + "LATIN," * 5000: None,
    "glyphs:?min_faces=" + _LONG: "",
    "digits:\0": "",
    "digits:@" + "a" * 5000: "",
    "wds:D": "",
    "wds:D/*.tar": {"ant": 1},
    "wds:\0": "",
    "wds:D/s.tar": {"ant": 1},
    "wds:D/{s,s,s}.tar": {"ant": 1},
    "wds:D/w-{0..999999999}.tar": "",
    "wds:D/w-{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}.tar": "",
    "wds:D/{" + "{a,b}" * 60 + "}.tar": "",
    "wds:D/" + "{.,./.}/" * 40 + "s.tar": "shards",
    "wds:D/" + "{" * 5000: "",
    "wds:D/" + "{" * 5000 + "}" * 5000: "",
    "wds:D/" + "{a}" * 5000: "",
    "wds:D/s{" + "," * 2_000_000 + "}.tar": "shards",
    f"wds:D/w-{{0..{_LONG}}}.tar": "",
    f"wds:D/w-{{{_LONG}..{_LONG}}}.tar": "",
    "wds:D/w-{9..0}.tar": "",
    "wds:D/w-{-5..5}.tar": "",
    "wds:D/w-{0..}.tar": "",
    "wds:D/w-{²..³}.tar": "",
    "wds:D/{s.tar": "",
    "wds:D/s}.tar": "",
    "wds:" + "/*" * 60 + "/s.tar": "",
    "wds:D/[": "",
    "wds:D/[!a].tar": {"ant": 1},
    "wds:pipe:cat D/s.tar": "",
    "wds:D/loops/" + "*/" * 30 + "s.tar": "",
    "wds:D/**/**/**/**/**/**/**/s.tar": "",
}


def _spec(text: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        for name in ("ant", "bee"):
            for i in range(3):
                written(folder / "D" / name / f"{i}.png", PNG)
        written(folder / "D" / "s.tar", sample())
        (folder / "D" / "loops").mkdir()
        for name in "ab":
            (folder / "D" / "loops" / name).symlink_to(".")
        os.chdir(folder)
        return text

    return build


#: Links in a folder of classes, (where, target), and the classes that are right: each image once.
LINKS: dict[str, tuple[list[tuple[str, str]], dict[str, int] | None]] = {
    "a class that is its parent": ([("loop", ".")], {"ant": 3, "bee": 3}),
    "a class that is above": ([("loop", "..")], {"ant": 3, "bee": 3}),
    "a class that is the root of the disk": ([("loop", "/")], {"ant": 3, "bee": 3}),
    "a folder that is its class": ([("ant/loop", ".")], {"ant": 3, "bee": 3}),
    "a folder that is all classes": ([("ant/loop", "..")], {"ant": 3, "bee": 3}),
    "two folders that are their class": ([("ant/a", "."), ("ant/b", ".")], {"ant": 3, "bee": 3}),
    "two folders in each other": ([("ant/x/b", "../y"), ("ant/y/a", "../x")], {"ant": 7, "bee": 3}),
    "two folders in each other, twice": (
        [("ant/x/b", "../y"), ("ant/x/c", "../y"), ("ant/y/a", "../x"), ("ant/y/d", "../x")],
        {"ant": 9, "bee": 3},
    ),
    "ten folders in all others": (
        [(f"ant/{i}/{j}", f"../{j}") for i in range(10) for j in range(10) if i != j],
        {"ant": 103, "bee": 3},
    ),
    "ten folders elsewhere in all others": (
        [
            ("ant/all", "../../else/0"),
            *((f"../else/{i}/{j}", f"../{j}") for i in range(10) for j in range(10) if i != j),
        ],
        {"ant": 13, "bee": 3},
    ),
    "a link to itself": ([("ant/loop", "loop")], None),
    "links to each other": ([("ant/a", "b"), ("ant/b", "a")], None),
    "a folder elsewhere": ([("ant/more", "../../else")], {"ant": 4, "bee": 3}),
    "a folder elsewhere, twice": ([("ant/more", "../../else"), ("ant/again", "../../else")], {"ant": 5, "bee": 3}),
}


def _links(links: list[tuple[str, str]]) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        root = folder / "D"
        for name in ("ant", "bee"):
            for i in range(3):
                written(root / name / f"{i}.png", PNG)
        written(folder / "else" / "e.png", PNG) if any(target == "../../else" for _, target in links) else None
        for where, target in links:
            place = root / where
            if not place.parent.is_dir():
                written(place.parent / "i.png", PNG)
            place.symlink_to(target)
        return f"folder:{root}"

    return build


def _deep(folder: Path) -> str:
    written(folder / "ant" / "a.png", PNG)
    here = os.getcwd()
    os.chdir(folder / "ant")
    for _ in range(60):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chdir(here)
    return f"folder:{folder}"


def _chain(n: int, loops: bool) -> Callable[[Path], str]:
    """Files of clusters, each of which has the next one as its base."""

    def build(folder: Path) -> str:
        import json

        written(folder / "f" / "ant" / "a.png", PNG)
        for i in range(n):
            last = f"clusters:{folder}/0.csv" if loops else f"folder:{folder}/f"
            base = f"clusters:{folder}/{i + 1}.csv" if i + 1 < n else last
            head = json.dumps({"dataset": base, "manifest_sha256": "0"})
            written(folder / f"{i}.csv", f"# {head}\nid,cluster\nant/a.png,1\n")
        return f"clusters:{folder}/0.csv"

    return build


def cases() -> Cases:
    for text, right in SPECS.items():
        shown = text if len(text) < 80 else f"{text[:60]}… of {len(text)} characters"
        yield Case(f"the spec {shown!r}", _spec(text), right)
    for name, (links, right) in LINKS.items():
        yield Case(f"class folders with {name}", _links(links), right)
    yield Case("folders too deep for a path", _deep, "cannot be listed")
    for n, loops in ((1, True), (2, True), (50, True), (2_000, False), (2_000, True)):
        yield Case(f"{n} files of clusters in a {'ring' if loops else 'row'}", _chain(n, loops), "")
