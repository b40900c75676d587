"""Any function as the transform of images: its output, its identity, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from features import InputError
from features.image_sources import UnreadableImage
from features.own_transform import as_given, own_transform

FLOATS = v2.Compose([v2.Resize((12, 10)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class Half:
    def __call__(self, image: Any) -> torch.Tensor:
        return FLOATS(image).half()


def test_it_is_tried_once_for_its_shape_and_maps_images_as_they_are():
    transform = own_transform(FLOATS)
    assert transform.input_shape == (3, 12, 10) and transform.image_size == 12 and transform.side_needed is None
    image = Image.new("RGB", (77, 55), (255, 0, 51))
    pixels = transform.pixels(image)
    assert torch.equal(pixels, FLOATS(image))
    torch.testing.assert_close(transform.normalize(pixels[None])[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    assert own_transform(Half()).normalize(Half()(image)[None]).dtype == torch.float32


def test_a_transform_is_known_by_what_python_prints_of_it_and_what_it_does():
    found = own_transform(FLOATS).describe()
    assert found == own_transform(v2.Compose(list(FLOATS.transforms))).describe()
    assert found.startswith("Compose( Resize(size=[12, 10]") and "\n" not in found
    one, same, other = (own_transform(f).describe() for f in (Half(), Half(), lambda image: FLOATS(image)))
    assert one == same != other
    assert one.split(" sha256 ")[0].endswith("Half object>") and " at 0x" not in one
    inside = own_transform(v2.Compose([FLOATS, v2.Lambda(lambda x: 2 * x)])).describe()
    assert inside != own_transform(v2.Compose([FLOATS, v2.Lambda(lambda x: 3 * x)])).describe()


def test_tensors_of_a_dataset_are_the_input_already():
    transform = as_given((1, 5, 4), type("Data", (), {"transform": FLOATS})())
    value = torch.rand(1, 5, 4)
    assert transform.pixels(value) is not None and torch.equal(transform.pixels(value), value)
    assert transform.describe() == f"of the dataset: {own_transform(FLOATS).describe().split(' sha256 ')[0]}"
    with pytest.raises(UnreadableImage, match=r"is \(1, 5, 5\) after the transform, and others are \(1, 5, 4\)"):
        transform.pixels(torch.rand(1, 5, 5))


def test_an_error_of_the_function_is_the_reason_why_an_image_is_left_out():
    def narrow(image: Image.Image) -> torch.Tensor:
        if image.width < 50:
            raise ValueError("too narrow")
        return FLOATS(image)

    with pytest.raises(UnreadableImage, match=r"^`transform` raises ValueError: too narrow$"):
        own_transform(narrow).pixels(Image.new("RGB", (20, 20)))


WRONG = {
    "bytes": (v2.PILToTensor(), "`transform`: gives torch.uint8 of shape (3, 300, 360); expected a tensor (C, H, W)"),
    "an image": (v2.Resize(8), "`transform`: gives a Image; expected a tensor (C, H, W) of floats"),
    "a batch": (lambda image: FLOATS(image)[None], "`transform`: gives torch.float32 of shape (1, 3, 12, 10)"),
    "random": (v2.Compose([v2.RandomCrop(20), FLOATS]), "`transform`: draws at random"),
    "mirror images": (v2.Compose([v2.RandomHorizontalFlip(), FLOATS]), "`transform`: draws at random"),
    "an error": (lambda image: 1 / 0, "`transform`: raises ZeroDivisionError for an RGB image: division by zero"),
}


@pytest.mark.parametrize(("function", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_transform_of_the_test_is_refused(function, message):
    torch.manual_seed(0)
    with pytest.raises(InputError) as refusal:
        own_transform(function)
    assert message in str(refusal.value)
