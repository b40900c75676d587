"""Small pictures whose colour is their class, on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from source_folders import FIRST, SECOND

from features import open_dataset
from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.image_sources import ArrayImages
from finetune import PretrainConfig, pretrain

COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (200, 200, 30), (30, 200, 200), (200, 30, 200)]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks are fastest on one thread, and bit for bit repeatable."""
    torch.set_num_threads(1)


def coloured(label: int, images: int, size: int, seed: int) -> np.ndarray:
    """(images, size, size, 3) uint8, noise around the colour of the class."""
    noise = np.random.default_rng([seed, label]).normal(0, 25, (images, size, size, 3))
    return np.clip(COLOURS[label] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def write_folder() -> Callable[..., Path]:
    """A function that writes one folder a class: name → number of its colour."""

    def write(root: Path, classes: Mapping[str, int], *, per_class: int = 6, size: int = 16, seed: int = 0) -> Path:
        for name, colour in classes.items():
            (root / name).mkdir(parents=True)
            for i, pixels in enumerate(coloured(colour, per_class, size, seed)):
                Image.fromarray(pixels).save(root / name / f"{i}.png")
        return root

    return write


@pytest.fixture
def colours() -> Callable[..., ImageDataset]:
    """A function that makes a dataset in memory: counts (C,) → ImageDataset."""

    def make(*counts: int, size: int = 8, seed: int = 0) -> ImageDataset:
        pixels = np.concatenate([coloured(label, n, size, seed) for label, n in enumerate(counts)])
        labels = np.repeat(np.arange(len(counts)), counts)
        ids = [f"{label}/{i}" for i, label in enumerate(labels)]
        names = tuple(f"colour {i}" for i in range(len(counts)))
        return ImageDataset("made:colours", names, labels, ids, ArrayImages(pixels))

    return make


@pytest.fixture(scope="session")
def source_run(tmp_path_factory) -> Path:
    """A run whose backbone has seen some images; read only."""
    out = tmp_path_factory.mktemp("source") / "run"
    options = {"backbone": "resnet8", "steps": 3, "batch_size": 32, "augment": "affine", "lr": 0.02}
    options |= {"device": "cpu", "precision": "fp32", "workers": 0}
    return pretrain(PretrainConfig(sources=["digits:@test?per_class=4&seed=1"], out=str(out), **options)).run


@pytest.fixture(scope="session")
def features_of() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A function that takes features and labels of a dataset image by image: spec, run → (N, D), (N,)."""

    def take(spec: str, run: Path, mirrored: bool = False) -> tuple[np.ndarray, np.ndarray]:
        dataset, backbone = open_dataset(spec), load_backbone(str(run)).eval()
        rows = []
        with torch.inference_mode():
            for i in range(len(dataset)):
                pixels = backbone.preprocessing.pixels(dataset.image(i))[None]
                pixels = pixels.flip(3) if mirrored else pixels
                rows.append(backbone(backbone.preprocessing.normalize(pixels))[0].numpy())
        return np.array(rows), dataset.labels

    return take


@pytest.fixture(scope="session")
def head_of() -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    """A function that reads the linear head of a run: run → weight (C, D), bias (C,)."""

    def read(run: Path) -> tuple[np.ndarray, np.ndarray]:
        head = find_checkpoint(run).state("head.")
        return head["weight"].numpy(), head["bias"].numpy()

    return read


@pytest.fixture
def sources(tmp_path, write_folder, monkeypatch) -> tuple[str, str]:
    """The specs of two folders in the working directory."""
    write_folder(tmp_path / "first", FIRST)
    write_folder(tmp_path / "second", SECOND, per_class=4)
    monkeypatch.chdir(tmp_path)
    return "folder:first", "folder:second"
