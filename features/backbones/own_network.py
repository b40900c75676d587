"""A network of one's own as a backbone: any module from images to features."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from features.backbones.backbone import Backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

#: What a bank of such a network has for its weights and its pooling: they are the module's.
OWN = "own"


def own_backbone(network: nn.Module, transform: Preprocessing, name: str | None = None) -> Backbone:
    """Return a copy of a module as a backbone, in evaluation mode and float32, on the CPU.

    A bank knows the network by its name and the hash of its ``state_dict()``.

    Args:
        network: Maps a batch of what ``transform`` returns to features (B, D); it is not changed.
        transform: The input transform.
        name: By default the name of the class.

    Raises:
        InputError: The network does not take the images, returns something else than features, or has neither weights
            nor a name to be known by.
    """
    own = copy.deepcopy(network).cpu().float().eval()
    if name is None and not own.state_dict():
        raise InputError(
            f"`network` {type(own).__name__}: has no weights, by which a bank would know it; give `network_name`, and "
            f"another one whenever its code changes"
        )
    name = name or type(own).__name__
    return Backbone(own, name, OWN, _width(own, name, transform), transform, pooling=OWN)


@torch.no_grad()
def _width(network: nn.Module, name: str, transform: Preprocessing) -> int:
    """The width D of the features (B, D) of two random images."""
    shape = transform.input_shape
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        features = network(images)
    except Exception as error:  # the code of the user may raise anything
        reason = str(error).partition("\n")[0]
        raise InputError(f"`network` {name}: does not take images of shape {shape} ({reason})") from error
    if not isinstance(features, Tensor):
        raise InputError(
            f"`network` {name}: returns a {type(features).__name__}; expected a tensor of features (B, D), so take it "
            f"out in a module around the network"
        )
    if features.ndim < 2 or len(features) != len(images) or features[0].numel() != features.shape[1]:
        raise InputError(
            f"`network` {name}: returns {tuple(features.shape)} for 2 images; expected features (2, D), so pool them, "
            f"as by nn.AdaptiveAvgPool2d(1)"
        )
    return features.shape[1]
