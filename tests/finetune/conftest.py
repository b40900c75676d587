"""Small pictures whose colour is their class, on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from features.dataset import ImageDataset
from features.image_sources import ArrayImages

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
