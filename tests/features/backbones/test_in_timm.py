"""A backbone as timm's network: the same features, computed by timm alone."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from features.backbones.families.timm_model import rebuild_timm
from features.backbones.in_timm import in_timm
from features.backbones.loading import load_backbone, seeded
from features.infrastructure.errors import InputError


def unlike_new(name, image_size=None):
    """A random network whose batch normalisations have statistics of their own, as after a training."""
    backbone = load_backbone(name, "none", image_size, seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return backbone


@pytest.mark.parametrize(
    ("name", "architecture", "image_size"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0", 64),
        ("resnet18", "resnet18", 64),
        ("timm/resnet18", "resnet18", 64),
        ("resnet10t.c3_in1k", "resnet10t", 64),
        ("mobilenet_v3_small", "mobilenetv3_small_100", 64),  # another epsilon
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224", 96),  # one size only
        ("vit_b_32", "vit_base_patch32_224", None),  # another order of the tensors
    ],
)
def test_timm_computes_the_same(name, architecture, image_size):
    backbone = unlike_new(name, image_size)
    found = in_timm(backbone)
    assert found.architecture == architecture
    network = timm.create_model(architecture, num_classes=0, **found.arguments).eval()
    network.load_state_dict(found.state)
    size = backbone.preprocessing.image_size
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(network(x), backbone(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [96, 224])
def test_arguments_of_its_own_and_another_size(size):
    own = {"depth": 2, "class_token": False, "global_pool": "avg"}
    with seeded(0):
        backbone = rebuild_timm({"architecture": "vit_tiny_patch16_224", "model_args": own}, size).eval()
    found = in_timm(backbone)
    assert found.arguments == (own if size == 224 else own | {"img_size": size})
    network = timm.create_model(found.architecture, num_classes=0, **found.arguments).eval()
    network.load_state_dict(found.state)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(network(x), backbone(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("resnet8", "timm has no network that is the same as resnet8"),
        ("alexnet", "timm has no network that is the same as alexnet"),
        ("vgg11", "timm's vgg11 does not compute the same as torchvision's vgg11"),
    ],
)
def test_a_network_that_timm_lacks(name, fault):
    with pytest.raises(InputError, match=f"^{fault}$"):
        in_timm(load_backbone(name, "none"))
