"""What every export computes: the logits of a trained classifier, and the images that an export is checked with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.model import ImageClassifier

#: Largest difference of logits that is taken for rounding: of all, or relative to the largest where that exceeds 1.
TOLERANCE = 1e-4
#: Sides of the random patterns that an export is checked with: from two smooth halves to fine noise.
_GRAINS = (2, 5, 16, 64)


class ScoringNetwork(nn.Module):
    """Normalised images (B, 3, S, S) to logits (B, C), whose softmax or sigmoid are the run's probabilities.

    These are the scores of the head times the ``scale`` of the checkpoint's card, by which a cosine becomes a logit.
    All is computed in float32.
    """

    def __init__(self, model: ImageClassifier, scale: float) -> None:
        super().__init__()
        self.backbone, self.head, self.scale = model.backbone, model.head, scale

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(images).float())
        return scores if self.scale == 1 else scores * self.scale


def example_images(preprocessing: Preprocessing) -> Tensor:
    """(4, 3, S, S) normalised images: random patterns, each of another grain, always the same."""
    generator = torch.Generator().manual_seed(0)
    size = preprocessing.image_size
    patterns = [
        F.interpolate(torch.rand(1, 3, grain, grain, generator=generator), (size, size), mode="bilinear")
        for grain in _GRAINS
    ]
    return preprocessing.normalize(255 * torch.cat(patterns))


@torch.no_grad()
def check_parity(
    network: ScoringNetwork, exported: Callable[[Tensor], Any], preprocessing: Preprocessing, name: str
) -> float:
    """Compare an export with the classifier, on all example images at once and on one alone.

    Args:
        network: The classifier.
        exported: The export that was written, read again: images (B, 3, S, S) to logits (B, C).
        preprocessing: The input transform.
        name: The format, for messages.

    Returns:
        The largest difference of two logits.

    Raises:
        InputError: A difference is above the tolerance.
    """
    images = example_images(preprocessing)
    largest = 0.0
    for batch in (images, images[:1]):
        expected, found = network.eval()(batch), torch.as_tensor(exported(batch))
        finite = expected.isfinite()  # a class without training images may have the logit −∞
        same = expected.shape == found.shape and bool((expected[~finite] == found[~finite]).all())
        difference = float((expected - found)[finite].abs().max()) if same else float("inf")
        allowed = TOLERANCE * max(1.0, float(expected[finite].abs().max()))
        if not difference <= allowed:  # nor NaN
            raise InputError(
                f"`format` {name}: its logits differ from the run's by {difference:.3g}, and rounding explains at most "
                f"{allowed:.3g}; nothing was written; give another `format`"
            )
        largest = max(largest, difference)
    return largest
