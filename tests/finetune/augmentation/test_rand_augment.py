"""RandAugment against torchvision's functionals, image by image; its draws."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import RandAugment

from finetune.augmentation.rand_augment import operations, rand_augment


def noise(n: int, size: int = 16) -> torch.Tensor:
    return torch.randint(256, (n, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", operations())
@pytest.mark.parametrize("sign", [1, -1])
def test_an_image_fares_the_same_alone_and_in_a_batch(name, sign):
    operation, strength, signed = operations()[name]
    images, value = noise(5), 0.3 * strength * (sign if signed else 1)
    together = operation(images, value)
    assert together.dtype == torch.uint8 and together.shape == images.shape
    assert torch.equal(together, torch.cat([operation(image[None], value) for image in images]))
    assert (name == "identity") == torch.equal(together, images)


def test_one_operation_is_drawn_for_each_image_all_alike():
    same = noise(1).expand(5600, 3, 16, 16)
    found = rand_augment(same, draw(), n=1)
    expected = {}
    for name, (operation, strength, signed) in operations().items():
        for sign in (1, -1):
            outcome = operation(same[:1], 0.3 * strength * (sign if signed else 1))
            times = int((found == outcome).flatten(1).all(1).sum())
            expected[name, sign] = times if signed else times / 2
    # 28 choices of 200 each, a deviation of 14
    assert len(expected) == 28 and all(140 < times < 260 for times in expected.values())


def test_the_generator_alone_decides():
    images = noise(64)
    first, again = rand_augment(images, draw(3)), rand_augment(images, draw(3))
    assert torch.equal(first, again) and not torch.equal(first, rand_augment(images, draw(4)))
    assert torch.equal(images, noise(64))  # what was given is left as it was


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("shear-x", "ShearX"),
        ("shear-y", "ShearY"),
        ("translate-x", "TranslateX"),
        ("translate-y", "TranslateY"),
        ("brightness", "Brightness"),
        ("contrast", "Contrast"),
        ("sharpness", "Sharpness"),
        ("posterize", "Posterize"),
        ("solarize", "Solarize"),
        ("autocontrast", "AutoContrast"),
        ("equalize", "Equalize"),
        ("rotate", "Rotate"),
    ],
)
def test_operations_are_torchvisions(name, theirs, sign):
    magnitudes, signed = RandAugment._AUGMENTATION_SPACE[theirs]
    strengths = magnitudes(31, 32, 32)
    value = 0.0 if strengths is None else float(strengths[9]) * (sign if signed else 1)
    images = noise(4, 32)
    expected = RandAugment()._apply_image_or_video_transform(images, theirs, value, RandAugment().interpolation, {})
    operation, strength, _ = operations()[name]
    found = operation(images, 0.3 * strength * (sign if signed else 1))
    assert (found != expected).float().mean() < 0.01  # rounding of the strength
