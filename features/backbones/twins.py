"""Networks that torchvision and timm both have, so that a file of one library serves the other's.

Both register the tensors of most such networks in one order. A file is carried over by that order, and taken only if
the two networks then compute the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping

import torch
from torch import Tensor

from features.backbones.backbone import Backbone
from features.backbones.families.timm_model import TIMM, unmistakable
from features.backbones.families.torchvision_model import TORCHVISION
from features.backbones.family import Family
from features.backbones.weights_file import BATCH_COUNTER, WeightsFile
from features.infrastructure.errors import InputError

#: Names in torchvision → names in timm; other networks that both have, have one name.
OTHER_NAMES = {
    "efficientnet_v2_s": "efficientnetv2_s",
    "efficientnet_v2_m": "efficientnetv2_m",
    "efficientnet_v2_l": "efficientnetv2_l",
    "mnasnet0_5": "mnasnet_050",
    "mnasnet0_75": "mnasnet_075",
    "mnasnet1_0": "mnasnet_100",
    "mnasnet1_3": "mnasnet_140",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "swin_b": "swin_base_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_t": "swin_tiny_patch4_window7_224",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
}
#: Largest difference of features, relative to the largest, that round-off of float32 explains: about 80 of its steps.
#: Another epsilon of the normalisation changes random networks by as much as 5e-5.
_ROUND_OFF = 5e-6


def twin_of(name: str, family: Family) -> tuple[Family, str] | None:
    """Return the other library's family and its name of a network; None if it has none."""
    if family is TORCHVISION:
        other, its_name = TIMM, OTHER_NAMES.get(name, name)
    elif family is TIMM:
        plain = name.partition(".")[0]
        names = {theirs: ours for ours, theirs in OTHER_NAMES.items()}
        other, its_name = TORCHVISION, names.get(plain, plain)
    else:
        return None
    return (other, its_name) if other.knows(its_name) else None


def from_twin(backbone: Backbone, family: Family, file: WeightsFile) -> dict[str, Tensor] | None:
    """Return the state of a backbone from a file of its twin; None if the file does not fit that either.

    Raises:
        InputError: The file is the twin's, and the networks do not compute the same; the message says what to give.
    """
    found = twin_of(backbone.name, family)
    if found is None:
        return None
    other = found[0].build(found[1], "none", None)
    fit = file.fit(other.network)
    if fit is None:
        return None
    other.network.load_state_dict({**other.network.state_dict(), **fit.state})
    state = by_order(backbone.network.state_dict(), other.network.state_dict())
    if state is None or not same_features(backbone, state, other):
        its_name = unmistakable(found[1]) if found[0] is TIMM else found[1]
        raise InputError(
            f"{file.where}: has the names of {found[0].name}'s {found[1]}, which does not compute the same as "
            f"{family.name}'s {backbone.name}; give `backbone` {its_name}"
        )
    return state


def by_order(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors of one network under the names of another, by the order of those of a shape; None if a shape differs.

    Sides of one element do not count: a layer may be linear in one library and a convolution of one pixel in the other.
    """
    own, values = (_without_counters(state) for state in (mine, theirs))
    of_shape: dict[torch.Size, deque[Tensor]] = defaultdict(deque)
    for value in values.values():
        of_shape[value.squeeze().shape].append(value)
    if Counter(at.squeeze().shape for at in own.values()) != {shape: len(them) for shape, them in of_shape.items()}:
        return None
    return {name: of_shape[at.squeeze().shape].popleft().reshape(at.shape) for name, at in own.items()}


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.endswith(BATCH_COUNTER)}


@torch.no_grad()
def same_features(backbone: Backbone, state: dict[str, Tensor], other: Backbone) -> bool:
    """Whether two networks give the same features of random images, the one once it is filled with ``state``."""
    backbone.network.load_state_dict({**backbone.network.state_dict(), **state})
    training, size = backbone.training, other.preprocessing.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    mine, theirs = backbone.eval()(images), other.eval()(images)
    backbone.train(training)
    return mine.shape == theirs.shape and bool((mine - theirs).abs().max() <= _ROUND_OFF * theirs.abs().max())
