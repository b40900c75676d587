"""Fine-tuning: a pre-trained backbone and its classifier are trained on the target."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from features.backbones.loading import Backbone, load_backbone
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from finetune.augmentation import augmentation
from finetune.classifiers import LinearProbe
from finetune.classifiers.second_stage import TrainedClassifier, images_per_class
from finetune.command_options.finetuning import FinetuneConfig
from finetune.evaluation.image_pass import score_images
from finetune.shared_options import resolve
from finetune.source_classes import open_sources
from finetune.training.extras import Extras, SourceImages
from finetune.training.fitting import TrainingResult, fit
from finetune.training.search import best_options


def finetune(config: FinetuneConfig) -> TrainingResult:
    """Fine-tune, resume, or reuse the finished run at ``config.out``.

    Raises:
        InputError: The target or the start cannot be opened, they do not fit each other, or ``out`` holds
            another run.
    """
    config, chosen = resolve(config)
    dataset = open_dataset(config.dataset)
    if config.search:
        config = best_options(config, finetune, dataset, config.init)
    backbone = load_backbone(config.init, config.weights, config.image_size, config.crop_pct, seed=config.seed)
    return fit(backbone, dataset, config, extras_of(config, backbone, dataset.classes), chosen)


def extras_of(config: FinetuneConfig, backbone: Backbone, classes: tuple[str, ...]) -> Extras:
    """What the training takes besides the target and the backbone: its first classifier, and images to co-train on.

    ``config`` is complete. Errors are those of :func:`finetune`.
    """
    extras = _started(config, backbone, classes)
    if config.with_ is None:
        return extras
    source = open_sources([], config.with_, "with_").images
    if len(source.classes) < 2:
        raise InputError(f"`with_` {config.with_}: has one class, {source.classes[0]!r}; give at least 2")
    inputs = {**extras.inputs, "co-training data": source.manifest_sha256}
    return replace(extras, co_training=SourceImages(source, config.with_weight), inputs=inputs)


def _started(config: FinetuneConfig, backbone: Backbone, classes: tuple[str, ...]) -> Extras:
    """What the training starts from beside the weights of the backbone."""
    seen = images_per_class(find_checkpoint(config.init), "train_counts", classes)
    interpolate = 1.0 if config.interpolate is None else config.interpolate
    start = Extras(start=config.init, seen=seen, interpolate=interpolate)
    if config.classifier == "probe":
        return replace(start, classifier=partial(_probe, backbone, config))
    if config.classifier == "keep":
        return start.keeping(TrainedClassifier.of(config.init, classes, "`classifier` keep"), config)
    return start


class _BothSides(nn.Module):
    """Images (B, 3, S, S) to their features and those of their mirror images, (B, 2·D)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.backbone(x), self.backbone(x.flip(-1))], dim=1)


def _probe(backbone: Backbone, config: FinetuneConfig, dataset: ImageDataset) -> TrainedClassifier:
    """A linear probe: logistic regression on the features of the start, and of mirror images if the training flips.

    Source: Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022.
    """
    mirrored = augmentation(config.augment).flip
    network = _BothSides(backbone) if mirrored else backbone
    features, labels, _ = score_images(network, dataset, backbone.preprocessing, config)
    features, labels = features.reshape(-1, backbone.dim), labels.repeat(2 if mirrored else 1)
    fitted = LinearProbe().fit(features, labels, len(dataset.classes))
    return TrainedClassifier(fitted.weight_.astype(np.float32), fitted.bias_.astype(np.float32))
