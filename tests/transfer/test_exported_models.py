"""A classifier of real birds in every format: the figures of the run come back from other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from features import open_dataset
from finetune.model import ImageClassifier

CLASSES = 10
OPTIONS = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def birds(unpack):
    """The photos of ten classes of CUB, one folder a class."""
    inside = tuple(f"CUB_200_2011/images/{i:03d}." for i in range(1, CLASSES + 1))
    return unpack("cub50.tar", lambda name: name.startswith(inside)) / "CUB_200_2011" / "images"


@pytest.fixture
def exported(birds, place, said):
    """A function that gives the run and its export in a format; each is made once."""

    def make(name: str) -> tuple[Path, Path]:
        run, out = place / "run", place / name
        if not run.exists():
            given = ["--init", "efficientnet_lite0", "--method", "linear"]
            said("fit-classifier", f"folder:{birds}?per_class=3", *given, "--out", run, *OPTIONS)
        if not out.exists():
            said("export", run, "--out", out)
        return run, out

    return make


def scores(run: Path, spec: str, other, batch_size: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of the run and of another program for all images of a spec, and the labels."""
    model, _ = ImageClassifier.open(run)
    dataset, recipe = open_dataset(spec), model.eval().backbone.preprocessing
    mine, theirs = [], []
    for start in range(0, len(dataset), batch_size):
        images = [dataset.image(i) for i in range(start, min(start + batch_size, len(dataset)))]
        batch = recipe.normalize(torch.stack([recipe.pixels(image) for image in images]))
        with torch.no_grad():
            mine.append(model(batch).numpy())
            theirs.append(np.asarray(other(batch, images)))
    return np.concatenate(mine), np.concatenate(theirs), dataset.labels


def under_onnx_runtime(path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda batch, _: session.run(["logits"], {"images": batch.numpy()})[0]


def under_timm(path: Path):
    """From the photo on: timm decodes nothing, but resizes, crops and normalises."""
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return lambda _, images: model(torch.stack([transform(image) for image in images]))


def under_pytorch(path: Path):
    program = torch.export.load(path).module()
    return lambda batch, _: program(batch)


PROGRAMS = {"m.onnx": under_onnx_runtime, "m": under_timm, "m.pt2": under_pytorch}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_logits_of_photos_are_those_of_the_run(exported, birds, name):
    run, out = exported(name)
    mine, theirs, _ = scores(run, f"folder:{birds}?per_class=1&seed=7", PROGRAMS[name](out))
    np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_top_1_of_300_photos_is_that_of_the_run(exported, birds, name, said):
    run, out = exported(name)
    spec = f"folder:{birds}?per_class=30&seed=7"
    mine, theirs, labels = scores(run, spec, PROGRAMS[name](out))
    assert len(labels) == 300
    np.testing.assert_array_equal(theirs.argmax(axis=1), mine.argmax(axis=1))
    np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-4)
    top1 = said("evaluate", run, spec, *OPTIONS)["top1"]
    assert top1 == pytest.approx((theirs.argmax(axis=1) == labels).mean(), abs=1e-9) and top1 > 0.8
