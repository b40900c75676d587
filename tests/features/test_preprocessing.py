"""From an image to the network's input, against torchvision's own transforms."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from features.infrastructure.errors import InputError
from features.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

SHAPES = [
    (300, 200),
    (200, 300),
    (227, 227),
    (500, 375),
    (33, 700),
    (700, 33),
    (1, 1),
    (1, 40),
    (64, 64),
    (73, 73),
    (5, 3),
]


def picture(width, height):
    """Noise, which shows the smallest shift, and without extremes, so that no overshoot of the filter is clipped."""
    return Image.fromarray(np.random.default_rng(width).integers(64, 192, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize(("image_size", "resize"), [(64, 73), (64, 64), (33, 38)])
def test_squashing_is_resizing_both_sides(size, image_size, resize):
    image = picture(*size)
    recipe = Preprocessing(image_size, resize, "bicubic", squash=True)
    mode = transforms.InterpolationMode("bicubic")
    theirs = transforms.CenterCrop(image_size)(transforms.Resize((resize, resize), mode)(image))
    difference = np.abs(recipe.pixels(image).permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs))
    assert difference.max() <= 1
    assert recipe.describe() != Preprocessing(image_size, resize, "bicubic").describe()
    assert Preprocessing.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    early = {name: value for name, value in recipe.to_json().items() if name != "squash"}
    assert not Preprocessing.from_json(early).squash  # as checkpoints of earlier versions have it


@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("image_size", "resize"), [(64, 73), (64, 64), (224, 256), (33, 38), (7, 8)])
def test_one_pass_gives_what_resize_and_centre_crop_give(size, interpolation, image_size, resize):
    image = picture(*size)
    ours = Preprocessing(image_size, resize, interpolation).pixels(image)
    mode = transforms.InterpolationMode(interpolation)
    theirs = transforms.CenterCrop(image_size)(transforms.Resize(resize, mode)(image))
    difference = np.abs(ours.permute(1, 2, 0).numpy().astype(int) - np.asarray(theirs))
    assert ours.shape == (3, image_size, image_size) and ours.dtype == torch.uint8 and ours.is_contiguous()
    # Pillow rounds between the two axes, and takes first the one that is cheaper: not always the same for both.
    assert difference.max() <= 2 and difference.mean() < 0.5


def test_an_image_of_the_right_size_is_left_as_it_is():
    image = picture(32, 32)
    np.testing.assert_array_equal(Preprocessing(32, 32).pixels(image).permute(1, 2, 0), np.asarray(image))


def test_normalised_pixels_are_those_of_the_formula():
    recipe = Preprocessing(8, 9, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    batch = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = (batch.numpy() / 255 - np.reshape(recipe.mean, (1, 3, 1, 1))) / np.reshape(recipe.std, (1, 3, 1, 1))
    for form in (batch, batch.float(), batch.double(), batch.to(memory_format=torch.channels_last)):
        found = recipe.normalize(form)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)  # single precision, values up to 10


def test_another_image_size_keeps_the_ratio_of_the_crop():
    recipe = Preprocessing(224, 256, "bicubic")
    assert (recipe.at(64).image_size, recipe.at(64).resize) == (64, 73)
    assert recipe.at(448).resize == 512 and recipe.at(224) == recipe and recipe.at(64).interpolation == "bicubic"
    assert all(recipe.at(size).resize >= size for size in range(1, 300))
    assert Preprocessing(32, 32).at(96) == Preprocessing(96, 96)


def test_uncropped_frames_contain_the_crop():
    recipe = Preprocessing(56, 64)
    frame = recipe.uncropped().pixels(picture(300, 200))
    assert frame.shape == (3, 64, 64)
    difference = (frame[:, 4:60, 4:60].int() - recipe.pixels(picture(300, 200)).int()).abs()
    assert difference.max() <= 1


def test_the_description_tells_recipes_apart():
    recipe = Preprocessing(224, 256)
    assert recipe.describe() == (
        "pillow-bilinear draft 3 resize 256 crop 224 mean 0.485,0.456,0.406 std 0.229,0.224,0.225"
    )
    others = [
        Preprocessing(192, 256),
        Preprocessing(224, 232),
        Preprocessing(224, 256, "bicubic"),
        Preprocessing(224, 256, mean=(0.5, 0.456, 0.406)),
        Preprocessing(224, 256, std=(0.229, 0.224, 0.5)),
    ]
    assert len({recipe.describe(), *(other.describe() for other in others)}) == 1 + len(others)


def test_json_there_and_back():
    recipe = Preprocessing(192, 219, "bicubic", (0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert Preprocessing.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Preprocessing(1, 1).mean == IMAGENET_MEAN and Preprocessing(1, 1).std == IMAGENET_STD


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0, 10), "image size 0 must be at least 1"),
        ((20, 10), "image size 20 must be at least 1 and at most the resize 10"),
        ((10, 10, "lanczos"), "interpolation 'lanczos' is not one of bilinear, bicubic"),
    ],
)
def test_what_cannot_be_is_refused(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        Preprocessing(*arguments)
