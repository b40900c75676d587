"""The classification models of torchvision."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from torch import nn

from features.backbones.backbone import Backbone
from features.backbones.downloading import downloading
from features.backbones.family import Family
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

#: What may stand before a name, so that no other family is meant.
_LIBRARY = "torchvision/"


def torchvision_names() -> list[str]:
    """List the names of torchvision's classification models."""
    from torchvision import models

    return models.list_models(module=models)


def build_torchvision(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build a torchvision model whose last linear layer, the classifier, is replaced by the identity.

    Raises:
        InputError: The model has no linear classifier, or its published weights cannot be downloaded.
    """
    from torchvision import models

    name = name.removeprefix(_LIBRARY)
    preset = models.get_model_weights(name).DEFAULT if weights == "default" else None
    build = partial(models.get_model, name, weights=preset)
    network = downloading(name, build) if preset else build()
    _remove_auxiliary_heads(network)
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"backbone {name}: has no linear classifier to remove; choose another model")
    classifier = cast(nn.Linear, network.get_submodule(linear[-1]))
    network.set_submodule(linear[-1], nn.Identity())
    recipe = models.get_model_weights(name).DEFAULT.transforms()
    size, resize, interpolation = recipe.crop_size[0], recipe.resize_size[0], recipe.interpolation.value
    preprocessing = Preprocessing(size, resize, interpolation, tuple(recipe.mean), tuple(recipe.std))
    backbone = Backbone(network, name, weights, classifier.in_features, preprocessing)
    if preset is not None and classifier.bias is not None:
        backbone.classifier = classifier.weight.detach(), classifier.bias.detach()
    return backbone


def _remove_auxiliary_heads(network: Any) -> None:
    """Let Inception v3 and GoogLeNet return one tensor in training mode, whichever weights they have.

    torchvision builds published networks only with auxiliary heads, and sets ``transform_input`` only for published
    weights. Here both are the same for all weights, so that a network read from a file computes the same features.
    """
    if hasattr(network, "aux_logits"):
        network.aux_logits, network.transform_input = False, True
        for head in ("AuxLogits", "aux1", "aux2"):
            if hasattr(network, head):
                setattr(network, head, None)


TORCHVISION = Family(
    "torchvision",
    "its classification models",
    3,
    lambda name: name.removeprefix(_LIBRARY) in torchvision_names(),
    build_torchvision,
    torchvision_names,
    "torchvision",
    (_LIBRARY,),
    downloads=lambda name: True,
)
