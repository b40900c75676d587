"""A file of torchvision serves timm's network and the other way round, if both compute the same."""

from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
from torchvision import models

from features.backbones.families.timm_model import TIMM
from features.backbones.families.torchvision_model import TORCHVISION
from features.backbones.loading import load_backbone
from features.backbones.twins import OTHER_NAMES, twin_of
from features.infrastructure.errors import InputError


def saved(network, path):
    torch.manual_seed(3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save({"state_dict": network.state_dict()}, path)
    return network.eval()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("efficientnet_b0", "efficientnet_b0"), ("mobilenet_v2", "mobilenetv2_100"), ("convnext_tiny", "convnext_tiny")],
)
def test_both_directions(ours, theirs, tmp_path, capsys):
    path, images = tmp_path / "a.pth", torch.randn(1, 3, 64, 64)
    network = saved(timm.create_model(theirs), path)
    found = load_backbone(ours, str(path)).eval()  # torchvision's, from a file of timm
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(found(images), expected, rtol=1e-5, atol=1e-5)
    assert "tensors, which have the names of another library" in capsys.readouterr().err
    saved(models.get_model(ours), path)
    name = theirs if theirs != ours else f"{theirs}.{timm.get_pretrained_cfg(theirs).tag}"  # only timm's has a tag
    other, same = load_backbone(name, str(path)).eval(), load_backbone(ours, str(path)).eval()
    with torch.no_grad():
        torch.testing.assert_close(other(images), same(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("mobilenetv3_small_100", partial(models.get_model, "mobilenet_v3_small"), "mobilenet_v3_small"),  # an epsilon
        ("vgg11", partial(timm.create_model, "vgg11"), "vgg11.tv_in1k"),
    ],
)
def test_a_network_that_computes_otherwise_is_refused(name, other, said, tmp_path):
    saved(other(), tmp_path / "a.pth")
    with pytest.raises(InputError, match=f"which does not compute the same as .*; give `backbone` {said}$"):
        load_backbone(name, str(tmp_path / "a.pth"))


def test_the_names_exist():
    assert all(TORCHVISION.knows(ours) and TIMM.knows(theirs) for ours, theirs in OTHER_NAMES.items())
    assert twin_of("resnet8", TORCHVISION) is None and twin_of("no_such", TIMM) is None
    assert twin_of("vit_base_patch16_224.augreg_in21k", TIMM) == (TORCHVISION, "vit_b_16")
