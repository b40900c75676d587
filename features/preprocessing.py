"""From a decoded image to the network's input: one resize backend (Pillow), recorded in every bank."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from features.image_sources import extent
from features.infrastructure.errors import InputError

#: A JPEG is decoded at a half, a quarter or an eighth of its size only if at least this many times the pixels that
#: are needed remain on each side. With fewer, the means of real photos move by more than bfloat16 moves them.
DETAIL = 3

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, crop the centre, scale to mean 0 and deviation 1 by channel.

    Attributes:
        image_size: Side of the square that the network sees, in pixels.
        resize: Shorter side before the crop, in pixels; at least ``image_size``.
        interpolation: ``bilinear`` or ``bicubic``, both antialiased.
        mean: Channel means for pixels in [0, 1].
        std: Channel deviations for pixels in [0, 1].
    """

    image_size: int
    resize: int
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.image_size < 1 or self.resize < self.image_size:
            raise InputError(f"image size {self.image_size} must be at least 1 and at most the resize {self.resize}")
        if self.interpolation not in _RESAMPLING:
            raise InputError(f"interpolation {self.interpolation!r} is not one of {', '.join(_RESAMPLING)}")

    def at(self, image_size: int) -> Preprocessing:
        """The same for another image size, with the same ratio of resize to crop."""
        return replace(self, image_size=image_size, resize=round(image_size * self.resize / self.image_size))

    def cropped_to(self, crop_pct: float) -> Preprocessing:
        """The same that sees another share of the shorter side: 1 for all of it."""
        return replace(self, resize=math.floor(self.image_size / crop_pct))

    def uncropped(self) -> Preprocessing:
        """Keep the whole square that the centre crop is cut from: what training crops at random."""
        return replace(self, image_size=self.resize)

    def describe(self) -> str:
        """One line that identifies the transform, as stored in a bank."""
        mean, std = (",".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        size = f"resize {self.resize} crop {self.image_size}"
        return f"pillow-{self.interpolation} draft {DETAIL} {size} mean {mean} std {std}"

    @property
    def side_needed(self) -> int:
        """The shorter side, in pixels, that an image has to be decoded at."""
        return DETAIL * self.resize

    def pixels(self, image: Image.Image) -> Tensor:
        """Resize and crop one RGB image.

        Returns:
            (3, image_size, image_size) uint8.
        """
        # Crop and resize in one pass, so that only the pixels that are kept are resampled. The box is where
        # torchvision's and timm's Resize and CenterCrop, one after the other, would cut.
        lengths = extent(image)
        (left, right), (top, bottom) = (self._kept(length, min(lengths)) for length in lengths)
        size = (self.image_size, self.image_size)
        image = image.resize(size, _RESAMPLING[self.interpolation], box=(left, top, right, bottom))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def _kept(self, length: float, shorter: float) -> tuple[float, float]:
        """Where the crop begins and ends along a side of ``length`` pixels, in pixels of the image."""
        resized = int(self.resize * length / shorter)
        start = round((resized - self.image_size) / 2)
        return start * length / resized, (start + self.image_size) * length / resized

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scale a batch.

        Args:
            pixels: (B, 3, H, W) uint8, or float in 0 … 255.

        Returns:
            (B, 3, H, W) float32 on the same device.
        """
        scale = 255 * torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        shift = 255 * torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.float() - shift) / scale

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Preprocessing:
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
