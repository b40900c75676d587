"""The models of timm, by their names, at an address of the Hugging Face hub, or in a folder of its format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from features.backbones.backbone import Backbone
from features.backbones.downloading import downloading
from features.backbones.family import Family, family_of
from features.backbones.foreign_config import check_arguments, check_size, described_by
from features.backbones.hub_folder import CONFIG, WEIGHTS, hub_config
from features.backbones.weights_file import read_weights, some
from features.infrastructure.errors import InputError
from features.infrastructure.names import class_names
from features.infrastructure.suggestions import did_you_mean
from features.preprocessing import Preprocessing

#: What timm calls places outside of it: a model of the Hugging Face hub, or a folder in its format.
_HUB, _FOLDER = ("hf-hub:", "hf_hub:"), "local-dir:"
#: timm's organisation on the hub, whose models have timm's names.
_ORGANISATION = "timm/"
#: Files of weights of earlier models.
_PICKLES = ("pytorch_model.bin", "pytorch_model.pth", "open_clip_pytorch_model.bin")


def timm_names() -> list[str]:
    """List the names of timm's models, without the tags of their weights."""
    import timm

    return timm.list_models()


def knows(name: str) -> bool:
    """Tell whether timm has a model of this name, or it is an address or a folder of a model in timm's format.

    A name may end in a tag of weights, such as ``resnet50.a1_in1k``, and begin with ``timm/`` as on the hub.
    """
    return name.startswith((*_HUB, _FOLDER)) or _is_registered(name.removeprefix(_ORGANISATION)) or _is_folder(name)


def _is_registered(name: str) -> bool:
    import timm

    return "/" not in name and timm.is_model(name)


def _is_folder(name: str) -> bool:
    return "architecture" in hub_config(name)


def unmistakable(name: str) -> str:
    """A name that no other family knows, for one of timm's: with the tag of its weights, or as on the hub."""
    import timm

    if family_of(name) is TIMM:
        return name
    config = timm.get_pretrained_cfg(name)
    return f"{name}.{config.tag}" if config is not None and config.tag else f"{_ORGANISATION}{name}"


