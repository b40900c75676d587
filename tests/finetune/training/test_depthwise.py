"""Depthwise convolutions under bfloat16 autocast on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from features.backbones.loading import load_backbone
from finetune.training.depthwise import depthwise_in_float32


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 5, stride=2, groups=8), nn.Conv2d(8, 8, 1, groups=2))


@pytest.mark.parametrize("half", [True, False])
def test_only_depthwise_convolutions_compute_in_float32(half):
    model, seen = network(), []
    for module in model:
        module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    inside: list[torch.dtype] = []
    convolve = torch.nn.functional.conv2d

    def spy(*given):
        inside.append(given[0].dtype if not torch.is_autocast_enabled("cpu") else torch.bfloat16)
        return convolve(*given)

    images = torch.randn(2, 3, 16, 16)
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16, enabled=half):
        patch.setattr(torch.nn.functional, "conv2d", spy)
        with depthwise_in_float32(model):
            model(images)
    kind = torch.bfloat16 if half else torch.float32
    assert inside == [kind, torch.float32, kind]
    assert seen[1] == (kind, kind)  # what goes in and comes out keeps its type


def test_the_gradient_is_that_of_float32_but_for_rounding():
    model, images = network(), torch.randn(4, 3, 16, 16)

    def gradient() -> torch.Tensor:
        model.zero_grad()
        model(images).float().square().sum().backward()
        return model[1].weight.grad.clone()

    exact = gradient()
    with torch.autocast("cpu", torch.bfloat16), depthwise_in_float32(model):
        found = gradient()
    assert (found - exact).norm() < 0.02 * exact.norm()


def test_afterwards_the_network_is_as_it_was():
    model = load_backbone("efficientnet_lite0", "none", 64).network
    before = [module.__dict__.keys() for module in model.modules()]
    with pytest.raises(RuntimeError, match="boom"), depthwise_in_float32(model):
        raise RuntimeError("boom")
    assert [module.__dict__.keys() for module in model.modules()] == before
    assert not any("forward" in module.__dict__ for module in model.modules())
