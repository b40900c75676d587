"""What the tests of extraction share: two small datasets, and settings that take seconds on a CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from pictures import COLOURS, PER_CLASS, draw
from PIL import Image

from features import ExtractConfig, extract
from features.class_statistics import ClassStatistics

SCRIPT = """
import json, sys
from features import ExtractConfig, InputError, extract
from features.infrastructure.processes import rank

options = json.loads(sys.argv[1])
try:
    print(json.dumps(extract(ExtractConfig(**options)).to_json()) if rank() == 0 else extract(ExtractConfig(**options)))
except InputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.fixture
def folder(tmp_path):
    for name in COLOURS:
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(PER_CLASS):
            draw(name, i).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def config():
    """A function that makes the configuration for class folders, with further options."""

    def make(images, out=None, **options):
        defaults = {
            "dataset": f"folder:{images}",
            "out": str(out or images.parent / "bank.h5"),
            "backbone": "resnet8",
            "weights": "none",
            "workers": 0,
            "device": "cpu",
            "precision": "fp32",
            "batch_size": 5,
        }
        return ExtractConfig(**{**defaults, **options})

    return make


@pytest.fixture(scope="session")
def checkpointed(config):
    """The same with batches of 4, each followed by a checkpoint, and with the features of the images."""
    defaults = {"batch_size": 4, "keep_images": True, "checkpoint_seconds": 0}
    return lambda images, out, **options: config(images, out, **{**defaults, **options})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six class folders of 20 images of noise, one of them damaged."""
    root = tmp_path_factory.mktemp("photos") / "data"
    generator = np.random.default_rng(0)
    for label in range(6):
        (root / f"class{label}").mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 40 * (label + 1), (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"class{label}" / f"{i:02}.png")
    (root / "class2" / "07.png").write_bytes(b"damaged")
    return root


@pytest.fixture(scope="module")
def whole(checkpointed, photos, tmp_path_factory):
    """The bank of an extraction that was not interrupted."""
    return extract(checkpointed(photos, tmp_path_factory.mktemp("whole") / "bank.h5")).bank


class Stop(Exception):
    pass


@pytest.fixture
def interrupted(monkeypatch):
    """A function that runs an extraction and interrupts it after some batches."""

    def run(settings, after):
        seen = []

        def add(statistics, *arguments, original=ClassStatistics.add):
            if len(seen) == after:
                raise Stop
            seen.append(1)
            original(statistics, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr("features.class_statistics.ClassStatistics.add", add)
            with pytest.raises(Stop):
                extract(settings)

    return run


@pytest.fixture
def two_processes(tmp_path):
    """A function that extracts with settings in two processes of torchrun; it returns the status and what they said."""

    def run(settings):
        (tmp_path / "job.py").write_text(SCRIPT)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*launcher, str(tmp_path / "job.py"), json.dumps(vars(settings))]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    return run
