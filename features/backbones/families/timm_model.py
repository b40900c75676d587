"""The models of timm."""

from __future__ import annotations

import math

from torch import nn

from features.backbones.backbone import Backbone
from features.backbones.family import Family, downloading
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


def timm_names() -> list[str]:
    """List the names of timm's models, without the tags of their weights."""
    import timm

    return timm.list_models()


def knows(name: str) -> bool:
    """Tell whether timm has a model of this name, which may end in a tag of weights such as ``resnet50.a1_in1k``."""
    import timm

    return "/" not in name and timm.is_model(name)


def build_timm(name: str, weights: str) -> Backbone:
    """Build a timm model without its classifier; raise `InputError` if it has none, or the download fails."""
    import timm
    from timm.data import infer_imagenet_subset, resolve_model_data_config

    classifier = None
    if weights == "default":
        network = downloading(name, lambda: timm.create_model(name, pretrained=True))
    else:
        network = timm.create_model(name, num_classes=0)
    if not hasattr(network, "get_classifier"):
        raise InputError(f"backbone {name}: is no classifier of images; choose another model")
    config = resolve_model_data_config(network)
    if weights == "default":
        linear = network.get_classifier()
        # The last layer of CLIP's models is a projection, not a classifier: only the outputs of a label set count.
        of_classes = infer_imagenet_subset(network) is not None
        if of_classes and isinstance(linear, nn.Linear) and linear.bias is not None:
            classifier = linear.weight.detach(), linear.bias.detach()
        network.reset_classifier(0)
    size = config["input_size"][-1]
    # The head of some networks widens the pooled features before the classifier.
    dim = getattr(network, "head_hidden_size", None) or network.num_features
    interpolation = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    preprocessing = Preprocessing(
        size, math.floor(size / config["crop_pct"]), interpolation, tuple(config["mean"]), tuple(config["std"])
    )
    pooling = getattr(network, "global_pool", "avg")
    backbone = Backbone(network, name, weights, dim, preprocessing, pooling if isinstance(pooling, str) else "avg")
    backbone.classifier = classifier
    return backbone


TIMM = Family("timm", "models of timm (PyTorch Image Models)", 4, knows, build_timm, timm_names, "timm")
