"""A folder in which every command of the toolkit can run within seconds, and the commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

_NETWORK = ("--backbone", "resnet8", "--device", "cpu", "--precision", "fp32", "--workers", "0")
_RANDOM = (*_NETWORK, "--weights", "none")
_TRAINING = ("--steps", "24", "--batch-size", "16")
_CHOICE = ("select", "--target", "birds.h5", "--source", "lake.h5", "--classes", "3")
_HUES = ("red", "orange", "green", "cyan", "blue", "pink", "grey", "white")


@dataclass(frozen=True)
class Job:
    """A command that is disturbed.

    Attributes:
        argv: What is typed behind ``transfer``.
        outputs: The files and folders that it writes.
        reads: Files of the toolkit's formats that it reads, which faults may damage.
    """

    argv: tuple[str, ...]
    outputs: tuple[str, ...]
    reads: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.argv[0]


#: What is made once, in this order, before anything is disturbed.
SETTING = (
    ("extract", "folder:birds", *_RANDOM, "--image-size", "16", "--keep-images", "--out", "birds.h5"),
    ("extract", "folder:lake", *_RANDOM, "--image-size", "16", "--keep-images", "--out", "lake.h5"),
    *(
        ("extract", "folder:lake", *_RANDOM, "--image-size", "16", "--shard", f"{n}/2", "--out", f"shard-{n}.h5")
        for n in (1, 2)
    ),
    (*_CHOICE, "--out", "chosen.csv"),
    ("pretrain", "folder:lake", *_NETWORK, "--image-size", "16", *_TRAINING, "--out", "trained"),
)

JOBS = (
    Job(("extract", "folder:birds", *_RANDOM, "--image-size", "16", "--keep-images", "--out", "new.h5"), ("new.h5",)),
    Job(("merge", "shard-1.h5", "shard-2.h5", "--out", "merged.h5"), ("merged.h5",), ("shard-1.h5",)),
    Job(
        ("rank", "--target", "birds.h5", "--source", "lake.h5", "--explain", "flows.csv", "--json"),
        ("flows.csv",),
        ("birds.h5", "lake.h5"),
    ),
    Job(
        (*_CHOICE, "--curve", "curve.csv", "--out", "subset.csv"),
        ("subset.csv", "curve.csv"),
        ("birds.h5", "lake.h5"),
    ),
    Job(("cluster", "lake.h5", "--clusters", "4", "--out", "groups.h5"), ("groups.h5", "groups.csv"), ("lake.h5",)),
    Job(
        ("duplicates", "lake.h5", "--against", "birds.h5", "--out", "copies.csv", "--clean-bank", "clean.h5"),
        ("copies.csv", "clean.h5"),
        ("lake.h5",),
    ),
    Job(
        ("pretrain", "--subset", "chosen.csv", *_NETWORK, "--image-size", "16", *_TRAINING, "--out", "pre"),
        ("pre",),
        ("chosen.csv",),
    ),
    Job(
        ("finetune", "folder:birds", "--init", "trained", *_NETWORK[2:], *_TRAINING, "--out", "fine"),
        ("fine",),
        ("trained/checkpoints/last.safetensors", "trained/checkpoints/last.json"),
    ),
    Job(
        ("evaluate", "trained", "folder:lake-test", *_NETWORK[2:], "--per-class", "classes.csv"),
        ("classes.csv",),
        ("trained/checkpoints/last.safetensors", "trained/checkpoints/last.json"),
    ),
    Job(
        ("predict", "trained", "birds", *_NETWORK[2:], "--out", "predictions.csv"),
        ("predictions.csv",),
        ("trained/checkpoints/last.safetensors", "trained/checkpoints/last.json"),
    ),
    Job(
        ("export", "trained", "--format", "torch", "--out", "trained.pt2"),
        ("trained.pt2",),
        ("trained/checkpoints/last.safetensors", "trained/config.yaml", "trained/metrics.json"),
    ),
    Job(("export", "birds.h5", "--out", "birds.npz"), ("birds.npz",), ("birds.h5",)),
    Job(
        ("report", "trained", "--out", "page.html"),
        ("page.html",),
        ("trained/config.yaml", "trained/metrics.json", "trained/history.csv", "trained/environment.json"),
    ),
    Job(("run", "recipe.yaml", "--out", "arms"), ("arms",)),
)

_RECIPE = """\
name: arms
target: folder:birds
test: folder:birds-test
sources: ["folder:lake"]
classes: 3
seeds: [0]
extract: {backbone: resnet8, weights: none, image_size: 16, device: cpu, precision: fp32, workers: 0}
arms:
  scratch: {}
  chosen: {strategy: nearest, geometry: euclidean}
pretrain: {backbone: resnet8, image_size: 16, steps: 8, batch_size: 16, device: cpu, precision: fp32, workers: 0}
finetune: {steps: 8, batch_size: 16, device: cpu, precision: fp32, workers: 0}
"""


def paint(folder: Path, seed: int = 0) -> None:
    """Write the images: a target of four classes and a lake of eight, each with test images; and a recipe."""
    rng = np.random.default_rng(seed)
    parts = {"birds": (_HUES[:4], 12), "lake": (_HUES, 12), "birds-test": (_HUES[:4], 3), "lake-test": (_HUES, 3)}
    for part, (names, images) in parts.items():
        for number, name in enumerate(names):
            colour = np.array([255 * (number & bit > 0) for bit in (1, 2, 4)])
            for i in range(images):
                pixels = np.clip(colour + rng.normal(0, 60, size=(20, 20, 3)), 0, 255).astype(np.uint8)
                path = folder / part / name / f"{i:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    (folder / "recipe.yaml").write_text(_RECIPE, encoding="utf-8")
