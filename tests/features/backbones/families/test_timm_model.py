"""Models of timm."""

import pytest
import timm
import torch

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError


def test_a_name_may_have_a_tag_of_weights():
    assert load_backbone("resnet10t.c3_in1k", "none").dim == 512


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "test_vit", "test_convnext", "test_byobnet"])
def test_published_networks_lose_their_classifier_alone(name, monkeypatch):
    """reset_classifier(0) and num_classes=0 give the same tensors: a bank of either has one hash of weights."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **options: create(name, **options))
    published, random = load_backbone(name), load_backbone(name, "none")
    shapes = [{key: value.shape for key, value in one.network.state_dict().items()} for one in (published, random)]
    assert shapes[0] == shapes[1] and published.dim == random.dim


@pytest.mark.parametrize("name", ["mobilenetv5_300m_enc", "deepseek_vit_412m_enc"])
def test_an_encoder_without_a_classifier_is_refused_by_name(name):
    with torch.device("meta"), pytest.raises(InputError, match=f"^backbone {name}: is no classifier of images"):
        load_backbone(name, "none")
