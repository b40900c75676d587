"""Feature banks made from arrays, and commands as the shell runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from features.bank import FeatureBank
from transfer.cli import main

TRAIN = "digits:@train?per_class=5"
NETWORK = ["--weights", "none", "--device", "cpu", "--precision", "fp32"]


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


@pytest.fixture
def said(capsys):
    """A function that runs a command with ``--json`` and reads the one document on standard output."""

    def run(*argv: object) -> dict:
        capsys.readouterr()
        status = main([*map(str, argv), "--json"])
        out, err = capsys.readouterr()
        assert status == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def refused(capsys):
    """A function that runs a command that must end with status 2 and one line, and returns the line."""

    def run(*argv: object) -> str:
        capsys.readouterr()
        status = main([*map(str, argv)])
        out, err = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert "Traceback" not in err
        (line,) = err.splitlines()
        assert line.startswith(f"transfer {argv[0]}: error: ")
        return line

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory that the tests below share: banks and runs are made once."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def made_bank(place, said):
    """A function that extracts the bank of a spec, once."""

    def make(name: str, spec: str) -> Path:
        path = place / f"{name}.h5"
        if not path.exists():
            said("extract", spec, "--out", path, "--backbone", "resnet8", *NETWORK)
        return path

    return make


@pytest.fixture
def made_run(place, said) -> Path:
    """A pre-training of two steps, made once."""
    out = place / "pre"
    if not (out / "metrics.json").exists():
        said("pretrain", TRAIN, "--out", out, "--backbone", "resnet8", "--steps", 2, "--batch-size", 16, *NETWORK)
    return out
