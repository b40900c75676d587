"""Augmentation of a whole batch, each image with its own draw and no Python a sample.

One affine sampling grid does crops, flips and small affine changes; RandAugment goes before it, cutout after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice


@dataclass(frozen=True)
class Augmentation:
    """Ranges that each image's own transform is drawn from.

    Attributes:
        area: Smallest and largest share of the frame's area that is kept.
        aspect: Largest change of the aspect ratio, as a factor of at least 1.
        shift: Largest shift beyond the frame, as a share of the side; what comes in is black.
        whole_pixels: Nothing is resized: of a frame that is larger than the result a window of the result's size is
            taken, anywhere inside it; of one that is not, shifts are by whole pixels, all in the range alike.
        rotate: Largest rotation, in degrees.
        shear: Largest shear, as a tangent.
        flip: Mirror half of the images left to right.
        operations: RandAugment's operations an image, at its usual magnitude; 0 for none.
        cutout: Side of the square that is blacked out, as a share of the image's; 0 for none. Its centre lies
            anywhere in the image (DeVries and Taylor 2017).
    """

    area: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    shift: float = 0.0
    whole_pixels: bool = False
    rotate: float = 0.0
    shear: float = 0.0
    flip: bool = False
    operations: int = 0
    cutout: float = 0.0

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
        """Draw and apply.

        Args:
            pixels: (B, 3, R, R) uint8.
            size: Side S of the result.
            generator: A CPU generator, so that the draw is the same on every device.

        Returns:
            (B, 3, S, S) float, 0 to 255.
        """
        if self.operations:
            from finetune.augmentation.rand_augment import (
                rand_augment,  # torchvision takes a second to import: only where it is used
            )

            pixels = rand_augment(pixels, generator, operations=self.operations)
        placed = self._placed(pixels.float(), size, generator)
        return placed * self._uncovered(len(pixels), size, generator).to(placed) if self.cutout else placed

    def _placed(self, pixels: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Pixels (B, 3, R, R) cropped, turned and mirrored to a side of ``size``."""
        free = pixels.shape[-1] - size
        if replace(self, operations=0, cutout=0.0) == Augmentation():
            return _windows(pixels, torch.full((len(pixels), 2), round(free / 2)), size)
        if self.whole_pixels and free > 0:
            corners = torch.randint(free + 1, (len(pixels), 2), generator=generator)
            return replace(self, shift=0.0, whole_pixels=False)._placed(
                _windows(pixels, corners, size), size, generator
            )
        theta = self.matrices(len(pixels), size, generator).to(pixels)
        grid = F.affine_grid(theta, [len(pixels), 3, size, size], align_corners=False)
        # A window that magnifies reads up to half a pixel beyond the outermost pixel centres of the frame,
        # where zero padding would darken its edge.
        inside = self.shift == self.rotate == self.shear == 0 and self.area[1] <= 1
        padding = "border" if inside else "zeros"
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode=padding, align_corners=False)

    def _uncovered(self, n: int, size: int, generator: torch.Generator) -> Tensor:
        """(n, 1, size, size) 0 in a square of each image, 1 elsewhere."""
        side = round(self.cutout * size)
        start = torch.randint(size, (n, 2, 1), generator=generator) - side // 2
        at = torch.arange(size)
        rows, columns = ((at >= start) & (at < start + side)).unbind(1)
        return ~(rows[:, None, :, None] & columns[:, None, None, :])


def _windows(pixels: Tensor, corners: Tensor, size: int) -> Tensor:
    """The window of each frame (B, 3, R, R) with its upper left corner (B, 2) and a side of ``size`` pixels."""
    if pixels.shape[-1] == size:
        return pixels
    corners, at = corners.to(pixels.device), torch.arange(size, device=pixels.device)
    rows, columns = (corners[:, :, None] + at).unbind(1)
    image = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    return pixels.movedim(1, 3)[image, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


#: The augmentations that have a name on the command line; MEANINGS says what each does.
AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(whole_pixels=True, flip=True),
    # 4 pixels each way of 32: the CIFAR protocol (He et al. 2016, section 4.2)
    "crop-flip": Augmentation(shift=0.125, whole_pixels=True, flip=True),
    # the ImageNet protocol (Szegedy et al. 2015), with a gentler smallest crop for small datasets
    "resized-crop": Augmentation(area=(0.25, 1.0), aspect=4 / 3, flip=True),
    "affine": Augmentation(area=(0.8, 1.2), aspect=1.2, shift=0.08, rotate=12, shear=0.15),
}


#: What each does, and what may follow it after a plus sign.
MEANINGS = {
    "none": "the view that the network is tested with",
    "flip": "windows at the scale of the test, mirrored or not",
    "crop-flip": "shifts by up to an eighth of the side, or such windows where frames are larger, and mirror images",
    "resized-crop": "windows of a quarter of the area and more, aspect ratios to 4:3, and mirror images",
    "affine": "shifts, turns, shear and scale, no mirror images: for characters and signs",
    "+randaugment": "two operations of RandAugment before it",
    "+cutout": "a square of half the side blacked out after it",
}
#: What may follow one of them, after a plus sign.
ADDITIONS: dict[str, dict[str, float]] = {"randaugment": {"operations": 2}, "cutout": {"cutout": 0.5}}


def augmentation(name: str) -> Augmentation:
    """The augmentation of that name, such as ``crop-flip`` or ``crop-flip+randaugment+cutout``.

    Raises:
        InputError: There is none.
    """
    base, *additions = name.split("+")
    if base not in AUGMENTATIONS:
        after = " and ".join(f"+{addition}" for addition in ADDITIONS)
        raise InputError(f"--augment {name}: {choice(base, AUGMENTATIONS)}; {after} may follow it")
    found = AUGMENTATIONS[base]
    for addition in additions:
        if addition not in ADDITIONS:
            raise InputError(f"--augment {name}: after {base}, {choice('+' + addition, ['+' + a for a in ADDITIONS])}")
        found = replace(found, **ADDITIONS[addition])  # type: ignore[arg-type]
    return found
