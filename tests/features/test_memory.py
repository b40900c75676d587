"""A million images take no more memory than ten thousand."""

import os
import subprocess
import sys

import pytest

SIMULATION = '''
"""Extract N simulated images, and print the peak memory, in KiB, of this process and of its largest worker."""
import resource, sys
import numpy as np
import torch
from PIL import Image
from torch import nn
import features.extraction.extractor
from features import Backbone, ExtractConfig, ImageDataset, extract
from features.preprocessing import Preprocessing

n, workers, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Simulated:
    """Every image is a plain colour that its position says; nothing is stored."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def read(self, index, min_side=None):
        return Image.new("RGB", (4, 4), (index % 256, index // 256 % 256, 7))

    def fingerprint(self):
        return b""

    def modified(self):
        return 0.0


class Ids(Simulated):
    def __getitem__(self, index):
        return str(index)


class Means(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3)).repeat(1, 64)


eyes = Preprocessing(4, 4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
names = tuple(f"c{i}" for i in range(100))
ids = Ids(n)
ImageDataset.manifest_sha256 = "simulated"  # it reads every id once
dataset = ImageDataset("simulated:", names, np.arange(n) % 100, ids, Simulated(n))
features.extraction.extractor.open_dataset = lambda spec, **options: dataset
backbone = Backbone(Means(), "means", "none", 192, eyes)
features.extraction.extractor.load_backbone = lambda *arguments, **options: backbone
result = extract(ExtractConfig("simulated:", out, batch_size=256, workers=workers, device="cpu", precision="fp32",
                               checkpoint_seconds=1))
assert result.images == n and result.bank.counts.tolist() == [n // 100] * 100
expected = np.bincount(np.arange(n) % 100, np.arange(n) % 256) / (n // 100) / 255
np.testing.assert_allclose(result.bank.means[:, 0], expected, rtol=1e-5)
# RUSAGE_SELF begins with the peak of the process that started this one.
own = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
'''


def peak(n, workers, out):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SIMULATION, str(n), str(workers), str(out)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_million_images_take_the_memory_of_ten_thousand(tmp_path, workers):
    (few, few_worker), (many, many_worker) = (peak(n, workers, tmp_path / f"{n}.h5") for n in (10_000, 1_000_000))
    assert many <= 1.1 * few and many_worker <= 1.1 * max(few_worker, 1), (few, many, few_worker, many_worker)


def test_the_simulation_runs(tmp_path):
    assert min(peak(1000, 1, tmp_path / "bank.h5")) > 0
