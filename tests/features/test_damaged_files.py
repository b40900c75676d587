"""Damage to any byte of a bank, a shard or a checkpoint is an error or makes no difference; it never hangs a reader.

Every batch of damaged files is read by one process, which ends if that takes too long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from disturbing.mutations import mutations

from features.bank import FeatureBank
from features.extraction.shard import Shard
from features.infrastructure.errors import InputError

CLASSES = tuple(f"class {number} ä" for number in range(20))
ATTRS = {
    **{"dataset": "folder:birds@train", "split": "train", "backbone": "resnet50", "weights_sha256": "ab" * 32},
    **{"image_size": 224, "transform": "resize 256", "pooling": "avg", "precision": "fp32", "manifest_sha256": "cd"},
    "created": "2024-01-01T00:00:00+00:00",
}
#: Seconds for a batch of files: many times what a batch takes.
LIMIT = 120


def write(path: Path, kind: str) -> None:
    """Write a small file of a kind."""
    import torch

    from features.class_statistics import ClassStatistics

    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 5)).astype(np.float32)
    labels = np.arange(60) % len(CLASSES)
    images = features, labels, [f"images/{number}.jpg" for number in range(60)]
    statistics = ClassStatistics(len(CLASSES), 5)
    statistics.add(torch.from_numpy(features), torch.from_numpy(labels))
    shard = Shard(ATTRS | {"shard": "1/2"}, CLASSES, range(0, 61), 61, statistics, [("bad.jpg", "is empty")])
    match kind:
        case "bank":
            shard.bank().write(path, images)
        case "bank with a long name":  # in a heap, which has no checksum
            shard.classes = (*CLASSES[:-1], "x" * 100_000)
            shard.bank().write(path, images)
        case "shard":
            shard.write(path, images)
        case "checkpoint":
            shard.kept, shard.features_crc32 = list(range(60)), 7
            shard.write(path)


def content(path: Path, kind: str) -> object:
    """All that is read of a file."""
    if kind.startswith("bank"):
        bank = FeatureBank.open(path)
        arrays = [bank.counts, bank.means, bank.variances, bank.within_covariance, *bank.images()[:2]]
        blocks = np.concatenate(list(bank.image_blocks(100)))
        texts = [bank.classes, dict(bank.attrs), bank.skipped, bank.images()[2]]
        return [array.tobytes() for array in [*arrays, blocks]], texts
    shard = Shard.open(path)
    statistics = shard.statistics
    arrays = [tensor.numpy() for tensor in (statistics.counts, statistics.sums, statistics.squares, statistics.scatter)]
    texts = [shard.classes, dict(shard.attrs), shard.skipped, shard.positions, shard.position, shard.kept]
    if shard.keeps_images:
        with shard.stored_images() as images:
            arrays += [images.matrix("image/feature", (60, 5)), images.array("image/label", "whole numbers", (60,))]
            texts.append(images.text("image/id"))
    return [array.tobytes() for array in arrays], [*texts, shard.features_crc32]


def read_damaged(folder: Path, kind: str, seed: int, times: int) -> None:
    """Read damaged files of a kind, and raise what is neither equal nor an `InputError` of one line."""
    data = (folder / "whole.h5").read_bytes()
    expected, errors = content(folder / "whole.h5", kind), 0
    for number, (name, damaged) in enumerate(mutations(data, seed, times)):
        path = folder / f"{number}.h5"
        path.write_bytes(damaged)
        try:
            found = content(path, kind)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), error
            errors += 1
        else:
            assert found == expected, name
        path.unlink()
    assert errors > number / 2


@pytest.mark.parametrize(
    ("kind", "times"), [("bank", 12), ("bank with a long name", 2), ("shard", 6), ("checkpoint", 6)]
)
def test_damage_is_an_error_or_makes_no_difference(tmp_path, kind, times):
    write(tmp_path / "whole.h5", kind)
    code = (
        f"from pathlib import Path; from features.infrastructure.hdf5 import vetting; vetting._CPU_SECONDS = 1;"
        f"from test_damaged_files import read_damaged; read_damaged(Path({str(tmp_path)!r}), {kind!r}, 5, {times})"
    )
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent), str(tests.parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        timeout=LIMIT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["class/mean", "class/variance", "within/covariance", "image/feature", "image/label"])
def test_every_number_of_a_bank_counts(tmp_path, name):
    """A change that makes the file no worse, by a program that keeps HDF5's own checksums right."""
    write(tmp_path / "bank.h5", "bank")
    with h5py.File(tmp_path / "bank.h5", "r+") as file:
        array = file[name][:]
        array.flat[:2] = array.flat[1::-1]
        if name == "within/covariance":
            array = (array + array.T) / 2
        file[name][...] = array
    with pytest.raises(InputError, match=f"{name} is not what was written"):
        content(tmp_path / "bank.h5", "bank")
