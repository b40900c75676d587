"""Co-training: a second head on the same backbone learns source classes, and is dropped at the end.

L = L_target + λ·L_source (Liu et al., "Improved Fine-Tuning by Better Leveraging Pre-Training Data", NeurIPS 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from finetune.model import ImageClassifier


class CoTraining(nn.Module):
    """λ times the mean cross-entropy of a batch of source images: images (B, 3, S, S) and labels (B,) to a scalar.

    In training mode a source batch is normalised by its own statistics. It does not update the running statistics,
    which stay those of the target. The loss, mixup and label smoothing of the options are for the target alone.
    ``classifier`` has the backbone of the model, and ``weight`` is λ.
    """

    def __init__(self, classifier: ImageClassifier, weight: float) -> None:
        super().__init__()
        self.classifier, self.weight = classifier, weight

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        with _running_statistics_kept(self.classifier):
            scores = self.classifier(images)
        return self.weight * F.cross_entropy(scores, labels)


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation leave its running statistics as they are."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
