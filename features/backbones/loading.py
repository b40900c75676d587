"""Backbones by name: images (B, 3, H, W) in, pooled penultimate features (B, D) out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from features.backbones.backbone import Backbone
from features.backbones.family import Family, backbone_names, family_of
from features.backbones.twins import from_twin
from features.backbones.weights_file import read_weights
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.tensors import check_tensors

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
            torchvision, timm or transformers, in this order. A directory without a trained model is not a run.
            ``timm/NAME`` and ``torchvision/NAME`` are of one library; ``hf-hub:OWNER/NAME``,
            ``transformers:OWNER/NAME`` and ``local-dir:DIR`` are addresses, and a folder in the format of the hub goes
            by its path.
        weights: ``default`` (published, downloaded on first use), ``none`` (random), or a file that holds a state dict
            (``.safetensors``, or one of ``torch.save``, whose code is not run), perhaps with ``#PREFIX``.
        image_size: Side of the network's input in pixels, instead of its own.
        crop_pct: Share of an image's shorter side that the network sees, above 0 to 1, instead of its own.
        seed: Seed of random weights; torch's global generator is not changed. None draws from that generator.

    Raises:
        InputError: The name is unknown, the weights cannot be loaded or do not fit, or the network does not take
            ``image_size``.
    """
    family = family_of(name)
    with seeded(seed):
        backbone = family.build(name, weights, image_size)
        if weights not in ("default", "none"):
            _fill_from_file(backbone, family, weights)
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


def _fill_from_file(backbone: Backbone, family: Family, file: str) -> None:
    """Load the weights of a file, and say what was taken; see :mod:`features.backbones.weights_file`."""
    weights, expected = read_weights(file), backbone.network.state_dict()
    fit = weights.fit(backbone.network)
    if fit is not None:
        state, said = fit.state, fit.describe(expected)
    else:
        found = from_twin(backbone, family, weights)
        if found is None:
            raise weights.misfit(expected, backbone.name)
        state, said = found, f"{len(found)} tensors, which have the names of another library"
    check_tensors(state, expected, weights.where, "give a file of trained weights")
    backbone.network.load_state_dict({**expected, **state})
    console.print(f"{file}: {said}")
