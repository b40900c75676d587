"""The models of timm."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from features.backbones.backbone import Backbone
from features.backbones.family import Family, downloading
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


def timm_names() -> list[str]:
    """List the names of timm's models, without the tags of their weights."""
    import timm

    return timm.list_models()


#: What timm calls places outside of it: a model of the Hugging Face hub, or a folder in its format.
ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


def knows(name: str) -> bool:
    """Tell whether timm has a model of this name, or one of its names for a model elsewhere.

    A name may end in a tag of weights, such as ``resnet50.a1_in1k``.
    """
    import timm

    return name.startswith(ELSEWHERE) or ("/" not in name and timm.is_model(name))


def build_timm(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build a timm model without its classifier, for images of another size if it takes one size only.

    timm resamples the published position embeddings of such a model.

    Raises:
        InputError: The model has no classifier, does not take ``image_size``, or the download fails.
    """
    import timm
    from timm.data import infer_imagenet_subset, resolve_model_data_config

    classifier = None
    elsewhere = name.startswith(ELSEWHERE)
    own = None if elsewhere else timm.get_pretrained_cfg(name)
    sized: dict[str, Any] = {}
    if image_size is not None and own is not None and own.fixed_input_size and own.input_size[-1] != image_size:
        sized["img_size"] = image_size
    options = {"pretrained": True} if weights == "default" else {"num_classes": 0}
    build: Callable[[], Any] = partial(timm.create_model, name, **options, **sized)
    try:
        network = downloading(name, build) if elsewhere or weights == "default" else build()
    except (TypeError, AssertionError) as error:  # what timm raises on a size that does not fit the patches
        if not sized:
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(f"`image_size` {image_size}: {name} cannot be built for it ({reason}); try another") from error
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
