"""Configurations of networks out of files that may be foreign: what they may ask for, and how large they may be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from features.backbones.backbone import Backbone
from features.backbones.downloading import fault
from features.infrastructure.errors import InputError

#: Most layers, and the largest number of any other kind: of channels, heads, pixels or classes.
MOST_LAYERS, LARGEST = 1000, 2**20
#: Ends of the names of numbers of layers.
_LAYERS = ("layers", "depth", "depths", "blocks", "stages")
#: Arguments of timm's builders that reach for files, addresses or other code, beside those of ``create_model`` itself.
_REACHING = ("pretrained", "cache", "checkpoint", "feature", "kwargs")
#: Keys of transformers that load code or packages of others.
_CODE = ("quantization_config", "attn_implementation", "experts_implementation")
#: Bytes of a file of weights beyond one for each number of its network.
_SLACK = 2**24


def check_numbers(config: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` for a number that no network has; ``where`` begins the message."""
    for name, value in _leaves(config):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        of_layers = name.endswith(_LAYERS) and isinstance(value, int)
        low, high = (1, MOST_LAYERS) if of_layers else (-LARGEST, LARGEST)
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"{where}: {name} is {value:.10g}; expected a number from {low} to {high}")


def check_arguments(arguments: Any, where: str) -> dict[str, Any]:
    """Return arguments of a timm network, or raise `InputError` if they are none, or are for timm's builder.

    The builder would load other files, or connect to other places.
    """
    import timm

    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise InputError(f"{where}: its arguments of a network are no mapping")
    builders = inspect.signature(timm.create_model).parameters
    for name in arguments:
        if name in builders or name.startswith(_REACHING):
            raise InputError(f"{where}: the argument {name!r} is not of a network, and is not followed")
    check_numbers(arguments, where)
    return dict(arguments)


def check_no_code(config: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` if a configuration of transformers asks for code or packages of others."""
    for name, value in _leaves(config):
        if value is not None and any(part in name for part in _CODE) and value not in ("eager", "sdpa"):
            raise InputError(f"{where}: {name} asks for code that is not part of the model, and is not followed")
    check_numbers({key: value for key, value in config.items() if key not in ("text_config", "label2id")}, where)


def check_size(where: str, build: Callable[[], Backbone | torch.nn.Module], weights: Path | None) -> None:
    """Raise `InputError` if a network has many more numbers than there are bytes in the file of its weights.

    Args:
        where: The beginning of the message.
        build: Builds the network; it is called without memory for it.
        weights: The file; without one nothing is checked.
    """
    if weights is None:
        return
    try:
        with torch.device("meta"):
            network = build()
    except NotImplementedError:
        return  # it computes with numbers while it is built
    numbers = sum(parameter.numel() for parameter in network.parameters())
    if numbers > weights.stat().st_size + _SLACK:
        raise InputError(f"{where}: its network has {numbers:,} numbers, many more than {weights} holds")


@contextmanager
def described_by(where: str) -> Iterator[None]:
    """Raise `InputError` for whatever is raised in the block, which builds a network as a file says."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # libraries raise errors of any type on values of other types
        raise InputError(f"{where} describes no network that can be built ({fault(error)})") from error


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings and lists, by the path of their keys."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value
