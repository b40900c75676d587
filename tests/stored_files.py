"""Small banks and shards to damage or to change, and all that is read of them."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from features.bank import FeatureBank
from features.extraction.shard import Shard

CLASSES = tuple(f"class {number} ä" for number in range(20))
ATTRS = {
    **{"dataset": "folder:birds@train", "split": "train", "backbone": "resnet50", "weights_sha256": "ab" * 32},
    **{"image_size": 224, "transform": "resize 256", "pooling": "avg", "precision": "fp32", "manifest_sha256": "cd"},
    "created": "2024-01-01T00:00:00+00:00",
}


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
            shard.kept, shard.features_crc32 = array("q", range(60)), 7
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
