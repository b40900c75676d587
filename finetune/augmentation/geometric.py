"""Crops, flips and small affine maps of a whole batch: one sampling grid, each image with its own draw.

No Python loop runs over the images. Other transforms are steps before the grid (RandAugment) or after it (cutout).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.augmentation.catalogue import AugmentationRow

#: A random transform of a batch (B, 3, H, W) that keeps its shape and type; it draws from a CPU generator.
Step = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Ranges from which the transform of each image is drawn.

    Attributes:
        area: Smallest and largest share of the frame's area that is kept.
        aspect: Largest change of the aspect ratio, as a factor of at least 1.
        shift: Largest shift beyond the frame, as a share of the side; the area beyond the frame is black.
        whole_pixels: Whether nothing is resized. From a frame that is larger than the result, a window of the result's
            size is taken anywhere inside it; other frames are shifted by whole pixels, uniformly over the range.
        rotate: Largest rotation, in degrees.
        shear: Largest shear, as a tangent.
        flip: Whether half of the images are mirrored left to right.
        before: Transforms of the uint8 frames before the grid.
        after: Transforms of the float images after it.
    """

    area: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    shift: float = 0.0
    whole_pixels: bool = False
    rotate: float = 0.0
    shear: float = 0.0
    flip: bool = False
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()

    def matrices(self, n: int, size: int, generator: torch.Generator) -> Tensor:
        """(n, 2, 3) affine maps from output coordinates (a side of ``size`` pixels) to input, both in −1 … 1."""

        def uniform(low: float, high: float) -> Tensor:
            return torch.rand(n, generator=generator) * (high - low) + low

        side = uniform(*self.area).sqrt()
        stretch = torch.exp(uniform(-1, 1) * math.log(self.aspect) / 2)
        width, height = (side * stretch).clamp(max=max(1.0, self.area[1])), side / stretch
        height = height.clamp(max=max(1.0, self.area[1]))
        angle = uniform(-1, 1) * math.radians(self.rotate)
        shear = uniform(-1, 1) * self.shear
        mirror = 1 - 2 * (uniform(0, 1) < 0.5).float() if self.flip else torch.ones(n)
        cos, sin = angle.cos(), angle.sin()
        # The kept window lies anywhere inside the frame; the shift may move it beyond.
        free_x, free_y = (1 - width).clamp(min=0) + 2 * self.shift, (1 - height).clamp(min=0) + 2 * self.shift
        x, y = uniform(-1, 1), uniform(-1, 1)
        if self.whole_pixels:
            pixels = math.floor(self.shift * size + 0.5)
            x, y = (torch.floor((u + 1) / 2 * (2 * pixels + 1)).clamp(max=2 * pixels) - pixels for u in (x, y))
            x, y = x * 2 / size, y * 2 / size
        else:
            x, y = x * free_x, y * free_y
        first = torch.stack([mirror * width * cos, height * (shear * cos - sin), x], dim=1)
        second = torch.stack([mirror * width * sin, height * (shear * sin + cos), y], dim=1)
        return torch.stack([first, second], dim=1)

    def __call__(self, pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Draw a transform for each of the frames (B, 3, R, R) uint8 and apply it: (B, 3, size, size) float, 0 to 255.

        The generator is a CPU generator, so that the draws are the same on every device.
        """
        for step in self.before:
            pixels = step(pixels, generator)
        pixels = self._placed(pixels.float(), size, generator)
        for step in self.after:
            pixels = step(pixels, generator)
        return pixels

    def _placed(self, pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Pixels (B, 3, R, R) cropped, rotated and mirrored to a side of ``size``."""
        free = pixels.shape[-1] - size
        if replace(self, before=(), after=()) == Augmentation():
            return _windows(pixels, torch.full((len(pixels), 2), round(free / 2)), size)
        if self.whole_pixels and free > 0:
            corners = torch.randint(free + 1, (len(pixels), 2), generator=generator)
            return replace(self, shift=0.0, whole_pixels=False)._placed(
                _windows(pixels, corners, size), size, generator
            )
        theta = self.matrices(len(pixels), size, generator).to(pixels)
        grid = F.affine_grid(theta, [len(pixels), 3, size, size], align_corners=False)
        # A magnified window reads up to half a pixel beyond the outermost pixel centres of the frame, where zero
        # padding would darken its edge.
        inside = self.shift == self.rotate == self.shear == 0 and self.area[1] <= 1
        padding = "border" if inside else "zeros"
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _windows(pixels: Tensor, corners: Tensor, size: int) -> Tensor:
    """The window of each frame (B, 3, R, R) with its upper left corner (B, 2) and a side of ``size`` pixels."""
    if pixels.shape[-1] == size:
        return pixels
    corners, at = corners.to(pixels.device), torch.arange(size, device=pixels.device)
    rows, columns = (corners[:, :, None] + at).unbind(1)
    image = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    return pixels.movedim(1, 3)[image, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


BASES = (
    AugmentationRow("none", "no augmentation: the test-time view", Augmentation()),
    AugmentationRow(
        "flip",
        "random windows at the scale of the test, half of them mirrored",
        Augmentation(whole_pixels=True, flip=True),
    ),
    AugmentationRow(
        "crop-flip",
        "shifts of up to an eighth of the side, or random windows of larger frames; half of them mirrored",
        # 4 pixels each way of 32: the CIFAR protocol (He et al. 2016, section 4.2)
        Augmentation(shift=0.125, whole_pixels=True, flip=True),
    ),
    AugmentationRow(
        "resized-crop",
        "windows of at least a quarter of the area, aspect ratios up to 4:3, half of them mirrored",
        # the ImageNet protocol (Szegedy et al. 2015), with a larger smallest crop for small datasets
        Augmentation(area=(0.25, 1.0), aspect=4 / 3, flip=True),
    ),
    AugmentationRow(
        "affine",
        "small shifts, rotations, shears and changes of scale, never mirrored: for characters and signs",
        Augmentation(area=(0.8, 1.2), aspect=1.2, shift=0.08, rotate=12, shear=0.15),
    ),
)
