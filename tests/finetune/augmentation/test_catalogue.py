"""All augmentations through one contract: rows, names that are put together, draws, and unknown names."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from features.infrastructure.errors import InputError
from finetune.augmentation import AUGMENTATIONS, Augmentation, augmentation
from finetune.augmentation.cutout import cutout
from finetune.augmentation.rand_augment import rand_augment

BASES = [name for name in AUGMENTATIONS if not name.startswith("+")]
ADDITIONS = [name for name in AUGMENTATIONS if name.startswith("+")]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(n: int = 6, size: int = 16) -> torch.Tensor:
    return torch.randint(256, (n, 3, size, size), generator=draw(9), dtype=torch.uint8)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_row_is_found_by_its_name(name):
    row = AUGMENTATIONS.find(name)
    assert row.name == name and "\n" not in row.meaning and AUGMENTATIONS.meanings()[name] == row.meaning
    assert isinstance(row.augmentation, Augmentation)
    steps = (*row.augmentation.before, *row.augmentation.after)
    assert bool(steps) == (name in ADDITIONS)
    if name in ADDITIONS:  # nothing else of an addition would be read
        assert row.augmentation == Augmentation(before=row.augmentation.before, after=row.augmentation.after)


@pytest.mark.parametrize("addition", ["", *ADDITIONS, "".join(ADDITIONS)])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("size", [12, 16])
def test_the_generator_alone_decides_and_the_frames_stay(base, addition, size):
    pixels, augment = frames(), augmentation(base + addition)
    torch.manual_seed(1)
    found = augment(pixels, size, draw(3))
    torch.manual_seed(2)  # the global generator does not matter
    assert torch.equal(found, augment(pixels, size, draw(3)))
    assert found.shape == (6, 3, size, size) and found.is_floating_point()
    assert found.min() >= 0 and found.max() <= 255.01
    assert torch.equal(pixels, frames())
    if base + addition != "none":
        assert not torch.equal(found, augment(pixels, size, draw(4)))


def test_additions_follow_the_base():
    assert augmentation("crop-flip+randaugment+cutout") == Augmentation(
        shift=0.125, whole_pixels=True, flip=True, before=(rand_augment,), after=(cutout,)
    )
    assert augmentation("flip+cutout+cutout") == augmentation("flip+cutout")
    assert augmentation("flip" + "".join(reversed(ADDITIONS))) == augmentation("flip" + "".join(ADDITIONS))


def test_unknown_names_are_refused_with_the_known_ones():
    known = "expected one of none, flip, crop-flip, resized-crop, affine; +cutout and +randaugment may follow it"
    for name, said in (
        ("cutmix", known),
        ("randaugment", known),
        ("crop-flip+cutmix", "after crop-flip, expected one of +cutout, +randaugment"),
    ):
        with pytest.raises(InputError) as refusal:
            augmentation(name)
        assert str(refusal.value) == f"`augment` {name}: {said}"
    bases = [name for name in AUGMENTATIONS if not name.startswith("+")]
    assert bases == ["none", "flip", "crop-flip", "resized-crop", "affine"]


def test_reading_the_rows_does_not_import_torchvision():
    read = "from finetune.augmentation import AUGMENTATIONS; list(AUGMENTATIONS)"
    code = f"import sys; {read}; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
