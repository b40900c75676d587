"""The CIFAR ResNets: the sizes of the paper, and shortcuts without parameters."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from features.backbones.families.cifar_resnet import CIFAR_RESNETS, CifarResNet
from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


@pytest.mark.parametrize("name", CIFAR_RESNETS)
def test_cifar_resnets_have_the_sizes_of_the_paper(name):
    depth = int(name.removeprefix("resnet"))
    backbone = load_backbone(name, "none", seed=0).eval()
    # He et al., CVPR 2016, section 4.2: 6n + 2 layers of 3×3 convolutions, of 16, 32 and 64 channels, and no
    # parameters in the shortcuts; a batch normalisation after each. The last layer is the classifier.
    n = (depth - 2) // 6
    widths = [3, 16] + [16] * 2 * n + [32] * 2 * n + [64] * 2 * n
    expected = sum(9 * a * b + 2 * b for a, b in pairwise(widths))
    assert len(widths) == depth and expected == sum(p.numel() for p in backbone.parameters())
    printed = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85}  # millions, Table 6
    if name in printed:
        assert round((expected + 65 * 10) / 1e6, 2) == printed[name]
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, backbone.dim) == (2, 64)
    assert backbone.preprocessing == Preprocessing(32, 32)
    with pytest.raises(InputError, match="no published weights; give `weights` none"):
        load_backbone(name)


def test_a_shortcut_subsamples_and_pads_with_zeros():
    network = CifarResNet(1).eval()
    block = network.stages[1]
    nn.init.zeros_(block.bn2.weight)  # nothing but the shortcut is left
    x = torch.rand(1, 16, 8, 8)
    with torch.no_grad():
        out = block(x)
    assert out.shape == (1, 32, 4, 4) and torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()
