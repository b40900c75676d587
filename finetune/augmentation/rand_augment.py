"""RandAugment over a whole batch: every image draws its own operations, every operation runs once for all that drew it.

Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", CVPR workshops
2020. Operations and their ranges are those of torchvision's ``v2.RandAugment``, which draws once for all images of a
call, from the global generator, so a batch would take a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from finetune.augmentation.catalogue import AugmentationRow
from finetune.augmentation.geometric import Augmentation

#: An operation of images and strength, its strength at magnitude 1, and whether the sign of the strength is drawn.
Operation = tuple[Callable[[Tensor, float], Tensor], float, bool]
Pair = tuple[float, float]


@cache
def operations() -> dict[str, Operation]:
    """RandAugment's operations by name; torchvision, which takes a second to import, is imported here."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    def affine(images: Tensor, angle: float = 0.0, shift: Pair = (0.0, 0.0), shear: Pair = (0.0, 0.0)) -> Tensor:
        pixels = [round(shift[0] * images.shape[-1]), round(shift[1] * images.shape[-2])]
        degrees = [float(torch.rad2deg(torch.atan(torch.tensor(tangent)))) for tangent in shear]
        corner = [0.0, 0.0] if any(shear) else None  # as in torchvision; other maps turn about the centre
        return F.affine(images, angle, pixels, 1.0, degrees, interpolation=InterpolationMode.NEAREST, center=corner)

    return {
        "identity": (lambda images, _: images, 0.0, False),
        "shear-x": (lambda images, v: affine(images, shear=(v, 0.0)), 0.3, True),
        "shear-y": (lambda images, v: affine(images, shear=(0.0, v)), 0.3, True),
        "translate-x": (lambda images, v: affine(images, shift=(v, 0.0)), 150.0 / 331.0, True),
        "translate-y": (lambda images, v: affine(images, shift=(0.0, v)), 150.0 / 331.0, True),
        "rotate": (lambda images, v: affine(images, angle=-v), 30.0, True),
        "brightness": (lambda images, v: F.adjust_brightness(images, 1.0 + v), 0.9, True),
        "color": (lambda images, v: F.adjust_saturation(images, 1.0 + v), 0.9, True),
        "contrast": (lambda images, v: F.adjust_contrast(images, 1.0 + v), 0.9, True),
        "sharpness": (lambda images, v: F.adjust_sharpness(images, 1.0 + v), 0.9, True),
        "posterize": (lambda images, v: F.posterize(images, 8 - round(v)), 4.0, False),
        "solarize": (lambda images, v: F.solarize(images, 255.0 * (1 - v)), 1.0, False),
        "autocontrast": (lambda images, _: F.autocontrast(images), 0.0, False),
        "equalize": (lambda images, _: F.equalize(images), 0.0, False),
    }


def rand_augment(images: Tensor, generator: torch.Generator, *, n: int = 2, magnitude: float = 0.3) -> Tensor:
    """Apply ``n`` randomly drawn operations to each image, one after the other; the defaults are torchvision's.

    Args:
        images: (B, 3, H, W) uint8, as the result.
        generator: A CPU generator.
        n: Operations of each image.
        magnitude: Strength of the operations, 0 to 1.
    """
    table = list(operations().values())
    for _ in range(n):
        drawn = torch.randint(2 * len(table), (len(images),), generator=generator)  # an operation and a sign
        augmented = images.clone()
        for choice in drawn.unique().tolist():
            operation, strength, signed = table[choice // 2]
            value = magnitude * strength * (-1 if signed and choice % 2 else 1)
            where = (drawn == choice).nonzero()[:, 0].to(images.device)
            augmented[where] = operation(images[where], value)
        images = augmented
    return images


ADDITION = AugmentationRow(
    "+randaugment", "two operations of RandAugment, before the base augmentation", Augmentation(before=(rand_augment,))
)
