"""Small classifiers with every kind of head."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from features.backbones.loading import load_backbone
from finetune.exporting.export import metadata
from finetune.exporting.format import Export
from finetune.model import ImageClassifier

CLASSES = ("auk", "wren", "tern", "gull", "jay")


@pytest.fixture
def classifier() -> Callable[..., ImageClassifier]:
    """A function that makes a classifier whose layers have statistics and weights of their own, as after a training."""

    def make(name: str = "resnet8", head: str = "linear", image_size: int = 32) -> ImageClassifier:
        backbone = load_backbone(name, "none", image_size, seed=0)
        generator = torch.Generator().manual_seed(1)
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
        model = ImageClassifier(backbone, CLASSES, head).eval()
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter.normal_(generator=generator)
            if head == "centred-cosine":
                model.head.centre.normal_(generator=generator)
        return model

    return make


@pytest.fixture
def export_of() -> Callable[..., Export]:
    """A function that makes the export of a classifier."""

    def make(model: ImageClassifier, scale: float = 1.0, sigmoid: bool = False) -> Export:
        return Export(model, scale, metadata(model, {"sigmoid": sigmoid}), readme="# A model\n")

    return make
