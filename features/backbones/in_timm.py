"""A backbone as timm's network, so that timm loads what was trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from features.backbones.backbone import Backbone
from features.backbones.families.efficientnet_lite0 import IN_TIMM, LITE0
from features.backbones.families.timm_model import TIMM
from features.backbones.families.torchvision_model import TORCHVISION
from features.backbones.families.trained_run import TRAINED_RUN
from features.backbones.family import family_of
from features.backbones.twins import by_order, same_features, twin_of
from features.infrastructure.errors import InputError


@dataclass(frozen=True)
class TimmNetwork:
    """timm's network that computes the same features.

    Attributes:
        architecture: timm's name of it, without a tag of weights.
        state: Its tensors by name, without those of a classifier.
        arguments: What it is built with.
    """

    architecture: str
    state: Mapping[str, Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)


def in_timm(backbone: Backbone) -> TimmNetwork:
    """Return timm's network with the weights of a backbone.

    A network of torchvision is carried over to the one that timm has of it, and taken only if both compute the same.

    Raises:
        InputError: timm has no such network, or its features differ.
    """
    family, size = family_of(backbone.name, but=TRAINED_RUN), backbone.preprocessing.image_size
    state = backbone.network.state_dict()
    if family is LITE0:
        return TimmNetwork(IN_TIMM, state)
    if family is TIMM:
        if backbone.blueprint is not None:
            architecture = str(backbone.blueprint["architecture"])
            return TimmNetwork(architecture, state, {**backbone.blueprint["model_args"], **_sized(architecture, size)})
        return TimmNetwork(_plain(backbone.name), state, _sized(_plain(backbone.name), size))
    found = twin_of(backbone.name, family) if family is TORCHVISION else None
    if found is None:
        raise InputError(f"timm has no network that is the same as {backbone.name}")
    other = TIMM.build(found[1], "none", size)
    carried = by_order(other.network.state_dict(), state)
    if carried is not None:
        carried = _with_epsilons(carried, backbone.network, other.network)
    if carried is None or not same_features(other, carried, backbone):
        raise InputError(f"timm's {found[1]} does not compute the same as torchvision's {backbone.name}")
    return TimmNetwork(found[1], {**other.network.state_dict(), **carried}, _sized(found[1], size))


def _plain(name: str) -> str:
    return name.removeprefix("timm/").partition(".")[0]


def _sized(architecture: str, size: int) -> dict[str, Any]:
    """The argument of a network that takes one size only, for images of another size."""
    import timm

    config = timm.get_pretrained_cfg(architecture)
    fixed = config is not None and config.fixed_input_size and config.input_size[-1] != size
    return {"img_size": size} if fixed else {}


def _with_epsilons(state: dict[str, Tensor], mine: nn.Module, theirs: nn.Module) -> dict[str, Tensor] | None:
    """The tensors of ``theirs`` with another epsilon of batch normalisation made up for in the running variances.

    A normalisation divides by √(variance + ε), so the difference of the two ε can be a part of the variance. None if
    a variance would fall below 0.
    """
    layers = [[(n, m) for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)] for net in (mine, theirs)]
    if len(layers[0]) != len(layers[1]):
        return state
    for (_, own), (name, other) in zip(*layers, strict=True):
        if own.eps != other.eps:
            variance = state[f"{name}.running_var"] + (own.eps - other.eps)
            if (variance < 0).any():
                return None
            state[f"{name}.running_var"] = variance
    return state
