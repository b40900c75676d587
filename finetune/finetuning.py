"""Transfer: fine-tune a pre-trained backbone to the target, or probe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from features.backbones import load_backbone
from features.readers import open_dataset
from finetune.configuration import TrainingConfig
from finetune.training import TrainingResult, fit


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingConfig):
    """Transfer a pre-trained backbone to a target dataset.

    Attributes:
        dataset: Dataset spec of the target's training images.
        init: Where to start: a run directory of transfer pretrain, or a backbone's name.
        weights: For a backbone's name: default (published), none (from scratch), or a state-dict file.
        method: full trains everything; linear fits a logistic regression on the frozen features.
    """

    dataset: str
    init: str
    weights: str = "default"
    method: Literal["full", "linear"] = "full"
    batch_size: int = 64
    lr: float = 0.02


def finetune(config: FinetuneConfig) -> TrainingResult:
    """Fine-tune, resume, or reuse the finished run at ``config.out``.

    Raises:
        features.InputError: The target or the start cannot be opened, or another run stands at ``out``.
    """
    dataset = open_dataset(config.dataset)
    torch.manual_seed(config.seed)
    backbone = load_backbone(config.init, config.weights, config.image_size)
    return fit(backbone, dataset, config, config.method)
