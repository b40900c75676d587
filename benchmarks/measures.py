"""Every measure of transferability on real images: source domains, and a zoo of models, for CUB.

    OMP_NUM_THREADS=1 python benchmarks/measures.py

Two tables, as `transfer rank --measures all` and `transfer rank --model … --test …` make them:

- source domains under one backbone (EfficientNet-Lite0 at 128 px): CIFAR-100 and Tiny ImageNet for the 50 classes of
  CUB, from the banks of benchmarks/selection_quality.py, which has to run first;
- a zoo for the same target, official split: EfficientNet-Lite0 with its published weights, the same with random ones,
  and two ResNet-8 at 32 px pre-trained here on 40 of Tiny ImageNet's 200 classes, those that the default chooses for
  CUB and 40 at random. Beside each measure stands the accuracy that a linear probe reaches on the test images, and how
  well the measure's order agrees with it.

About 10 minutes on one core. Recorded in benchmarks/results/measures.json.
"""

from __future__ import annotations

import os
from typing import Any

from recording import RESULTS, ROOT, WORK, record, sized, unpacked
from related_classes import SIDE

from finetune import PretrainConfig, pretrain
from transfer import RankConfig, RankModelsConfig, SelectConfig, rank, rank_models, select
from transfer.commands.rank import show as show_ranking
from transfer.commands.rank_models import show as show_models

BANKS = WORK / "selection-quality"
CHOICES = {"chosen": "local-scaling", "random": "random"}
NETWORK: dict[str, Any] = {
    "backbone": "resnet8",
    "image_size": 32,
    "steps": sized(1600, 2),
    "batch_size": 32,
    "lr": 0.1,
}
SHARED: dict[str, Any] = {"workers": 0, "device": "cpu"}


def bank(name: str) -> str:
    """A bank that the measurement of the choice has left."""
    path = BANKS / f"{name}-{SIDE}.h5"
    if not path.is_file():
        raise SystemExit(f"{path.name} is not there; run python benchmarks/selection_quality.py first")
    return str(path)


def pretrained(name: str) -> str:
    """A network trained on 40 classes of Tiny ImageNet."""
    run, subset = WORK / "measures" / name, WORK / "measures" / f"{name}.csv"
    options = {"target": [bank("cub")], "source": [bank("tiny-imagenet")], "classes": 40, "out": str(subset)}
    select(SelectConfig(strategy=CHOICES[name], seed=0, overwrite=True, **options))
    training = {"loss": "softmax", "augment": "crop-flip", "precision": "bf16", "seed": 0}
    pretrain(PretrainConfig(subset=str(subset), out=str(run), **training, **NETWORK, **SHARED))
    return os.path.relpath(run)


def domains() -> dict[str, Any]:
    """All measures of two source domains."""
    config = RankConfig(target=bank("cub"), source=[bank("cifar-100"), bank("tiny-imagenet")], measures=["all"])
    ranking = rank(config)
    show_ranking(config, ranking)
    return ranking.to_json()


def zoo() -> dict[str, Any]:
    """All measures of four models, and a probe's accuracy."""
    cub = f"cub:{os.path.relpath(WORK)}/CUB_200_2011"
    models = ["efficientnet_lite0", "efficientnet_lite0:none", *(pretrained(name) for name in CHOICES)]
    cache = os.path.relpath(WORK / "measures" / "zoo")
    config = RankModelsConfig(target=f"{cub}@train", test=f"{cub}@test", model=models, cache=cache, **SHARED)
    ranking = rank_models(config)
    show_models(config, ranking)
    return ranking.to_json()


def main() -> None:
    """Measure, print, record."""
    os.chdir(ROOT)  # what is recorded names no folder of this machine
    unpacked("cub50.tar", "tiny-imagenet-100.tar")
    result = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/measures.py",
        "seed": 0,
        "domains": domains(),
        "zoo": zoo(),
    }
    record(RESULTS / "measures.json", result, "faiss-cpu")


if __name__ == "__main__":
    main()
