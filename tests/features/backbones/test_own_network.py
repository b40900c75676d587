"""Any module as a backbone: a copy that is known by its weights and its name."""

from __future__ import annotations

import pytest
import torch
from pictures import network
from torch import nn

from features import InputError, Preprocessing
from features.backbones.own_network import own_backbone

AT_20 = Preprocessing(20, 20)


class Tokens(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).flatten(2).transpose(1, 2)


class Wrapped(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"features": super().forward(x)}


def test_it_computes_the_features_of_the_module_in_evaluation_mode():
    module = network().train()
    backbone = own_backbone(module, AT_20)
    images = torch.rand(2, 3, 20, 20)
    assert torch.equal(backbone(images), network().eval()(images))
    assert (backbone.dim, backbone.name, backbone.weights, backbone.pooling) == (7, "Sequential", "own", "own")
    assert module.training and not backbone.network.training
    assert own_backbone(network().half(), AT_20)(images).dtype == torch.float32


def test_features_of_one_pixel_are_flattened():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    assert own_backbone(module, AT_20)(torch.rand(2, 3, 20, 20)).shape == (2, 4)


def test_it_is_known_by_its_weights_and_its_name():
    first, same, other = (own_backbone(network(seed), AT_20).weights_sha256() for seed in (0, 0, 1))
    assert first == same != other
    assert own_backbone(network(), AT_20, "mine").name == "mine"
    assert own_backbone(nn.Flatten(), AT_20, "pixels").dim == 3 * 20 * 20


WRONG = {
    "no weights": (nn.Flatten(), "`network` Flatten: has no weights, by which a bank would know it; give"),
    "other channels": (nn.Conv2d(4, 2, 1), "`network` Conv2d: does not take images of shape (3, 20, 20) (Given groups"),
    "a map": (nn.Conv2d(3, 2, 3), "`network` Conv2d: returns (2, 2, 18, 18) for 2 images; expected features (2, D)"),
    "tokens": (Tokens(3, 2, 3), "`network` Tokens: returns (2, 324, 2) for 2 images"),
    "no batch": (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(0, 1)), "returns (4, 18, 18) for 2 images"),
    "a dict": (Wrapped(3, 2, 3), "`network` Wrapped: returns a dict; expected a tensor of features (B, D)"),
}


@pytest.mark.parametrize(("module", "message"), WRONG.values(), ids=WRONG)
def test_what_gives_no_features_is_one_line(module, message):
    with pytest.raises(InputError) as refusal:
        own_backbone(module, AT_20)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
