"""Pictures of three colours as a dataset of one's own, and a transform and a network for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

COLOURS = {"azure": (0, 120, 240), "brick": (180, 60, 40), "coal": (20, 20, 20)}
CLASSES = tuple(COLOURS)
PER_CLASS = 8
#: Images to (3, 24, 20) floats.
TRANSFORM = v2.Compose([v2.Resize((24, 20)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


def draw(name: str, i: int) -> Image.Image:
    """A picture of its class's colour, with a mark that is each image's own."""
    image = Image.new("RGB", (40 + i, 36), COLOURS[name])
    ImageDraw.Draw(image).ellipse((3 * i, 5, 3 * i + 12, 25), fill=(30 * i, 255 - 30 * i, 128))
    return image


class Pictures(Dataset):
    """Eight pictures of each colour in turn, each as ``form`` of (image, label)."""

    def __init__(self, form: Callable[[Any, int], Any] = lambda image, label: (image, label)) -> None:
        self.form = form
        self.shown = [(draw(name, i), label) for label, name in enumerate(CLASSES) for i in range(PER_CLASS)]

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, index: int) -> Any:
        return self.form(*self.shown[index])


def network(seed: int = 0) -> nn.Sequential:
    """A small network with batch normalisation, from (3, 24, 20) to 7 features."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = nn.Sequential(
            nn.Conv2d(3, 7, 3, bias=False), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        made(torch.rand(8, 3, 24, 20))  # statistics that are not 0 and 1
    return made
