"""How much does each class of a lake help or harm each target? Networks on random halves of the classes tell.

    OMP_NUM_THREADS=1 python benchmarks/influence.py          # the networks, a line each; goes on where it was

Each network is a ResNet-8, pre-trained at 32 px on a random half of the 370 classes of the lake (lake.py) for the same
number of images. A linear probe on its features is fitted to each target's training images; the figure is the mean
probability of the correct class over the target's held-out images, in two halves of them. Networks come in pairs: the
second has the other half of the classes, and the same initial weights, so that every class is in exactly half of them.

The influence of a class on a target is the mean figure of the networks with the class less that of the others, as in
Jain et al., "A Data-Based Perspective on Transfer Learning", CVPR 2023, section 3, with a probe instead of a
fine-tuning.

Expected: half a minute a network on one core with bfloat16.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lake import Target, lake_classes, make_lake, targets
from recording import RESULTS, WORK, append_row, read_table, sized

from features.backbones.loading import Backbone, load_backbone
from features.dataset import ImageDataset
from features.image_sources import ArrayImages
from features.infrastructure.console import console
from features.readers import open_dataset
from finetune import PretrainConfig, pretrain
from finetune.classifiers import LinearProbe
from finetune.evaluation.evaluator import score_images
from similarity import Subset
from similarity.selection.subset import SubsetRow

NETWORKS = RESULTS / "influence" / "networks.csv"
PAIRS, SEED = sized(125, 2), 0
#: Held-out images of a class that are scored.
HELD_OUT = 100
TRAINING: dict[str, Any] = {
    "backbone": "resnet8",
    "image_size": 32,
    "loss": "softmax",
    "augment": "crop-flip",
    "steps": sized(200, 2),
    "batch_size": 128,
    "lr": 0.2,
    "workers": 0,
    "precision": "bf16",
    "device": "cpu",
}


def members(network: int, classes: int) -> np.ndarray:
    """(classes,) which classes a network is trained on: a random half, or for odd numbers the other half."""
    order = np.random.default_rng((SEED, network // 2)).permutation(classes)
    first = np.isin(np.arange(classes), order[: classes // 2])
    return ~first if network % 2 else first


class Probes:
    """The images of every target, decoded once, and the mean probability of the correct class under a probe."""

    def __init__(self, names: list[Target]) -> None:
        backbone = load_backbone("resnet8", "none", TRAINING["image_size"], None, seed=0)
        self.images = {}
        for target in names:
            held_out = open_dataset(target.test)
            first = [np.flatnonzero(held_out.labels == label)[:HELD_OUT] for label in range(len(held_out.classes))]
            pair = open_dataset(target.train), held_out.take(np.concatenate(first))
            self.images[target.name] = tuple(_decoded(dataset, backbone) for dataset in pair)

    def figures(self, backbone: Backbone) -> dict[str, tuple[float, float]]:
        """The figure of each target in the two halves of its held-out images: those at even and at odd places."""
        options, found = PretrainConfig(sources=["-"], out="-", **TRAINING), {}
        for name, (train, held_out) in self.images.items():
            features, labels, _ = score_images(backbone, train, backbone.preprocessing, options)
            probe = LinearProbe().fit(features, labels, len(train.classes))
            features, labels, _ = score_images(backbone, held_out, backbone.preprocessing, options)
            logits = features @ probe.weight_.T + probe.bias_
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            correct = odds[np.arange(len(labels)), labels] / odds.sum(axis=1)
            found[name] = (float(correct[::2].mean()), float(correct[1::2].mean()))
        return found


def _decoded(dataset: ImageDataset, backbone: Backbone) -> ImageDataset:
    """The same images at the network's size, in memory."""
    pixels = [backbone.preprocessing.pixels(dataset.image(i)).permute(1, 2, 0).numpy() for i in range(len(dataset))]
    return replace(dataset, source=ArrayImages(np.stack(pixels)))


def trained(rows: list[SubsetRow], chosen: np.ndarray, seed: int, name: str) -> Backbone:
    """A network on the chosen classes; its run is deleted."""
    out = WORK / "influence" / f"{name}-{os.getpid()}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    subset = out / "subset.csv"
    Subset(tuple(row for row, taken in zip(rows, chosen, strict=True) if taken)).write(subset)
    pretrain(PretrainConfig(subset=str(subset), out=str(out / "run"), seed=seed, **TRAINING))
    backbone = load_backbone(str(out / "run"))
    backbone.weights_sha256()  # everything is read before the files go
    shutil.rmtree(out)
    return backbone


def train(pairs: int) -> None:
    """Train the networks that are not finished."""
    make_lake()
    rows, probes = lake_classes(), Probes(targets())
    done = {int(row["network"]) for row in read_table(NETWORKS)}
    for network in range(2 * pairs):
        if network in done:
            continue
        chosen = members(network, len(rows))
        figures = probes.figures(trained(rows, chosen, network // 2, f"network-{network}"))
        halves = {f"{name}/{half}": f"{pair[half]:.5f}" for name, pair in figures.items() for half in (0, 1)}
        append_row(NETWORKS, {"network": network, **halves})
        print(network, " ".join(f"{name} {sum(pair) / 2:.3f}" for name, pair in figures.items()), flush=True)


def main() -> None:
    """Train networks, or report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console.quiet = True
    train(options.pairs)


if __name__ == "__main__":
    main()
