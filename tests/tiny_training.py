"""Trainings of a tiny network that take milliseconds, and an end in the midst of one."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from features.backbones.loading import Backbone
from features.preprocessing import Preprocessing
from finetune.losses import build_loss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.shared_options import TrainingConfig
from finetune.training import callbacks, engine
from finetune.training.batches import TrainingImages
from finetune.training.engine import train
from finetune.training.extras import Extras


def tiny_network(classes: int, head: str = "linear", dropout: float = 0.0) -> ImageClassifier:
    """A convolution, a batch normalisation and a head: all that can go wrong, in milliseconds."""
    torch.manual_seed(7)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.AdaptiveAvgPool2d(1),
    )
    backbone = Backbone(network, "tiny", "none", 8, Preprocessing(8, 8))
    return ImageClassifier(backbone, [str(i) for i in range(classes)], head)


def options(out: Path, **given) -> TrainingConfig:
    fixed = {"out": str(out), "batch_size": 8, "augment": "none", "device": "cpu", "precision": "fp32", "workers": 0}
    return TrainingConfig(**fixed | given)


def trained(dataset, config: TrainingConfig, dropout: float = 0.0, interpolate: float = 1.0) -> ImageClassifier:
    """Train a tiny network from its start, or from where the run directory is."""
    run = RunDirectory(config.out, config, {})
    loss = build_loss(config.loss, dataset.counts, beta=config.beta, gamma=config.gamma)
    model = tiny_network(len(dataset.classes), "cosine" if loss.cosine_classifier else "linear", dropout)
    images = TrainingImages(dataset, model.backbone.preprocessing, config.workers)
    train(model, images, loss, config, run, extras=Extras(interpolate=interpolate))
    return model


def history(out: Path) -> list[dict[str, float]]:
    with (out / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def interrupted(monkeypatch, saved: int, killed: int, how: Callable[[], None]) -> None:
    """Save the state after step ``saved`` only, and end training in step ``killed`` (from 0)."""
    step = engine.TrainingStep.training_step

    def fragile(self, batch, i):
        callbacks.CHECKPOINT_SECONDS = -1 if self.step == saved - 1 else math.inf
        if self.step == killed:
            how()
        return step(self, batch, i)

    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", math.inf)
    monkeypatch.setattr(engine.TrainingStep, "training_step", fragile)


class Killed(Exception):
    pass


def kill() -> None:
    raise Killed
