"""Does choosing source classes pay in accuracy, and which use of a choice pays most?

    OMP_NUM_THREADS=1 python benchmarks/selection_pays.py        # the trainings that are not finished, then the table
    OMP_NUM_THREADS=1 python benchmarks/selection_pays.py --pool tiny-imagenet                # the same from one domain
    OMP_NUM_THREADS=1 python benchmarks/selection_pays.py --pool tiny-imagenet-longer --arms … # with another protocol
    python benchmarks/selection_pays.py --report                 # the tables of what is finished, plots and result

The lake and its eleven targets are those of lake.py: 370 classes of four domains under a long tail. Every arm trains a
ResNet-8 at 32 px on 51,200 images of source classes, or four times as many (scratch on none, co-trained on 25,600, and
on 9,600 in the fine-tuning, for all the birds on 19,200). Then it is fine-tuned to the target; the figure is the top-1
after the last step, on the same test images for every arm. The target has 10 labelled images a class, drawn by the
seed, by which its classes are chosen too. Some arms are fine-tuned to all labelled images as well (18 to 50 a class),
from the same pre-training.

Choices: all classes; random (CLASSES drawn by chance, DRAWS draws a seed, shared by the targets); paper (nearest,
euclidean); former (local-scaling, the default of version 0.1.0); default (mutual-proximity); hand (the part of the lake
that a person would name, of any size: the upper reference). ``random-80`` and ``default-160`` are choices of other
sizes, which are trained only if ``--arms`` names them. Uses of a choice:

- subset: trained on the chosen classes from random weights;
- continued: trained on all classes for half of the images, then on the chosen ones;
- weighted: trained on all classes, drawn by their shares of the target;
- co-trained: trained on all classes for half of the images; the fine-tuning has a second head for the chosen classes.

The first half of a continued training is one network a seed, which all targets share; the control is to go on with all
classes. Two further arms train the default's subset with another loss. The seed changes initial weights, order,
augmentation and the random draws.

Expected: twelve minutes for a target and a seed on one core with bfloat16, twenty for all the birds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lake import (
    CIFAR_TARGETS,
    DIGIT_IMAGES,
    DOMAINS,
    IMBALANCE,
    TAIL_SEED,
    TARGET_IMAGES,
    Target,
    lake_classes,
    make_lake,
    spec_of,
    targets,
)
from recording import RESULTS, WORK, append_row, read_table, sized
from selection_pays_table import UNION, Arm, report, split_choice

from features import ExtractConfig, FeatureBank, extract
from features.infrastructure.console import console
from features.infrastructure.formats.tables import write_table
from finetune import FinetuneConfig, PretrainConfig, finetune, pretrain
from finetune.run_directory import open_run
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, Subset, select_classes
from similarity.selection.subset import SubsetRow

TRAININGS = RESULTS / "selection_pays" / "trainings.csv"
CHOSEN = RESULTS / "selection_pays" / "chosen-{pool}.csv"
SEEDS, DRAWS, CLASSES = sized(range(3), range(1)), sized(3, 1), 40
#: Strategy and geometry of the choices that are made by one.
STRATEGIES = {
    "paper": ("nearest", "euclidean"),
    "former": ("local-scaling", DEFAULT_GEOMETRY),
    "default": (DEFAULT_STRATEGY, DEFAULT_GEOMETRY),
}
EXTRACT: dict[str, Any] = {
    "backbone": "efficientnet_lite0",
    "image_size": sized(128, 32),
    "workers": 0,
    "precision": "fp32",
    "device": "cpu",
}
SHARED: dict[str, Any] = {"workers": 0, "precision": "bf16", "device": "cpu", "augment": "crop-flip"}
NETWORK: dict[str, Any] = {"backbone": "resnet8", "image_size": 32}
PRETRAIN: dict[str, Any] = {"loss": "softmax", "steps": sized(400, 2), "batch_size": 128, "lr": 0.2}
HALF = PRETRAIN["steps"] // 2
FINETUNE: dict[str, Any] = {"batch_size": 64, "lr": 0.05}
#: Labelled images of a target that a fine-tuning has: 10 a class, drawn by the seed, or all of them.
FEW, PER_CLASS, EVERY = "few", 10, "all"
#: Steps of a fine-tuning to ten classes, and to the fifty species; the loss is flat by then.
STEPS = {FEW: sized((150, 300), (2, 2)), EVERY: sized((300, 1200), (2, 2))}
PROTOCOL: dict[str, Any] = {
    "lake": {"imbalance": IMBALANCE, "seed": TAIL_SEED, "target_images": [TARGET_IMAGES, DIGIT_IMAGES]},
    "classes": CLASSES,
    "strategies": STRATEGIES,
    "floor": PretrainConfig.floor,
    "with_weight": FinetuneConfig.with_weight,
    "extract": EXTRACT,
    "training": SHARED | NETWORK,
    "pretrain": PRETRAIN,
    "half": HALF,
    "finetune": FINETUNE,
    "labelled_images_a_class": PER_CLASS,
    "steps": STEPS,
}
#: The domains whose classes are chosen from: the whole lake; and the hard case, one domain for targets of another.
POOLS = {"lake": DOMAINS, "tiny-imagenet": ("tiny-imagenet",)}
LONGER: dict[str, Any] = {"pretrain": PRETRAIN | {"steps": 4 * PRETRAIN["steps"]}, "half": 4 * HALF}
#: What was changed to see what the gains depend on: four times the images, of a lake with a tail or of the whole one
#: (which is four times as large), and a larger network.
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "lake-longer": ("lake", LONGER),
    "whole-lake-longer": ("lake", LONGER | {"lake": PROTOCOL["lake"] | {"imbalance": 1}}),
    "tiny-imagenet-longer": ("tiny-imagenet", LONGER),
    "tiny-imagenet-larger": ("tiny-imagenet", {"training": SHARED | NETWORK | {"backbone": "resnet20"}}),
}
LOSSES = ("cb-softmax", "balanced-softmax")
#: Epochs of a training loss that are kept.
CURVE = 12


ARMS = (
    Arm("scratch", "none"),
    Arm("all", "subset"),
    Arm("all", "continued"),
    *(Arm(choice, use) for choice in ("random", "default", "hand") for use in ("subset", "continued")),
    Arm("default", "weighted"),
    Arm("default", "co-trained"),
    *(Arm(choice, use) for choice in ("paper", "former") for use in ("subset", "continued")),
    *(Arm("default", "subset", loss) for loss in LOSSES),
)
#: Numbers of classes other than CLASSES, and their arms.
OTHER_SIZES = (80, 160)
SIZED = (
    *(Arm(f"{choice}-{classes}", "subset") for choice in ("random", "default") for classes in OTHER_SIZES),
    Arm("default-160", "continued"),
)
#: Arms that are fine-tuned to all labelled images too.
WITH_ALL_IMAGES = (ARMS[0], *(Arm(choice, "subset") for choice in ("all", "random", "default", "hand")))


def protocol(pool: str) -> dict[str, Any]:
    """Everything that the results from a pool depend on."""
    of, changed = CHANGES.get(pool, (pool, {}))
    return PROTOCOL if pool == "lake" else PROTOCOL | {"domains": POOLS[of]} | changed


def key(pool: str) -> str:
    """The name of a protocol: results of another one are never mixed with its own."""
    return hashlib.sha256(json.dumps(protocol(pool)).encode()).hexdigest()[:8]


def shared(choice: str) -> bool:
    """Whether a choice is the same for every target."""
    return split_choice(choice)[0] in ("all", "random")


def _images(rows: Sequence[SubsetRow]) -> int:
    return sum(row.count or 0 for row in rows)


def few(target: Target, seed: int) -> str:
    """The dataset spec of the few labelled images of a target."""
    return f"{target.train.partition('?')[0]}?per_class={PER_CLASS}&seed={seed}"


class Experiment:
    """The trainings of the protocol: runs in a directory of its own, a line of the table for each finished one."""

    def __init__(self, pool: str) -> None:
        self.key, self.targets, self.protocol = key(pool), targets(), protocol(pool)
        if POOLS[CHANGES.get(pool, (pool,))[0]] != DOMAINS:
            self.targets = [target for target in self.targets if target.name in CIFAR_TARGETS]
        self.out = WORK / "selection-pays" / self.key
        domains, imbalance = self.protocol.get("domains", DOMAINS), self.protocol["lake"]["imbalance"]
        make_lake(imbalance)
        self.spec_of = {domain: spec_of(domain, imbalance) for domain in domains}
        self.lake = list(self.spec_of.values())
        self.classes = [row for row in lake_classes(imbalance) if row.source in self.lake]
        self.sources = [self.bank(domain, spec) for domain, spec in self.spec_of.items()]

    def bank(self, name: str, spec: str) -> FeatureBank:
        """A feature bank, extracted once."""
        return extract(ExtractConfig(dataset=spec, out=f"{self.out}/banks/{name}.h5", **EXTRACT)).bank

    def related(self, target: Target) -> set[tuple[str, str]]:
        """The classes that a person would pick, as (dataset spec, class)."""
        return {(self.spec_of[domain], name) for domain, name in target.related if domain in self.spec_of}

    def subset(self, choice: str, target: Target, seed: int, draw: int, weighted: bool = False) -> Subset:
        """The classes chosen for the few labelled images; ``weighted`` for all classes with their shares."""
        if choice == "hand":
            related = self.related(target)
            return Subset(tuple(row for row in self.classes if (row.source, row.class_name) in related))
        if choice == "all":
            return Subset(tuple(self.classes))
        bank = self.bank(f"target-{target.name}-{seed}", few(target, seed))
        name, classes = split_choice(choice)
        size: dict[str, Any] = {"coverage": 1.0} if weighted else {"classes": classes or CLASSES}
        if name == "random":
            return select_classes([bank], self.sources, strategy="random", seed=draw, **size)
        strategy, geometry = STRATEGIES[name]
        return select_classes([bank], self.sources, strategy=strategy, geometry=geometry, **size)

    def file(self, choice: str, target: Target, seed: int, draw: int = 0, weighted: bool = False) -> str:
        """The file of :meth:`subset`; of all classes and of random ones, one serves every target."""
        served = f"every-target-{draw}" if shared(choice) else f"{target.name}-{seed}"
        path = self.out / "subsets" / f"{choice}-{served}{'-weighted' * weighted}.csv"
        if not path.is_file():
            self.subset(choice, target, seed, draw, weighted).write(path)
        return str(path)

    def write_chosen(self, path: str) -> None:
        """Write how large each choice is, and how many of its classes a person would pick: ``of_hand``, of ``hand``."""
        found: list[Sequence[Any]] = [("", "all", len(self.classes), _images(self.classes), "", "")]
        trained = {(row["target"], row["choice"], int(row["seed"])) for row in self.finished()}
        for target in self.targets:
            related = self.related(target) & {(row.source, row.class_name) for row in self.classes}
            for choice in (*STRATEGIES, *(f"default-{size}" for size in OTHER_SIZES)):
                seeds = [seed for seed in SEEDS if (target.name, choice, seed) in trained]
                subsets = [Subset.read(self.file(choice, target, seed)).rows for seed in seeds]
                if subsets:
                    images = np.mean([_images(rows) for rows in subsets])
                    of_hand = np.mean([sum((row.source, row.class_name) in related for row in of) for of in subsets])
                    sizes = len(subsets[0]), f"{images:.1f}", f"{of_hand:.2f}", len(related)
                    found.append((target.name, choice, *sizes))
        write_table(path, None, ("target", "choice", "classes", "images", "of_hand", "hand"), found)

    def finished(self) -> list[dict[str, str]]:
        """The lines of the trainings of this protocol."""
        return [row for row in read_table(TRAININGS) if row["protocol"] == self.key]

    def pretrained(self, arm: Arm, target: Target, seed: int, draw: int) -> str:
        """The run directory of an arm's pre-training."""
        served = "" if shared(arm.choice) else target.name
        out = (
            self.out
            / "pretrain"
            / "-".join(filter(None, [arm.choice, arm.use, arm.loss, served, f"seed{seed}", f"draw{draw}"]))
        )
        options: dict[str, Any] = {**self.protocol["training"], **self.protocol["pretrain"], "loss": arm.loss}
        options |= {"seed": seed, "out": str(out)}
        if arm.use in ("half", "co-trained"):
            options |= {"sources": self.lake, "steps": self.protocol["half"]}
        elif arm.use == "weighted":
            options |= {"sources": self.lake, "class_weights": self.file(arm.choice, target, seed, weighted=True)}
        else:
            options["subset"] = self.file(arm.choice, target, seed, draw)
        if arm.use == "continued":
            del options["backbone"]
            options |= {"steps": self.protocol["half"], "init": self.half(target, seed)}
        return str(pretrain(PretrainConfig(**options)).run)

    def half(self, target: Target, seed: int) -> str:
        """The network that is trained on all classes for half of the images."""
        return self.pretrained(Arm("all", "half"), target, seed, 0)

    def start(self, arm: Arm, target: Target, seed: int, draw: int) -> dict[str, Any]:
        """What an arm's fine-tunings start from, as their options."""
        if arm.use == "none":
            training = self.protocol["training"]
            return {"init": training["backbone"], "weights": "none", "image_size": training["image_size"]}
        if arm.use == "co-trained":
            return {"init": self.half(target, seed), "with_": self.file(arm.choice, target, seed)}
        return {"init": self.pretrained(arm, target, seed, draw)}

    def finetuned(self, start: dict[str, Any], name: str, target: Target, labelled: str, seed: int) -> dict[str, Any]:
        """The figures of one fine-tuning."""
        out = self.out / "finetune" / f"{name}-{target.name}-{labelled}-seed{seed}".replace(" ", "")
        options: dict[str, Any] = {**SHARED, **FINETUNE, "steps": STEPS[labelled][target.name == UNION], **start}
        dataset = few(target, seed) if labelled == FEW else target.train
        result = finetune(FinetuneConfig(dataset=dataset, test=target.test, out=str(out), seed=seed, **options))
        figures = {"top1": f"{result.metrics['top1']:.5f}", "images": result.metrics["images"]}
        figures |= {"target_loss": _curve(str(out))}
        shutil.rmtree(out)
        return figures

    def run(self, seeds: list[int], names: list[str] | None, arms: list[Arm]) -> None:
        """Every training that is asked for and not finished."""
        columns = ("protocol", "target", "seed", "choice", "use", "loss", "draw", "labelled")
        for seed, target, arm, draw in self.plan(seeds, names, arms):
            identity = (self.key, target.name, str(seed), arm.choice, arm.use, arm.loss, str(draw))
            done = {tuple(row[name] for name in columns) for row in self.finished()}
            missing = [of for of in (FEW, *([EVERY] if arm in WITH_ALL_IMAGES else [])) if (*identity, of) not in done]
            if not missing:
                continue
            began = time.process_time()
            start = self.start(arm, target, seed, draw)
            source = "" if arm.use == "none" else _curve(str(start["init"]))
            for labelled in missing:
                figures = self.finetuned(start, f"{arm.name}-{draw}", target, labelled, seed)
                seconds = {"source_loss": source, "seconds": f"{time.process_time() - began:.1f}"}
                append_row(TRAININGS, dict(zip(columns, (*identity, labelled), strict=True)) | figures | seconds)
                print(*identity[1:], labelled, figures["top1"], f"{seconds['seconds']} s", flush=True)
                began = time.process_time()
            if arm.use not in ("none", "co-trained") and not shared(arm.choice):
                shutil.rmtree(start["init"])  # no other target reads it

    def plan(
        self, seeds: list[int], names: list[str] | None, arms: list[Arm]
    ) -> Iterator[tuple[int, Target, Arm, int]]:
        """Every training that is asked for; no names are those of all targets."""
        for seed in seeds:
            for target in (target for target in self.targets if names is None or target.name in names):
                for arm in arms:
                    draws = range(seed * DRAWS, (seed + 1) * DRAWS) if split_choice(arm.choice)[0] == "random" else [0]
                    for draw in draws:
                        yield seed, target, arm, draw


