"""``hub``: a folder in the format of the Hugging Face hub, which timm loads in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from features.backbones.hub_folder import CONFIG, WEIGHTS
from features.backbones.in_timm import TimmNetwork, in_timm
from features.checkpoint import write_tensors
from features.infrastructure.disk.files import TEXT, write_json
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.exporting.format import Export, ExportFormat
from finetune.exporting.scoring import ScoringNetwork, check_parity
from finetune.model import ImageClassifier

README = "README.md"


def _obstacle(model: ImageClassifier) -> str | None:
    """A network that timm lacks, or a head that is no linear layer of its features."""
    if model.head_kind != "linear":
        return f"its classifier ({model.head_kind}) is no linear layer of the features, which all of timm's are"
    try:
        network = in_timm(model.backbone)
        with torch.device("meta"):  # shapes alone
            _classifier_of(_created(network, len(model.classes)), network.architecture)
    except InputError as error:
        return str(error)
    return None


def write_folder(export: Export, folder: Path) -> float:
    """Write configuration, weights and model card, and compare what timm loads from them with the classifier."""
    import timm

    model, scale = export.model, export.scale
    twin = in_timm(model.backbone)
    network = _created(twin, len(model.classes))
    classifier = _classifier_of(network, twin.architecture)
    with torch.no_grad():
        classifier.weight.copy_(model.head.weight * scale)
        classifier.bias.copy_(model.head.bias * scale)
    network.load_state_dict({**network.state_dict(), **twin.state})
    write_tensors(_apart(network.state_dict()), folder / WEIGHTS, folder / WEIGHTS, {"format": "pt"})
    write_json(folder / CONFIG, _config(network, twin, export))
    (folder / README).write_text(export.readme, **TEXT)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return check_parity(ScoringNetwork(model, scale), loaded, model.backbone.preprocessing, "hub")


def crop_share(preprocessing: Preprocessing) -> float:
    """The ``crop_pct`` of the resize: timm resizes to the integer part of the image size over it."""
    size, resize = preprocessing.image_size, preprocessing.resize
    share = size / resize
    return share if math.floor(size / share) == resize else math.nextafter(share, 0)


def _created(network: TimmNetwork, n_classes: int) -> Any:
    import timm

    return timm.create_model(network.architecture, num_classes=n_classes, **network.arguments)


def _classifier_of(network: Any, architecture: str) -> nn.Linear:
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear) or classifier.bias is None:
        raise InputError(f"the classifier of timm's {architecture} is not one linear layer with a bias")
    return classifier


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as safetensors demands."""
    return {name: value.detach().clone().contiguous() for name, value in state.items()}


def _config(network: Any, twin: TimmNetwork, export: Export) -> dict[str, Any]:
    """The content of config.json: what timm reads, and under ``transfer`` what is said of the classifier beside it."""
    preprocessing, own = export.model.backbone.preprocessing, network.pretrained_cfg
    size = preprocessing.image_size
    kept = {name: own[name] for name in ("first_conv", "classifier", "fixed_input_size") if name in own}
    same_size = tuple(own["input_size"][1:]) == (size, size)
    classes = export.about["classes"]
    return {
        "architecture": twin.architecture,
        "num_classes": len(classes),
        "num_features": network.num_features,
        "global_pool": export.model.backbone.pooling,
        "label_names": classes,
        **({"model_args": dict(twin.arguments)} if twin.arguments else {}),
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "interpolation": preprocessing.interpolation,
            "crop_pct": crop_share(preprocessing),
            "crop_mode": "squash" if preprocessing.squash else "center",
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": len(classes),
            "pool_size": own.get("pool_size") if same_size else None,
            **kept,
        },
        "transfer": {name: value for name, value in export.about.items() if name != "classes"},
    }


def _load(place: str) -> str:
    address = place if place.startswith("hf-hub:") else f"local-dir:{place}"
    return f'timm.create_model("{address}", pretrained=True)'


HUB = ExportFormat(
    "hub",
    "a folder for the Hugging Face hub with a model card, which timm loads in one line",
    "",
    _obstacle,
    write_folder,
    holds=(CONFIG, WEIGHTS, README),
    load=_load,
)
