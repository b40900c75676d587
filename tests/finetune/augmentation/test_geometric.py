"""Augmentation against SciPy, Pillow and plain loops; its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

from features.preprocessing import Preprocessing
from finetune.augmentation import Augmentation, augmentation


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 4, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=draw(9)) * 255


class Given(Augmentation):
    """An augmentation whose matrices are given, not drawn."""

    theta: torch.Tensor

    def matrices(self, n: int, size: int, generator: torch.Generator) -> torch.Tensor:
        return Given.theta.expand(n, 2, 3)


def test_none_leaves_the_pixels_as_they_are():
    pixels = noise()
    assert torch.equal(augmentation("none")(pixels, 16, draw()), pixels)


@pytest.mark.parametrize(("size", "resize"), [(10, 24), (24, 24), (224, 256)])
def test_none_is_the_view_of_the_test(size, resize):
    """The centre of the frame, as a network's own input transform takes it, but for the rounding to whole greys."""
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 31, 3), dtype=np.uint8))
    preprocessing = Preprocessing(size, resize)
    frames = preprocessing.uncropped().pixels(image)[None].expand(3, 3, resize, resize)
    found = augmentation("none")(frames, size, draw())
    expected = preprocessing.pixels(image).float().expand_as(found)
    torch.testing.assert_close(found.float(), expected, atol=1, rtol=0)


@pytest.mark.parametrize("name", ["flip", "crop-flip"])
def test_windows_of_larger_frames_are_taken_anywhere_and_as_they_are(name):
    size, side, n = 5, 8, 2000
    frame = torch.arange(side * side).float().view(1, 1, side, side).expand(n, 3, side, side)
    found = augmentation(name)(frame, size, draw())[:, 0]
    windows = frame[0, 0].unfold(0, size, 1).unfold(1, size, 1).reshape(-1, size, size)  # all 16
    every = torch.stack([windows, windows.flip(2)]).reshape(-1, size, size)
    away = (found[:, None] - every).abs().amax((2, 3))
    assert (away.amin(1) < 0.01).all()  # of up to 63: the mirror's coordinates are rounded to float32
    drawn = torch.bincount(away.argmin(1), minlength=32)
    assert ((drawn - n / 32).abs() < 4 * (n / 32) ** 0.5).all()


@pytest.mark.parametrize("name", ["flip", "crop-flip", "resized-crop", "affine"])
def test_the_generator_alone_decides_and_every_image_has_its_own_draw(name):
    one = noise(1).expand(6, 3, 16, 16)
    first, again = (augmentation(name)(one, 12, draw(3)) for _ in range(2))
    assert first.shape == (6, 3, 12, 12)
    assert torch.equal(first, again)
    assert not torch.equal(first, augmentation(name)(one, 12, draw(4)))
    assert all(not torch.equal(first[i], first[j]) for i in range(6) for j in range(i))


