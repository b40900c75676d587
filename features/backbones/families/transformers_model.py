"""Vision models of Hugging Face transformers (extra ``transformers``), pooled and fed as their authors do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from features.backbones.backbone import Backbone
from features.backbones.downloading import downloading, fault
from features.backbones.family import Family
from features.backbones.foreign_config import check_no_code, check_size, described_by
from features.backbones.hub_folder import CONFIG, WEIGHTS, hub_config
from features.backbones.weights_file import is_inside, some
from features.infrastructure.errors import InputError
from features.infrastructure.names import class_names
from features.preprocessing import Preprocessing

_PREFIX = "transformers:"


@dataclass(frozen=True)
class _Kind:
    """A kind of vision model.

    Attributes:
        model: Its class in transformers.
        pooling: What the features are, as banks record it.
        pooled: Whether the model returns them; else they are the first token of its last, normalised layer.
        options: What its class is made with.
    """

    model: str
    pooling: str
    pooled: bool = True
    options: tuple[tuple[str, Any], ...] = ()


_CLASS_TOKEN = "class token"
#: CLIP's linear probes read the image encoder before the projection to the space that it shares with texts (Radford et
#: al., ICML 2021, appendix A.2); timm's models of CLIP have the same features.
_CLIP = _Kind("CLIPVisionModel", "class token before the projection")
_SIGLIP = _Kind("SiglipVisionModel", "attention pooling head")
_DINO = {"dinov2": "Dinov2Model", "dinov2_with_registers": "Dinov2WithRegistersModel", "dinov3_vit": "DINOv3ViTModel"}
#: By the ``model_type`` of config.json. A CLIP or SigLIP model with its text encoder gives the image encoder.
_KINDS = {
    "vit": _Kind("ViTModel", _CLASS_TOKEN, pooled=False, options=(("add_pooling_layer", False),)),
    **{type_: _Kind(model, _CLASS_TOKEN) for type_, model in _DINO.items()},
    **dict.fromkeys(("clip", "clip_vision_model"), _CLIP),
    **dict.fromkeys(("siglip", "siglip_vision_model"), _SIGLIP),
}


class VisionFeatures(nn.Module):
    """A vision model of transformers: normalised images (B, 3, H, W) to pooled features (B, D)."""

    def __init__(self, model: Any, kind: _Kind) -> None:
        super().__init__()
        self.model, self.pooled = model, kind.pooled
        # Models of DINO interpolate the position embeddings of other sizes by themselves.
        self.fixed_size = None if kind.model in _DINO.values() else model.config.image_size
        for name, parameter in model.named_parameters():
            if name.endswith("mask_token"):  # of the pre-training alone: no feature depends on it
                parameter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        other = self.fixed_size is not None and x.shape[-1] != self.fixed_size
        found = self.model(pixel_values=x, **({"interpolate_pos_encoding": True} if other else {}))
        return found.pooler_output if self.pooled else found.last_hidden_state[:, 0]


def knows(name: str) -> bool:
    """Tell whether a name is an address of a transformers model, or a folder of one."""
    return name.startswith(_PREFIX) or "model_type" in hub_config(name)


def build_transformers(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build the vision model of ``transformers:OWNER/NAME[@REVISION]``, ``transformers:DIR`` or a folder.

    The weights are in float32. The classifier of a ViT is kept as the published one.

    Raises:
        InputError: The package is missing, the model is of another kind, its weights do not fit, its input transform is
            not stated or none of those that :class:`Preprocessing` knows, or the address does not answer.
    """
    transformers = _transformers(name)
    address = name.removeprefix(_PREFIX)
    if not address:
        raise InputError(f"backbone {name}: expected {_PREFIX}OWNER/NAME, or {_PREFIX}DIR")
    if Path(address).is_dir():
        where: dict[str, Any] = {"pretrained_model_name_or_path": address}
        if not (Path(address) / CONFIG).is_file():
            raise InputError(f"backbone {name}: {address} holds no {CONFIG}; expected a folder of save_pretrained")
    else:
        location, _, revision = address.partition("@")
        where = {"pretrained_model_name_or_path": location, "revision": revision or "main"}
    config = downloading(name, partial(_config, name, transformers, where))
    kind = _kind(name, config.model_type)
    file = Path(address) / WEIGHTS
    said = f"backbone {name}: its {CONFIG}"
    with described_by(said):
        check_no_code(json.loads(config.to_json_string()), said)
        inner = getattr(config, "vision_config", config)
        plain = partial(getattr(transformers, kind.model), inner, **dict(kind.options))
        check_size(said, plain, file if file.is_file() else None)
        model, classifier = _filled(name, transformers, where, config, kind, weights, plain)
        preprocessing = downloading(name, partial(_preprocessing, name, transformers, where))
        backbone = _backbone(model, kind, inner, _PREFIX + address, weights, preprocessing)
        if classifier is not None:
            backbone.classifier = classifier.weight.detach(), classifier.bias.detach()
            backbone.classes = class_names([str(config.id2label[i]) for i in range(len(config.id2label))])
    return backbone


def _filled(
    name: str,
    transformers: Any,
    where: Mapping[str, Any],
    config: Any,
    kind: _Kind,
    weights: str,
    plain: Callable[[], Any],
) -> tuple[Any, nn.Linear | None]:
    """The model, with its published classifier if it has one; ``plain`` builds it with random weights."""
    if weights != "default":
        return plain(), None
    classified = kind.model == "ViTModel" and "ViTForImageClassification" in (config.architectures or ())
    class_name = "ViTForImageClassification" if classified else kind.model
    whole = downloading(name, partial(_loaded, name, getattr(transformers, class_name), where, config))
    return (whole.vit, whole.classifier) if classified else (whole, None)