def build_timm(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build a timm model without its classifier, for images of another size if it takes one size only.

    timm resamples the published position embeddings of such a model. The backbone of a model elsewhere has the name of
    its architecture.

    Raises:
        InputError: The model has no classifier, does not take ``image_size``, or the download fails.
    """
    import timm

    plain = name.removeprefix(_ORGANISATION)
    if not name.startswith((*_HUB, _FOLDER)) and _is_registered(plain):
        called = plain if plain == name else unmistakable(plain)
        return _build(name, called, plain, _registered(name, plain), weights, image_size)
    address = name if name.startswith((*_HUB, _FOLDER)) else f"{_FOLDER}{name}"
    config, architecture, arguments, folder = downloading(name, partial(_read_config, address))
    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm_names())
        raise InputError(
            f"backbone {name}: its {CONFIG} names the architecture {architecture!r}, which timm {timm.__version__} "
            f"does not have{near}; a newer timm may: pip install -U timm"
        )
    where = f"backbone {name}: its {CONFIG}"
    arguments = check_arguments(arguments, where)
    if arguments.get("in_chans", 3) != 3:
        raise InputError(f"backbone {name}: takes images of {arguments['in_chans']} channels; expected 3")
    with described_by(where):
        headless = {**arguments, "num_classes": 0}
        check_size(where, lambda: timm.create_model(architecture, **headless), _weights_in(folder))
        own = _other_than_default(architecture, arguments)
        called = address if own else unmistakable(architecture)
        backbone = _build(name, called, address, config, weights, image_size)
    if weights == "default":
        backbone.weights = address
    if own:
        backbone.blueprint = {"architecture": architecture, "model_args": own}
    return backbone


def _other_than_default(architecture: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a network that its architecture alone does not have; timm writes those that it has too."""
    import timm

    implied = {"img_size", "num_classes", "in_chans"}  # by the input and by the classifier
    rest = {key: value for key, value in arguments.items() if key not in implied}
    if rest:
        with torch.device("meta"):  # without memory
            plain = timm.create_model(architecture, num_classes=0)
        pooling = getattr(plain, "global_pool", None)  # a name, or a layer that has one
        usual = {**vars(plain), "global_pool": getattr(pooling, "pool_type", pooling)}
        rest = {key: value for key, value in rest.items() if usual.get(key) != value}
    return rest


def rebuild_timm(blueprint: Mapping[str, Any], image_size: int) -> Backbone:
    """Build a model that has arguments of its own, with random weights."""
    architecture = blueprint["architecture"]
    config = _registered(architecture, architecture)
    arguments = check_arguments(blueprint["model_args"], "'blueprint'")
    backbone = _build(architecture, architecture, architecture, config, "none", image_size, **arguments)
    backbone.blueprint, backbone.preprocessing = blueprint, backbone.preprocessing.at(image_size)
    return backbone


def _registered(name: str, plain: str) -> dict[str, Any]:
    """timm's own configuration of a model; raises `InputError` if it does not know the tag of its weights."""
    import timm

    try:
        config = timm.get_pretrained_cfg(plain)
    except RuntimeError as error:
        tags = some(timm.list_pretrained(f"{plain.partition('.')[0]}.*")) or "none of this network"
        raise InputError(f"backbone {name}: timm has no weights of this tag; it has {tags}") from error
    return {} if config is None else config.to_dict()


def _weights_in(folder: Path) -> Path | None:
    """The file of weights in a folder of the hub's format that timm would read; None if there is none.

    Raises `InputError` if it is a pickle that holds more than tensors.
    """
    found = next((folder / name for name in (WEIGHTS, *_PICKLES) if (folder / name).is_file()), None)
    if found is not None and found.name in _PICKLES:
        read_weights(str(found))
    return found


def _read_config(address: str) -> tuple[dict[str, Any], str, Any, Path]:
    """The preprocessing, the architecture, its arguments, and the folder of the file, at an address.

    Raises `InputError` if its {CONFIG} is not one of a timm model.
    """
    source, _, location = address.partition(":")
    if f"{source}:" == _FOLDER:
        path = Path(location) / CONFIG
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there")
    else:
        from huggingface_hub import hf_hub_download

        repository, _, revision = location.partition("@")
        path = Path(hf_hub_download(repository, CONFIG, revision=revision or None))
    found = hub_config(path.parent)
    if "architecture" not in found:
        kind = found.get("model_type")
        advice = f"it is one of transformers: transformers:{location}" if kind else "expected one with an architecture"
        raise InputError(f"backbone {address}: its {CONFIG} is not of a timm model; {advice}")
    config = found.get("pretrained_cfg", found)  # early files have no level below
    if not isinstance(config, dict):
        raise InputError(f"backbone {location}: its {CONFIG} is not of a timm model; pretrained_cfg is no mapping")
    config = {**config, **{key: found[key] for key in ("num_classes", "label_names") if key in found}}
    return config, str(found["architecture"]), found.get("model_args") or {}, path.parent


def _build(
    name: str,
    called: str,
    model: str,
    config: Mapping[str, Any],
    weights: str,
    image_size: int | None,
    **arguments: Any,
) -> Backbone:
    """Build what timm calls ``model``, with ``arguments``; the backbone is ``called`` so, and messages say ``name``."""
    import timm
    from timm.data import infer_imagenet_subset, resolve_model_data_config

    if image_size is not None and config.get("fixed_input_size") and config["input_size"][-1] != image_size:
        arguments["img_size"] = image_size
    arguments |= {"pretrained": True} if weights == "default" else {"num_classes": 0}
    build = partial(timm.create_model, model, **arguments)
    network: Any
    try:
        network = downloading(name, build) if weights == "default" or ":" in model else build()
    except (TypeError, AssertionError) as error:  # what timm raises on a size that does not fit the patches
        if "img_size" not in arguments:
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(f"`image_size` {image_size}: {name} cannot be built for it ({reason}); try another") from error
    if not hasattr(network, "get_classifier"):
        raise InputError(f"backbone {name}: is no classifier of images; choose another model")
    published, stated = None, config.get("label_names")
    data = resolve_model_data_config(network)
    if weights == "default":
        linear = network.get_classifier()
        # The last layer of CLIP's models is a projection, not a classifier: only the outputs of a label set count.
        of_classes = stated is not None or infer_imagenet_subset(network) is not None
        if of_classes and isinstance(linear, nn.Linear) and linear.bias is not None:
            published = linear.weight.detach(), linear.bias.detach()
        network.reset_classifier(0)
    # The head of some networks widens the pooled features before the classifier.
    dim = getattr(network, "head_hidden_size", None) or network.num_features
    pooling = getattr(network, "global_pool", "avg")
    pooling = pooling if isinstance(pooling, str) else "avg"
    backbone = Backbone(network, called, weights, dim, _preprocessing(data), pooling)
    if published is not None:
        backbone.classifier = published
        backbone.classes = class_names(stated) if isinstance(stated, (list, tuple)) else None
    return backbone


def _preprocessing(data: Mapping[str, Any]) -> Preprocessing:
    """The input transform that timm's data configuration describes."""
    size = data["input_size"][-1]
    interpolation = data["interpolation"] if data["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    resize, squash = math.floor(size / data["crop_pct"]), data.get("crop_mode") == "squash"
    return Preprocessing(size, resize, interpolation, tuple(data["mean"]), tuple(data["std"]), squash)


TIMM = Family(
    "timm",
    "models of timm (PyTorch Image Models)",
    4,
    knows,
    build_timm,
    timm_names,
    "timm",
    (*_HUB, _FOLDER, _ORGANISATION),
    rebuild_timm,
    lambda name: not name.startswith(_FOLDER) and not _is_folder(name),
)
