"""Test-time augmentation: the probabilities of several crops and mirror images of each image are averaged.

Source: Krizhevsky, Sutskever, Hinton, NIPS 2012, section 4.1 (centre, corners, and their reflections).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from features.infrastructure.errors import InputError
from finetune.model import ImageClassifier, as_scores


class Views(nn.Module):
    """Normalised frames (B, 3, R, R) to class probabilities (B, C), averaged over views, all in one forward pass.

    The views are 1 (the centre), 2 (and its mirror image), 5 (centre and corners) or 10 (and their mirror images).
    ``scale`` is the factor of the logits before the link function. With ``features``, the pooled features (B, D) of the
    centre stand behind the probabilities: (B, C + D). ``preprocessing`` is the input transform of the frames: the
    model's own, but without its crop for 5 and 10 views. Raises ``InputError`` if frames are no larger than crops, so
    that all crops would be the same.
    """

    def __init__(
        self, model: ImageClassifier, views: int, *, sigmoid: bool, scale: float, features: bool = False
    ) -> None:
        super().__init__()
        self.model, self.views, self.sigmoid, self.scale, self.features = model, views, sigmoid, scale, features
        own = model.backbone.preprocessing
        self.preprocessing = own.uncropped() if views > 2 else own
        self.size = own.image_size
        if views > 2 and self.preprocessing.image_size == self.size:
            raise InputError(
                f"`views` {views}: this model sees the whole image, so centre and corners are the same; use `views` 2"
            )

    def forward(self, frames: Tensor) -> Tensor:
        crops = self._crops(frames)
        if self.views in (2, 10):
            crops = torch.cat([crops, crops.flip(-1)])
        features = self.model.backbone(crops.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        scores = as_scores(self.model.classify(features) * self.scale, self.sigmoid)
        scores = scores.unflatten(0, (self.views, len(frames))).mean(dim=0)
        return torch.cat([scores, features[: len(frames)].float()], dim=1) if self.features else scores

    def _crops(self, frames: Tensor) -> Tensor:
        """(1 or 5, B, 3, S, S): the centre, then the corners."""
        if self.views <= 2:
            return frames[None]
        size, end = self.size, frames.shape[-1] - self.size
        middle = round(end / 2)
        places = ((middle, middle), (0, 0), (0, end), (end, 0), (end, end))
        return torch.stack([frames[..., y : y + size, x : x + size] for y, x in places])