def rebuild_transformers(blueprint: Mapping[str, Any], image_size: int) -> Backbone:
    """Build a model from its configuration, with random weights."""
    name = f"{_PREFIX}{blueprint['model_type']}"
    transformers, kind = _transformers(name), _kind(name, blueprint["model_type"])
    model_class = getattr(transformers, kind.model)
    check_no_code(blueprint["config"], "'blueprint'")
    config = model_class.config_class.from_dict(dict(blueprint["config"]))
    model = model_class(config, **dict(kind.options))
    return _backbone(model, kind, config, name, "none", Preprocessing(image_size, image_size))


def _backbone(model: Any, kind: _Kind, config: Any, name: str, weights: str, preprocessing: Preprocessing) -> Backbone:
    network = VisionFeatures(model.float(), kind)
    backbone = Backbone(network, name, weights, config.hidden_size, preprocessing, kind.pooling)
    stated = json.loads(config.to_json_string())
    labels = {"id2label", "label2id"}  # of a classifier, which may be long
    stated = {key: value for key, value in stated.items() if key not in labels and not key.startswith("_")}
    backbone.blueprint = {"model_type": config.model_type, "config": stated}
    return backbone


def _transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"backbone {name}: the package transformers is missing; install it with: pip install "
            f'"transfer-toolkit[transformers]"'
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _kind(name: str, model_type: str) -> _Kind:
    if model_type == "timm_wrapper":
        address = name.removeprefix(_PREFIX)
        raise InputError(f"backbone {name}: is a model of timm; give hf-hub:{address}, or the folder's path alone")
    if model_type not in _KINDS:
        raise InputError(f"backbone {name}: is a {model_type} model; the kinds that are known are {', '.join(_KINDS)}")
    return _KINDS[model_type]


def _config(name: str, transformers: Any, where: Mapping[str, Any]) -> Any:
    """The configuration of a model; raises `InputError` if it is none of transformers, or needs code of its own."""
    try:
        return transformers.AutoConfig.from_pretrained(**where, trust_remote_code=False)
    except OSError:
        raise
    except Exception as error:  # of any type, for values of other types and a model_type that it does not know
        raise InputError(f"backbone {name}: its {CONFIG} is not of a model of transformers ({fault(error)})") from error


def _loaded(name: str, model_class: Any, where: Mapping[str, Any], config: Any) -> Any:
    """A model with its published weights; transformers would leave those that the file lacks at random.

    It would also leave out those of further layers.
    """
    options = {"add_pooling_layer": False} if model_class.__name__ == "ViTModel" else {}
    options |= {"output_loading_info": True, "trust_remote_code": False}
    # A model with a text encoder has the configuration of both; the class takes its own part of the file's.
    given = {"config": config} if isinstance(config, model_class.config_class) else {}
    model, found = model_class.from_pretrained(**where, **given, **options)
    parts = {name.removeprefix(f"{model.base_model_prefix}.") for name in found["unexpected_keys"]}
    if further := sorted(part for part in parts if is_inside(model.base_model, part)):
        raise InputError(
            f"backbone {name}: its weights are of a larger network than its {CONFIG}: {len(further)} tensors of "
            f"further layers, {some(further)}; save the model anew with save_pretrained"
        )
    missing = sorted(found["missing_keys"]) + sorted(str(one) for one in found.get("mismatched_keys", ()))
    if missing:
        raise InputError(
            f"backbone {name}: its weights do not fit its {CONFIG}: {len(missing)} tensors are missing or have another "
            f"shape, first {missing[0]!r}; save the model anew with save_pretrained"
        )
    return model


def _preprocessing(name: str, transformers: Any, where: Mapping[str, Any]) -> Preprocessing:
    """The input transform that is stated beside the weights."""
    try:
        stated = transformers.AutoImageProcessor.from_pretrained(**where, trust_remote_code=False).to_dict()
    except OSError as error:
        if (Path(where["pretrained_model_name_or_path"]) / CONFIG).is_file():
            raise InputError(
                f"backbone {name}: its input transform is not stated (preprocessor_config.json is missing); save the "
                f"image processor beside the model with save_pretrained"
            ) from error
        raise
    side, crop = stated["size"], stated.get("crop_size") or {}
    squash = "shortest_edge" not in side
    resize = side.get("height") if squash else side["shortest_edge"]
    size = crop.get("height") if stated.get("do_center_crop") else resize if squash else None
    sides = {side.get("width"), resize} if squash else {resize}
    interpolation = {2: "bilinear", 3: "bicubic"}.get(int(stated.get("resample") or 0))
    scaled = stated.get("do_rescale", True) and abs(stated.get("rescale_factor", 1 / 255) * 255 - 1) < 1e-6
    if not (stated.get("do_resize") and size and len(sides) == 1 and interpolation and scaled):
        raise InputError(
            f"backbone {name}: its input transform is none of those that are known: resize the shorter side or both "
            f"sides, bilinear or bicubic, and crop a square from it"
        )
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if stated.get("do_normalize", True):
        mean, std = tuple(stated["image_mean"]), tuple(stated["image_std"])
    return Preprocessing(size, resize, interpolation, mean, std, squash)


TRANSFORMERS = Family(
    "transformers",
    "vision models of Hugging Face transformers: ViT, DINOv2, DINOv3, CLIP, SigLIP (extra transformers)",
    5,
    knows,
    build_transformers,
    prefixes=(_PREFIX,),
    rebuild=rebuild_transformers,
    downloads=lambda name: not Path(name.removeprefix(_PREFIX)).is_dir(),
)
