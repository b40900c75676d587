"""RandAugment over a whole batch: every image draws its own operations, every operation runs once for all that drew it.

Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", CVPR workshops
2020. Operations and their ranges are those of torchvision's ``v2.RandAugment``. That class is not used itself: it
draws once for all images of a call, so a batch would take a Python loop over its images, and it draws from the global
generator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from finetune.augmentation.geometric import Augmentation, AugmentationRow

#: An operation of images and strength, its strength at magnitude 1, and whether the sign of the strength is drawn.
Operation = tuple[Callable[[Tensor, float], Tensor], float, bool]


@cache
def operations() -> dict[str, Operation]:
    """RandAugment's operations by name; torchvision, which takes a second to import, is imported here."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    def affine(
        images: Tensor,
        *,
        angle: float = 0.0,
        x: float = 0.0,
        y: float = 0.0,
        shear_x: float = 0.0,
        shear_y: float = 0.0,
    ) -> Tensor:
        shear = [_degrees(shear_x), _degrees(shear_y)]
        translate = [round(x * images.shape[-1]), round(y * images.shape[-2])]
        corner = [0.0, 0.0] if shear_x or shear_y else None  # as in torchvision; other maps turn about the centre
        return F.affine(images, angle, translate, 1.0, shear, interpolation=InterpolationMode.NEAREST, center=corner)

    def adjusted(adjust: Callable[[Tensor, float], Tensor], images: Tensor, change: float) -> Tensor:
        return adjust(images, 1.0 + change)

    return {
        "identity": (lambda images, _: images, 0.0, False),
        "shear-x": (lambda images, v: affine(images, shear_x=v), 0.3, True),
        "shear-y": (lambda images, v: affine(images, shear_y=v), 0.3, True),
        "translate-x": (lambda images, v: affine(images, x=v), 150.0 / 331.0, True),
        "translate-y": (lambda images, v: affine(images, y=v), 150.0 / 331.0, True),
        "rotate": (lambda images, v: affine(images, angle=-v), 30.0, True),
        "brightness": (partial(adjusted, F.adjust_brightness), 0.9, True),
        "color": (partial(adjusted, F.adjust_saturation), 0.9, True),
        "contrast": (partial(adjusted, F.adjust_contrast), 0.9, True),
        "sharpness": (partial(adjusted, F.adjust_sharpness), 0.9, True),
        "posterize": (lambda images, v: F.posterize(images, 8 - round(v)), 4.0, False),
        "solarize": (lambda images, v: F.solarize(images, 255.0 * (1 - v)), 1.0, False),
        "autocontrast": (lambda images, _: F.autocontrast(images), 0.0, False),
        "equalize": (lambda images, _: F.equalize(images), 0.0, False),
    }


def _degrees(tangent: float) -> float:
    return float(torch.rad2deg(torch.atan(torch.tensor(tangent))))


def rand_augment(images: Tensor, generator: torch.Generator, *, n: int = 2, magnitude: float = 0.3) -> Tensor:
    """Apply ``n`` randomly drawn operations to each image, one after the other.

    Args:
        images: (B, 3, H, W) uint8.
        generator: A CPU generator.
        n: Operations of each image; 2 is torchvision's default.
        magnitude: Strength of the operations, 0 to 1; 0.3 is torchvision's default, 9 of 30.

    Returns:
        (B, 3, H, W) uint8.
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


ADDITION = AugmentationRow("+randaugment", "first two operations of RandAugment", Augmentation(before=(rand_augment,)))
