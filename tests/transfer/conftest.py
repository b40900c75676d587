"""Feature banks made from arrays, on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from features.bank import FeatureBank


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks are fastest on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def write_bank(tmp_path) -> Callable[..., str]:
    """A function that writes a bank of class means (C, D) and returns its path."""

    def write(name: str, means, *, counts=None, classes=None, **attrs) -> str:
        points = np.asarray(means, dtype=np.float32)
        n_classes, width = points.shape
        common = {"dataset": f"folder:{name}", "backbone": "b", "weights_sha256": "w", "transform": "t"}
        bank = FeatureBank(
            classes=tuple(classes or (f"{name}{i}" for i in range(n_classes))),
            counts=np.asarray([10] * n_classes if counts is None else counts, dtype=np.int64),
            means=points,
            variances=np.ones_like(points),
            within_covariance=np.eye(width, dtype=np.float32),
            attrs=common | {"pooling": "p", "image_size": 32} | attrs,
        )
        path = Path(tmp_path) / f"{name}.h5"
        bank.write(path)
        return str(path)

    return write


@pytest.fixture
def banks(write_bank) -> dict[str, str]:
    """A target, a source near it and a source far from it, in a plane."""
    return {
        "target": write_bank("target", [[0, 0], [0, 2]]),
        "near": write_bank("near", [[0, 1], [1, 1], [0, 4]], counts=[30, 20, 5]),
        "far": write_bank("far", [[50, 1], [60, 1]], counts=[10, 40]),
    }