@pytest.mark.parametrize("given", [Augmentation(flip=True), augmentation("flip")])
def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_others(given):
    pixels = noise(400, 8)
    found = given(pixels, 8, draw())
    close = 0.01  # of 255: the grid's coordinates are rounded to float32
    same = (found - pixels).abs().amax((1, 2, 3)) < close
    mirrored = (found - pixels.flip(3)).abs().amax((1, 2, 3)) < close
    assert (same ^ mirrored).all()
    assert 160 <= mirrored.sum() <= 240  # 4 standard deviations; the seed is fixed


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, -2), (-5, 4)])
def test_a_shift_by_whole_pixels_against_a_plain_loop(dx, dy):
    size, pixels = 8, noise(2, 8)
    Given.theta = torch.tensor([[1.0, 0, 2 * dx / size], [0, 1.0, 2 * dy / size]])
    found = Given(shift=1.0)(pixels, size, draw())
    expected = torch.zeros_like(pixels)
    for y in range(size):
        for x in range(size):
            if 0 <= y + dy < size and 0 <= x + dx < size:
                expected[:, :, y, x] = pixels[:, :, y + dy, x + dx]
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(("name", "out"), [("crop-flip", 16), ("affine", 12)])
def test_what_is_drawn_against_scipy(name, out):
    size = 16
    pixels = noise(5, size)
    found = augmentation(name)(pixels, out, draw(2)).numpy()
    theta = augmentation(name).matrices(5, out, draw(2)).numpy().astype(np.float64)
    centre = (2 * np.arange(out) + 1) / out - 1  # pixel centres in −1 … 1
    for i in range(5):
        x = theta[i, 0, 0] * centre[None, :] + theta[i, 0, 1] * centre[:, None] + theta[i, 0, 2]
        y = theta[i, 1, 0] * centre[None, :] + theta[i, 1, 1] * centre[:, None] + theta[i, 1, 2]
        at = [((y + 1) * size - 1) / 2, ((x + 1) * size - 1) / 2]
        expected = [map_coordinates(channel, at, order=1, mode="grid-constant") for channel in pixels[i].numpy()]
        np.testing.assert_allclose(found[i], expected, atol=0.02)


def test_a_crop_within_the_frame_brings_in_no_black():
    grey = torch.full((200, 3, 16, 16), 200.0)
    for size in (8, 16, 32):  # smaller, the same and magnified
        found = augmentation("resized-crop")(grey, size, draw())
        torch.testing.assert_close(found, torch.full_like(found, 200.0), atol=0.01, rtol=0)
    assert (augmentation("crop-flip")(grey, 16, draw()) < 1).any()  # its shift does


def test_ranges_are_kept_and_used():
    crop = Augmentation(area=(0.25, 1.0), aspect=4 / 3).matrices(5000, 32, draw())
    width, height, x, y = crop[:, 0, 0], crop[:, 1, 1], crop[:, 0, 2], crop[:, 1, 2]
    share, ratio = width * height, width / height
    assert 0.25 - 1e-4 <= share.min() < 0.27
    assert 0.95 < share.max() <= 1 + 1e-4
    assert 0.75 - 1e-4 <= ratio.min() < 0.77
    assert 1.30 < ratio.max() <= 4 / 3 + 1e-4
    for centre, side in ((x, width), (y, height)):
        assert (centre.abs() + side).max() <= 1 + 1e-5  # the window stays inside −1 … 1
    shift = Augmentation(shift=0.125).matrices(5000, 32, draw())[:, :, 2] * 32 / 2  # in pixels of a side of 32
    assert 3.9 < shift.abs().amax(0).min() <= shift.abs().max() <= 4
    turned = Augmentation(rotate=12).matrices(5000, 32, draw())
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    assert 11.8 < angle.abs().max() <= 12 + 1e-3
    assert abs(angle.mean()) < 0.5


def test_crop_flip_pads_crops_anywhere_by_whole_pixels_and_mirrors():
    size, pad = 16, 2  # as 4 of 32
    pixels = noise(1000, size).round()
    found = augmentation("crop-flip")(pixels, size, draw())
    padded = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    places = [(y, x) for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
    crops = [padded[:, :, y : y + size, x : x + size] for y, x in places]
    same = torch.stack([(found - crop).abs().amax((1, 2, 3)) < 0.05 for crop in crops + [c.flip(3) for c in crops]])
    assert (same.sum(0) == 1).all()  # every image is one of the 50 crops
    # 50 alike: the 0.999 quantile of chi-square with 49 degrees of freedom is 85
    times, expected = same.sum(1).double(), len(pixels) / 50
    assert ((times - expected) ** 2 / expected).sum() < 85


def test_characters_are_never_mirrored():
    area = torch.linalg.det(augmentation("affine").matrices(1000, 32, draw())[:, :, :2])
    assert (area > 0).all()
    mirrored = torch.linalg.det(augmentation("crop-flip").matrices(1000, 32, draw())[:, :, :2]) < 0
    assert 400 < mirrored.sum() < 600
