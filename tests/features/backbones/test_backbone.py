"""The network without its classifier: what it refuses to return, which tensors it takes."""

import pytest
import torch
from torch import nn

from features.backbones.backbone import Backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


class TwoHeads(nn.Module):
    """Returns a tuple in training mode."""

    def forward(self, x):
        features = x.mean(dim=(2, 3))
        return (features, features) if self.training else features


def test_a_network_whose_output_is_not_one_tensor_is_refused_by_name():
    backbone = Backbone(TwoHeads(), "twoheads", "none", 3, Preprocessing(8, 8))
    assert backbone.eval()(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    with pytest.raises(InputError, match=r"^backbone twoheads: returns a tuple in training mode, not one tensor"):
        backbone.train()(torch.zeros(2, 3, 8, 8))