def _curve(run: str) -> str:
    """Training loss of evenly spaced epochs, the last one among them."""
    losses = [epoch["train_loss"] for epoch in open_run(run)["history"]]
    places = sorted({round((i + 1) * len(losses) / CURVE) - 1 for i in range(CURVE)} - {-1})
    return " ".join(f"{losses[place]:.3f}" for place in places)


def main() -> None:
    """Train what is not finished, then print the table, and write the plot and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--pool", choices=[*POOLS, *CHANGES], default="lake")
    parser.add_argument("--targets", nargs="+", metavar="TARGET")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--arms", nargs="+", metavar="ARM", choices=[arm.name for arm in (*ARMS, *SIZED)])
    parser.set_defaults(arms=[arm.name for arm in ARMS])
    options = parser.parse_args()
    if not options.report:
        torch.set_num_threads(1)
        console.quiet = True
        make_lake()
        experiment = Experiment(options.pool)
        names = options.targets or sized(None, [experiment.targets[-1].name])
        arms = [arm for arm in (*ARMS, *SIZED) if arm.name in options.arms]
        experiment.run(options.seeds, names, arms)
        experiment.write_chosen(str(CHOSEN).format(pool=options.pool))
    rows = read_table(TRAININGS)
    report(
        {pool: (protocol(pool), [row for row in rows if row["protocol"] == key(pool)]) for pool in (*POOLS, *CHANGES)}
    )


if __name__ == "__main__":
    main()
