"""Backbones by name: images (B, 3, H, W) in, pooled penultimate features (B, D) out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from features.backbones.backbone import Backbone
from features.backbones.family import backbone_names, family_of
from features.infrastructure.errors import InputError

__all__ = ["Backbone", "backbone_names", "check_image_size", "load_backbone"]


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
        name: A run directory or checkpoint, ``efficientnet_lite0``, ``resnet8`` … ``resnet56`` (CIFAR), or a model of
            torchvision or timm, in this order. A directory without a trained model is not a run.
        weights: ``default`` (published, downloaded on first use), ``none`` (random), or a state-dict file
            (``.safetensors``, or ``.pth`` without pickled code).
        image_size: Side of the network's input in pixels, instead of its own.
        crop_pct: Share of an image's shorter side that the network sees, above 0 to 1, instead of its own.
        seed: Seed of random weights; torch's global generator is not changed. None draws from that generator.

    Raises:
        InputError: The name is unknown, the weights cannot be loaded or do not fit, or the network does not take
            ``image_size``.
    """
    family = family_of(name)
    with seeded(seed):
        backbone = family.build(name, weights)
    if weights not in ("default", "none"):
        backbone.fill(_read_state(weights), f"`weights` {weights}")
    if image_size is not None:
        check_image_size(backbone, image_size, "`image_size`")
        backbone.preprocessing = backbone.preprocessing.at(image_size)
    if crop_pct is not None:
        backbone.preprocessing = backbone.preprocessing.cropped_to(crop_pct)
    return backbone


@torch.no_grad()
def check_image_size(backbone: Backbone, size: int, option: str) -> None:
    """Run one blank image of ``size`` pixels a side, because networks have a smallest size, or take one size only.

    Raises:
        InputError: The network does not take such images; the message begins with ``option``.
    """
    training = backbone.training
    try:
        backbone.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{option} {size}: {backbone.name} does not take it ({reason}); try another") from error
    finally:
        backbone.train(training)


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from a generator with this seed, and leave torch's global generator unchanged."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _read_state(file: str) -> Mapping[str, Any]:
    """The state dict in a file; pickled code is refused."""
    path = Path(file)
    if not path.is_file():
        raise InputError(f"`weights` {file}: no such file; expected default, none, or a state-dict file")
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # decoders raise errors of any type on a file that holds no state dict
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"`weights` {file}: not a readable state dict ({reason})") from error
    if isinstance(state, Mapping):
        state = state.get("state_dict", state)
    if not isinstance(state, Mapping):
        raise InputError(f"`weights` {file}: holds a {type(state).__name__}; expected a state dict, tensors by name")
    return state
