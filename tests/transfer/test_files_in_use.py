"""Files as they are used: edited on Windows, with odd names, read-only, without a home, replaced while being read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import Entry

from features import ExtractConfig, FeatureBank, extract, open_dataset
from features.infrastructure.errors import InputError
from features.infrastructure.formats.structured_files import read_yaml
from similarity import Subset
from transfer.recipe import Recipe

CLASSES = ("Åland", "bee")
IMAGES = [Entry(i % 2, f"{'wxyz'[i // 2]} {i % 2}.png", layouts.encoded(i)) for i in range(8)]
FOLDER = [f"{CLASSES[image.label]}/{image.name}" for image in IMAGES]
RECIPE = """
name: birds
target: "folder:D"
test: "folder:D"
sources: ["folder:D"]
seeds: [0]
arms:
  scratch: {}
"""
SUBSET = 'source,class,count,rank,distance,weight,targets\\nfolder:D,"Åland",3,1,0.5,,t\\nfolder:D,bee,3,2,0.75,,t\\n'


def opened(spec):
    dataset = open_dataset(spec)
    return dataset.classes, dataset.labels.tolist(), list(dataset.ids)


def labelled_features():
    np.save("f.npy", np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    bank = extract(ExtractConfig("features:f.npy?label=y.txt", "f.h5", overwrite=True)).bank
    return bank.classes, bank.means.tolist()


def lines(*values):
    return "".join(f"{value}\n" for value in values)


#: Kind of file → the files of text, and what is read of them in the folder that they are in.
TEXTS = {
    "a list": ({"l.txt": lines(*(f"D/{name} {i % 2}" for i, name in enumerate(FOLDER)))}, lambda: opened("list:l.txt")),
    "names of classes": (
        {"l.txt": lines("D/a.png 0", "D/b.png 1"), "n.txt": lines(*CLASSES)},
        lambda: opened("list:l.txt?names=n.txt"),
    ),
    "a table": ({"t.csv": lines("image,label", "a.png,Åland", "b.png,bee")}, lambda: opened("csv:t.csv")),
    "a list of images": ({"i.txt": lines(*(f"D/{name}" for name in FOLDER))}, lambda: opened("images:i.txt")),
    "images that are left out": ({"e.csv": lines("id", *FOLDER[:3])}, lambda: opened("folder:D?exclude=e.csv")),
    "groups": (
        {"g.csv": lines("id,group", *(f"{name},{name[-7] in 'wx'}" for name in FOLDER))},
        lambda: opened("folder:D?holdout=0.5&groups=g.csv"),
    ),
    "annotations": (
        {
            "a.json": json.dumps(
                {
                    "images": [{"id": i, "file_name": name} for i, name in enumerate(FOLDER)],
                    "annotations": [{"image_id": i, "category_id": i % 2} for i in range(8)],
                    "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
                },
                indent=1,
                ensure_ascii=False,
            )
        },
        lambda: opened("inat:a.json?root=D"),
    ),
    "labels of features": ({"y.txt": lines(*(CLASSES[i % 2] for i in range(8)))}, labelled_features),
    "a recipe": ({"r.yaml": RECIPE}, lambda: Recipe.read("r.yaml")),
    "options": ({"c.yaml": lines("out: Å.h5", "dataset: folder:D")}, lambda: read_yaml("c.yaml")),
    "a subset": ({"s.csv": SUBSET.replace("\\n", "\n")}, lambda: Subset.read(Path("s.csv")).rows),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with a folder of images."""
    layouts.folder(tmp_path / "D", CLASSES, IMAGES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_read_alike_with_the_line_ends_and_the_mark_of_windows(kind, place):
    files, read = TEXTS[kind]
    found = []
    for mark, end in (("", "\n"), ("\ufeff", "\r\n"), ("", "\r\n"), ("\ufeff", "\n")):
        for name, text in files.items():
            (place / name).write_bytes((mark + text.replace("\n", end)).encode())
        found.append(read())
    assert found[0] and found[1:] == found[:1] * 3


def test_the_texts_of_cub_are_read_alike_with_the_line_ends_and_the_mark_of_windows(place):
    spec = layouts.cub(place / "CUB", CLASSES, IMAGES)
    plain = opened(spec)
    for path in (place / "CUB").glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert plain[1] and opened(spec) == plain


def read_often(path: str) -> set[str]:
    """What one process reads of a bank that others replace."""
    seen = set()
    for _ in range(15):
        try:
            bank = FeatureBank.open(path)
            features, _, ids = bank.images()
        except InputError as error:
            assert "was changed while it was in use; give the command again" in str(error) and "\n" not in str(error)
            seen.add("changed")
            continue
        value = float(bank.means[0, 0])
        assert (bank.means == value).all() and (features == value).all()
        assert ids == [f"{value:g}/{i}" for i in range(500)] and bank.attrs["split"] == f"{value:g}"
        seen.add(f"{value:g}")
    return seen


def test_processes_that_read_a_bank_while_it_is_replaced_see_one_whole_bank(tmp_path):
    def write(value):
        features = np.full((500, 64), value, np.float32)
        zeros = np.zeros((2, 64), "f4"), np.zeros((64, 64), "f4")
        bank = FeatureBank(("a", "b"), np.array([250, 250]), features[:2], *zeros, {"split": f"{value:g}"})
        bank.write(tmp_path / "bank.h5", (features, np.arange(500) % 2, [f"{value:g}/{i}" for i in range(500)]))

    write(0)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        readers = [pool.submit(read_often, str(tmp_path / "bank.h5")) for _ in range(3)]
        value = 0
        while not all(reader.done() for reader in readers):
            value += 1
            write(value)
        seen = set.union(*(reader.result() for reader in readers))
    assert len(seen - {"changed"}) > 2 and value > 2


#: A process without a home that the system knows, in which the folders that it reads cannot be written.
_GUARDED = """
import os, pwd, sys
def unknown(*_):
    raise KeyError("uid not found")
pwd.getpwuid = unknown
sealed = {sealed!r}
def guard(event, given):
    writes = event in {{"os." + name for name in "mkdir remove rename rmdir chmod utime link symlink".split()}}
    if event == "open" and isinstance(given[2], int):
        writes = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) != 0
    if writes and any(str(one).startswith(sealed) for one in given if isinstance(one, (str, bytes, os.PathLike))):
        raise OSError(30, "Read-only file system", str(given[0]))
sys.addaudithook(guard)
for write in (lambda: open(sealed[0] + "/new", "w"), lambda: os.mkdir(sealed[-1] + "/new"), lambda: pwd.getpwuid(0)):
    try:
        write()
    except (OSError, KeyError):
        continue
    sys.exit("nothing is sealed")
from transfer.cli import main
for command in {commands!r}:
    assert main(command) == 0, command
"""


@pytest.mark.parametrize("home", [None, "read-only"])
def test_a_chain_below_odd_names_from_a_read_only_dataset_without_a_home_to_write_to(tmp_path, home):
    place = tmp_path / "my 🦉 models, v2"
    data = place / "Vögel 🐦 = alle"
    draw = np.random.default_rng(0)
    for label, name in enumerate(("grün specht", "kea 🦜")):
        (data / name).mkdir(parents=True)
        for i in range(6):
            pixels = draw.integers(0, 60, (32, 32, 3)) + 150 * label
            layouts.Image.fromarray(pixels.astype(np.uint8)).save(data / name / f"bild {i} 🪶.png")
    (place / "home").mkdir()
    small = ["--workers", "0", "--precision", "fp32", "--device", "cpu"]
    network = ["--backbone", "resnet8", "--image-size", "32"]
    training = ["--epochs", "1", "--batch-size", "4", *small]
    bank, subset, pre, fine = (str(place / name) for name in ("bank 🗄.h5", "wahl 1.csv", "vor training", "fein 🎯"))
    commands = [
        ["extract", f"folder:{data}", *network, "--weights", "none", *small, "--out", bank],
        ["select", "--target", bank, "--source", bank, "--classes", "2", "--out", subset],
        ["pretrain", "--subset", subset, *network, *training, "--out", pre],
        ["finetune", f"folder:{data}", "--init", pre, "--test", f"folder:{data}", *training, "--out", fine],
        ["predict", fine, f"folder:{data}", *small, "--out", str(place / "ergebnis 🔮.csv")],
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    sealed = [str(data)]
    if home is not None:
        environment["HOME"] = str(place / "home")
        sealed.append(environment["HOME"])
    code = textwrap.dedent(_GUARDED).format(sealed=tuple(sealed), commands=commands)
    work = tmp_path / "arbeit"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    table = (place / "ergebnis 🔮.csv").read_text(encoding="utf-8")
    assert all(f"kea 🦜/bild {i} 🪶.png" in table for i in range(6))
    assert list(work.iterdir()) == [] and list((place / "home").iterdir()) == []
