"""How far does one machine go: copies, clusters and a choice among ten million images, by features of 128 numbers?

    python benchmarks/large_lake.py                        # the steps that are not measured yet, then the table
    python benchmarks/large_lake.py --images 100000        # of one size alone

The lake is a file of drawn features (float16, .npy): 2,000 classes around centres of 24 dimensions, with variances
within a class that fall as j^-0.6. One image of a thousand is a planted copy of another one: the same features, the
features times 0.5 to 2, or the features and noise of 0.3 standard deviations. A target of 50 of the classes has 2,500
images, 500 of which stand in the lake too, with that noise.

Steps, each one command in a process of its own, with the peak of that process's resident memory (VmHWM):

1. transfer extract features:LAKE.npy --keep-images
2. transfer duplicates LAKE.h5: copies inside the lake. The recall is the share of planted copies that are listed,
   a false alarm an image that is listed and was not planted.
3. transfer duplicates LAKE.h5 --against TARGET.h5
4. transfer cluster LAKE.h5 (4,096 clusters for 102,400 images and more)
5. transfer select --target TARGET.h5 --source CLUSTERS.h5 --images 10000

Expected on 2 quiet cores: less than an hour and 4 GiB for ten million images; 16 GB of disk.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recording import RESULTS, WORK, append_row, read_table, record, run_transfer, sized

SIZES: tuple[int, ...] = sized((100_000, 1_000_000, 10_000_000), (40_000,))
WIDTH, CLASSES, CENTRES, SEED = 128, 2_000, 24, 0
TARGET_CLASSES, TARGET_IMAGES, IN_LAKE = 50, 2_500, 500
KINDS, NOISE = ("same", "scaled", "noisy"), 0.3
HERE = WORK / "large-lake"
TABLE = RESULTS / "large_lake" / "steps.csv"
#: Rows that are drawn at a time.
BLOCK = 100_000


@dataclass(frozen=True)
class Step:
    """A command, the file that it writes, and the files of other steps that it reads."""

    arguments: tuple[str, ...]
    out: str
    reads: tuple[str, ...] = ()


_LAKE = "features:lake.npy?label=none&model=drawn"
_TARGET = "features:target.npy?label=target-labels.npy&model=drawn"
STEPS = {
    "extract": Step(("extract", _LAKE, "--keep-images"), "lake.h5"),
    "target": Step(("extract", _TARGET, "--keep-images"), "target.h5"),
    "duplicates": Step(("duplicates", "lake.h5"), "inside.csv", ("lake.h5",)),
    "duplicates --against": Step(
        ("duplicates", "lake.h5", "--against", "target.h5"), "against.csv", ("lake.h5", "target.h5")
    ),
    "cluster": Step(("cluster", "lake.h5"), "clusters.h5", ("lake.h5",)),
    "select": Step(
        ("select", "--target", "target.h5", "--source", "clusters.h5", "--images", "10000"),
        "subset.csv",
        ("target.h5", "clusters.h5"),
    ),
}


class Drawn:
    """The distribution of the features of a lake."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(SEED)
        turn, _ = np.linalg.qr(self.rng.standard_normal((WIDTH, WIDTH)))
        self.centres = (2 * self.rng.standard_normal((CLASSES, CENTRES)) @ turn[:CENTRES]).astype(np.float32)
        self.within = (turn * (1 + np.arange(WIDTH)) ** -0.3).astype(np.float32)

    def images(self, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, D) features of images of these classes."""
        return self.centres[labels] + self.noise(len(labels))

    def noise(self, images: int) -> NDArray[np.float32]:
        """(N, D) deviations within a class."""
        return self.rng.standard_normal((images, WIDTH), dtype=np.float32) @ self.within.T


def make(images: int, folder: Path) -> tuple[dict[int, str], set[int]]:
    """Write the lake and the target unless they exist.

    Return the kind of each planted copy, and the rows of the target's images.
    """
    drawn = Drawn()
    folder.mkdir(parents=True, exist_ok=True)
    labels = drawn.rng.integers(0, TARGET_CLASSES, TARGET_IMAGES)
    target = drawn.images(labels)
    planted = images // 1000
    first = np.sort(drawn.rng.choice(images // 2, planted, replace=False))
    copies = images // 2 + drawn.rng.choice(images // 2, planted + IN_LAKE, replace=False)
    kinds = {int(copy): KINDS[i % len(KINDS)] for i, copy in enumerate(copies[:planted])}
    if not (folder / "finished").is_file():
        np.save(folder / "target.npy", target)
        np.save(folder / "target-labels.npy", labels)
        lake = np.lib.format.open_memmap(folder / "lake.npy", "w+", np.float16, (images, WIDTH))
        for start in range(0, images, BLOCK):
            of_block = drawn.rng.integers(0, CLASSES, min(BLOCK, images - start))
            lake[start : start + BLOCK] = drawn.images(of_block)
        originals = lake[first].astype(np.float32)
        kind = np.arange(planted) % len(KINDS)
        originals *= np.where(kind == 1, drawn.rng.uniform(0.5, 2, planted), 1)[:, None]
        originals += np.where(kind == 2, NOISE, 0)[:, None] * drawn.noise(planted)
        lake[copies[:planted]] = originals
        lake[copies[planted:]] = target[:IN_LAKE] + NOISE * drawn.noise(IN_LAKE)
        lake.flush()
        (folder / "finished").touch()
    return kinds, set(copies[planted:].tolist())


def listed(table: Path) -> set[int]:
    """The rows that a list of copies names."""
    with table.open(newline="", encoding="utf-8") as file:
        return {int(row["id"]) for row in csv.DictReader(line for line in file if not line.startswith("#"))}


def figures_of_copies(found: set[int], kinds: dict[int, str]) -> dict[str, str]:
    """Recall of each kind, and false alarms."""
    recall = {}
    for kind in dict.fromkeys(kinds.values()):
        copies = {place for place, of in kinds.items() if of == kind}
        recall[kind] = len(found & copies) / len(copies)
    alarms = len(found - kinds.keys())
    return {"recall": " ".join(f"{kind} {share:.4f}" for kind, share in recall.items()), "false_alarms": str(alarms)}


def to_do(measured: Collection[str], folder: Path) -> list[str]:
    """The steps that are not measured, and those whose output these need and that is not in the folder, in order."""
    chosen: list[str] = []
    needed: set[str] = set()
    for name, step in reversed(STEPS.items()):
        if name not in measured or (step.out in needed and not (folder / step.out).is_file()):
            chosen.insert(0, name)
            needed.update(step.reads)
    return chosen


def measured_of(images: int) -> set[str]:
    """The steps of a size that are in the table."""
    return {row["step"] for row in read_table(TABLE) if row["images"] == str(images)}


def measure(images: int) -> None:
    """Do every step of a size that is not in the table, and add what it took."""
    folder, measured = HERE / str(images), measured_of(images)
    kinds, of_target = make(images, folder)
    for name in to_do(measured, folder):
        step = STEPS[name]
        run = run_transfer(*step.arguments, "--out", step.out, "--overwrite", folder=folder)
        if name in measured:
            continue
        row = {"images": str(images), "step": name, "seconds": f"{run.seconds:.1f}"}
        row |= {"cpu_seconds": f"{run.cpu_seconds:.1f}", "peak_gib": f"{run.peak_gib:.3f}"}
        row |= {"recall": "", "false_alarms": ""}
        if name == "duplicates":
            row |= figures_of_copies(listed(folder / step.out), kinds)
        elif name == "duplicates --against":
            row |= figures_of_copies(listed(folder / step.out), dict.fromkeys(of_target, "noisy"))
        append_row(TABLE, row)
        print(*row.values(), flush=True)
    shutil.rmtree(folder)


def main() -> None:
    """Measure what is missing, then write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    for images in parser.parse_args().images:
        if to_do(measured_of(images), HERE / str(images)):
            measure(images)
    rows = read_table(TABLE)
    total = {size: sum(float(row["seconds"]) for row in rows if row["images"] == str(size)) for size in SIZES}
    content = {
        "command": "python benchmarks/large_lake.py",
        "seed": SEED,
        "features": {"width": WIDTH, "classes": CLASSES, "centres": CENTRES, "noise": NOISE, "kinds": KINDS},
        "cores": os.cpu_count(),
        "steps": rows,
        "seconds_of_all_steps": {str(size): round(seconds, 1) for size, seconds in total.items()},
    }
    record(RESULTS / "large_lake.json", content, "faiss-cpu", "h5py")


if __name__ == "__main__":
    main()
