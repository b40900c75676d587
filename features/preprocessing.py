"""Preprocessing: from a decoded image to the input of a network. Pillow resizes; every bank records the transform."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from features.image_sources import picture_size
from features.infrastructure.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

#: A JPEG is decoded at a half, a quarter or an eighth of its size only if each side keeps at least this many times
#: the pixels that are needed. With fewer, the class means of photos move by more than bfloat16 moves them.
DETAIL = 3

#: Pixels of the longest side that an image is resized to: such an input takes a gigabyte.
LARGEST_SIDE = 16_384

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, crop the centre, and scale each channel to mean 0 and standard deviation 1.

    Attributes:
        image_size: Side of the square input of the network, in pixels.
        resize: Shorter side before the crop, in pixels; at least ``image_size``.
        interpolation: ``bilinear`` or ``bicubic``, both antialiased.
        mean: Channel means for pixels in [0, 1].
        std: Channel standard deviations for pixels in [0, 1].
        squash: Whether both sides become ``resize`` pixels, so that an image loses its shape.

    Raises:
        InputError: The sizes or the interpolation are invalid.
    """

    image_size: int
    resize: int
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    squash: bool = False

    def __post_init__(self) -> None:
        if self.image_size < 1 or self.resize < self.image_size:
            raise InputError(f"image size {self.image_size} must be at least 1 and at most the resize {self.resize}")
        if self.resize > LARGEST_SIDE:
            raise InputError(f"image size {self.image_size}: expected sides of at most {LARGEST_SIDE} pixels")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise InputError("the mean and the standard deviation of pixels: expected three numbers each")
        if min(self.std) <= 0:
            raise InputError(f"the standard deviations of pixels {list(self.std)}: expected numbers above 0")
        if self.interpolation not in _RESAMPLING:
            raise InputError(f"interpolation {self.interpolation!r} is not one of {', '.join(_RESAMPLING)}")

    def at(self, image_size: int) -> Preprocessing:
        """Return the transform for another image size, with the same ratio of resize to crop."""
        return replace(self, image_size=image_size, resize=round(image_size * self.resize / self.image_size))

    def cropped_to(self, crop_pct: float) -> Preprocessing:
        """Return the transform that crops another share of the shorter side, above 0 to 1."""
        return replace(self, resize=math.floor(self.image_size / crop_pct))

    def uncropped(self) -> Preprocessing:
        """Return the transform whose crop is as large as the resize; training crops from it at random."""
        return replace(self, image_size=self.resize)

    def describe(self) -> str:
        """Return one line that identifies the transform, as banks store it."""
        mean, std = (",".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        size = f"{'squash' if self.squash else 'resize'} {self.resize} crop {self.image_size}"
        return f"pillow-{self.interpolation} draft {DETAIL} {size} mean {mean} std {std}"

    @property
    def side_needed(self) -> int | None:
        """The least shorter side, in pixels, to decode an image at; None for its own size."""
        return DETAIL * self.resize

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one image in the network's input: channels, height and width."""
        return 3, self.image_size, self.image_size

    def pixels(self, image: Image.Image) -> Tensor:
        """Resize and crop one RGB image to (3, image_size, image_size) uint8."""
        import torch

        # Crop and resize in one pass, so that only the pixels of the crop are resampled. The box is that of Resize
        # followed by CenterCrop in torchvision and timm.
        lengths = picture_size(image)
        (left, right), (top, bottom) = (self._kept(length, min(lengths)) for length in lengths)
        size = (self.image_size, self.image_size)
        image = image.resize(size, _RESAMPLING[self.interpolation], box=(left, top, right, bottom))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def _kept(self, length: float, shorter: float) -> tuple[float, float]:
        """Return where the crop begins and ends along a side of ``length`` pixels, in pixels of the image."""
        resized = self.resize if self.squash else int(self.resize * length / shorter)
        start = round((resized - self.image_size) / 2)
        return start * length / resized, (start + self.image_size) * length / resized

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scale pixels (B, 3, H, W), uint8 or float in 0 … 255, to (B, 3, H, W) float32 on the same device."""
        import torch

        scale = 255 * torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        shift = 255 * torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.float() - shift) / scale

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Preprocessing:
        """Build the transform from the fields of :meth:`to_json`."""
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
