"""FIFOs, sockets, devices, folders and links where a file of a dataset is expected."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from hostile.case import IMAGE_COMMANDS, Case, Cases, written
from layouts import LAYOUTS, PNG, Entry

#: What stands in the place of a file.
KINDS: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/stdin": lambda path: path.symlink_to("/dev/tty"),
    "a folder": Path.mkdir,
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
#: An image of each layout that can hold one that is not there.
IMAGES = {
    "folder": "ant/e.png",
    "folder@split": "train/ant/e.png",
    "cars as folders": "train/ant/e.png",
    "list": "img/e.png",
    "csv": "img/e.png",
    "inat": "e.png",
    "cub": "images/e.png",
    "nabirds": "images/e.png",
    "cars": "cars_train/e.png",
    "dogs": "Images/ant/e.png",
}
#: The files of labels of each layout.
LABELS = {
    "list": ("list.txt", "names.txt"),
    "csv": ("list.csv",),
    "inat": ("all.json",),
    "cub": ("images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt"),
    "cars": ("cars_meta.mat", "cars_train_annos.mat"),
    "dogs": ("train_list.mat",),
    "wds": ("s.tar",),
}
#: Specs of one special file X, beside the class folder ``f/ant`` with an image.
OTHERS = (
    "images:X.jpg",
    "images:X.txt",
    "images:X.txt.gz",
    "list:X.txt",
    "list:X.txt.gz",
    "csv:X.csv",
    "inat:X.json",
    "clusters:X.csv",
    "wds:X.tar",
    "features:X.npy",
    "features:X.npz",
    "features:X.parquet",
    "features:X.safetensors",
    "features:X.h5",
    "folder:f?exclude=X.csv",
    "folder:f?holdout=0.5&groups=X.csv",
    "folder:f?names=../X.txt",
    "list:l.txt?root=X.d",
    "features:y.npy?label=X.txt",
    "features:y.npy?label=X.npy",
)
#: Endings of a special file that is given without a scheme.
ENDINGS = (".jpg", ".txt", ".csv", ".json", ".h5", ".npy", ".tar", ".ckpt", "")
#: Those that a folder may have, or a link that may be one's own file later.
_MAY_BE = {("a folder", ending) for ending in ENDINGS} | {("a folder", other) for other in OTHERS}


def _image(layout: str, kind: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        entries = [Entry(0, "a.png"), Entry(0, "b.png"), Entry(0, "e.png", None)]
        spec = LAYOUTS[layout].write(folder, ("ant",), entries)
        KINDS[kind](folder / IMAGES[layout])
        return spec

    return build


def _labels(layout: str, file: str, kind: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        spec = LAYOUTS[layout].write(folder, ("ant",), [Entry(0, "a.png"), Entry(0, "b.png")])
        (folder / file).unlink()
        KINDS[kind](folder / file)
        return spec

    return build


def _other(spec: str, kind: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        import numpy as np

        for image in "ab":
            written(folder / "f" / "ant" / f"{image}.png", PNG)
        written(folder / "l.txt", "a.png 0\n")
        np.save(folder / "y.npy", np.ones((3, 2), dtype=np.float32))
        word = next(word for word in spec.replace("=", ":").replace("?", ":").split(":") if "X" in word)
        KINDS[kind](folder / Path(word).name)
        os.chdir(folder)
        return spec

    return build


def _alone(ending: str, kind: str) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        folder.mkdir()
        KINDS[kind](folder / f"x{ending}")
        return str(folder / f"x{ending}")

    return build


def cases() -> Cases:
    for kind in KINDS:
        for layout in IMAGES:
            commands = IMAGE_COMMANDS if (layout, kind) == ("folder", "a FIFO") else ()
            yield Case(f"{kind} as an image of {layout}", _image(layout, kind), {"ant": 3}, 1, commands)
        for layout, files in LABELS.items():
            for file in files:
                yield Case(f"{kind} as {file} of {layout}", _labels(layout, file, kind), "")
        for spec in OTHERS:
            if (kind, spec) != ("a folder", "list:l.txt?root=X.d"):
                yield Case(f"{kind} as X in {spec}", _other(spec, kind), "")
        for ending in ENDINGS:
            yield Case(f"{kind} called x{ending}, without a scheme", _alone(ending, kind), "")
