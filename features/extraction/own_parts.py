"""Extraction with parts of one's own: any dataset and any network that Python has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from torch import nn

from features.backbones.loading import Backbone, load_backbone
from features.backbones.own_network import own_backbone
from features.bank import SUFFIXES
from features.extraction.extractor import extract_parts
from features.extraction.options import ExtractConfig
from features.extraction.result import Extraction
from features.infrastructure.devices import pick_device
from features.infrastructure.disk.files import check_ending, check_writable
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, located
from features.own_transform import as_given, fitted, own_transform
from features.preprocessing import Preprocessing
from features.readers.python_dataset import PythonDataset

#: Fields of :class:`ExtractConfig` that the arguments of :func:`extract_features` take the place of.
_PARTS = {"dataset", "out", "backbone", "weights", "seed", "image_size"}


def extract_features(
    dataset: Any,
    network: nn.Module | str,
    out: str | Location,
    *,
    transform: Preprocessing | Callable[[Any], Any] | None = None,
    classes: Sequence[str] | None = None,
    labels: ArrayLike | Sequence[str] | None = None,
    image: Any = None,
    label: Any = None,
    name: str | None = None,
    network_name: str | None = None,
    fingerprint: str | None = None,
    **options: Any,
) -> Extraction:
    """Extract the feature bank of any dataset under any network, as :func:`features.extract` does.

    It is the same extraction: streamed, resumed after an interruption, with unreadable images listed, and reused if the
    bank at ``out`` agrees with the request. What a bank is known by is

    * for the dataset, its classes, labels and a hash of its images. The hash is that of the file sizes or pixels where
      they are known without decoding: for a ``datasets.Dataset``, or a dataset of torchvision without a transform. The
      items of any other dataset are read once before the extraction, for their labels and hashes. With ``labels`` and
      ``fingerprint`` that pass is not needed;
    * for the network, ``network_name`` and the hash of its ``state_dict()``. State another name if its code changes and
      its weights do not;
    * for the transform, what Python prints of it and the hash of its output for a fixed picture.

    Args:
        dataset: A map-style dataset of PyTorch, whose items are ``(image, label)`` or dicts; a ``datasets.Dataset``
            with columns of images and labels; an :class:`features.ImageDataset`; or a dataset spec. Images are Pillow
            images, uint8 arrays (H, W) or (H, W, 3), uint8 tensors (3, H, W), or tensors of floats (C, H, W), which are
            the network's input already.
        network: Maps what ``transform`` returns, in batches, to features (B, D): any module, a
            :class:`features.Backbone` or a backbone's name.
        out: File of the bank (.h5).
        transform: Maps an RGB Pillow image to a tensor of floats (C, H, W), without drawing at random; or a
            :class:`features.Preprocessing`. A dataset that gives tensors of floats needs none, and one that is given
            takes these tensors. A backbone has its own.
        classes: (C,) class names in the order of the labels; by default those that the dataset states in ``classes``.
        labels: (N,) label of each item, instead of those in the items.
        image, label: The key of the image and of the label in items that are dicts, or the columns; by default the only
            one that may be it.
        name: What banks and subsets call the dataset, as ``python:NAME``; by default the name of the file ``out``.
        network_name: What banks call the network; by default the name of its class.
        fingerprint: A text that changes whenever the images do, instead of the hash of the items.
        options: Fields of :class:`ExtractConfig`: batch_size, keep_images, device, workers, overwrite and so on.

    Raises:
        InputError: A part cannot be used; or as in :func:`features.extract`.
        TypeError: There is no such option.
    """
    allowed = {field.name for field in fields(ExtractConfig)} - _PARTS
    if unknown := options.keys() - allowed:
        raise TypeError(f"extract_features() has no option {min(unknown)!r}; it has {', '.join(sorted(allowed))}")
    if not isinstance(network, (str, nn.Module)):
        raise InputError(f"`network`: a {type(network).__name__}; expected a module of PyTorch, or a backbone's name")
    config = ExtractConfig(dataset="", out=out if isinstance(out, str) else str(out), **options)
    if config.engine == "ray":
        raise InputError("`engine` ray: its workers open a dataset by its spec; give one to transfer extract")
    check_ending(config.out, SUFFIXES)
    check_writable(located(config.out))
    pick_device(config.device)  # before an item is read
    given = PythonDataset(
        dataset,
        name=name or Path(located(out).name).stem,
        classes=classes,
        labels=labels,
        image=image,
        label=label,
        fingerprint=fingerprint,
        workers=config.workers,
    )
    built = load_backbone(network) if isinstance(network, str) else network
    chosen = _transform(transform, built, given)
    backbone = _with_transform(built, network_name, chosen)
    images = given.images()
    return extract_parts(config, lambda: images, lambda: backbone)


def _transform(
    transform: Preprocessing | Callable[[Any], Any] | None, network: nn.Module, given: PythonDataset
) -> Preprocessing:
    """The input transform: that of the user, of the dataset that gives tensors of floats, or of the backbone."""
    if given.shape is not None:
        if len(given.shape) != 3:
            raise InputError(f"`dataset`: its items are tensors of shape {given.shape}; expected (C, H, W)")
        if isinstance(transform, Preprocessing):
            raise InputError("`transform`: is for images, and the dataset gives tensors of floats; leave it out")
        shape = (given.shape[0], given.shape[1], given.shape[2])
        return as_given(shape, given.dataset) if transform is None else own_transform(transform, shape)
    if isinstance(transform, Preprocessing):
        return transform
    if transform is not None:
        return fitted(own_transform(transform), given.source, given.workers)
    if isinstance(network, Backbone):
        return network.preprocessing
    raise InputError(
        "`transform`: is missing; give the function from an RGB image to the network's input, such as "
        "weights.transforms() of torchvision"
    )


def _with_transform(network: nn.Module, name: str | None, transform: Preprocessing) -> Backbone:
    """The network as a backbone with this input transform."""
    if not isinstance(network, Backbone):
        return own_backbone(network, transform, name)
    if name is not None:
        raise InputError(f"`network_name` {name}: a backbone has a name of its own, {network.name}; leave it out")
    backbone = copy.copy(network)  # shares the weights
    backbone.preprocessing = transform
    return backbone
