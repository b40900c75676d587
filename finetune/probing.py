"""The linear probe that fine-tuning starts from: logistic regression on the features of the start.

Source: Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from features.backbones.loading import Backbone
from features.dataset import ImageDataset
from finetune.classifiers import LinearProbe
from finetune.classifiers.second_stage import TrainedClassifier
from finetune.evaluation.evaluator import ForwardOptions, score_images


class _BothSides(nn.Module):
    """Images (B, 3, S, S) to their features and those of their mirror images, (B, 2·D)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.backbone(x), self.backbone(x.flip(-1))], dim=1)


def probe(
    backbone: Backbone, dataset: ImageDataset, options: ForwardOptions, *, mirrored: bool = False
) -> TrainedClassifier:
    """Fit a logistic regression to the features of a backbone.

    Args:
        backbone: Images to features.
        dataset: The training images.
        options: Batch size, device, precision and workers of the pass over them.
        mirrored: Fit it to the mirror images too, for a training that shows them.
    """
    network = _BothSides(backbone) if mirrored else backbone
    features, labels, _ = score_images(network, dataset, backbone.preprocessing, options)
    features, labels = features.reshape(-1, backbone.dim), labels.repeat(2 if mirrored else 1)
    fitted = LinearProbe().fit(features, labels, len(dataset.classes))
    return TrainedClassifier(fitted.weight_.astype(np.float32), fitted.bias_.astype(np.float32))
