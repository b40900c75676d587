"""Fold batch normalisation into the convolution before it: the same function in one step instead of two."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: Largest difference that is taken for rounding, relative to the largest output.
ROUNDING = 1e-3


@torch.no_grad()
def fold_batch_norm(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a network in evaluation mode whose batch normalisations are folded where possible.

    A forward pass of ``example`` finds the pairs: a normalisation whose input is the very tensor that a convolution
    returned. The network may use that tensor elsewhere too, so the output of the folded copy is compared with the
    network's; if it differs, a plain copy is returned. ``example`` is (B, 3, H, W), normalised.
    """
    plain = copy.deepcopy(network).eval()
    expected, pairs = _pairs(plain, example)
    if not pairs:
        return plain
    folded = copy.deepcopy(plain)
    for convolution, normalisation in pairs:
        layer, norm = folded.get_submodule(convolution), folded.get_submodule(normalisation)
        folded.set_submodule(convolution, fuse_conv_bn_eval(layer, norm))  # type: ignore[type-var, arg-type]
        folded.set_submodule(normalisation, _rest(norm))
    difference = (folded(example) - expected).abs().max()
    return folded if difference <= ROUNDING * expected.abs().max() else plain


def _pairs(network: nn.Module, example: Tensor) -> tuple[Tensor, list[tuple[str, str]]]:
    """Return the output, and the names of each (convolution, normalisation) in sequence that are called once."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # holds the tensor, so that no other one gets its id
    pairs: list[tuple[str, str]] = []
    calls: dict[str, int] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            if is_plain_convolution(module):
                outputs[id(output)] = (name, output)
            elif id(inputs[0]) in outputs:
                pairs.append((outputs[id(inputs[0])][0], name))

        return hook

    layers = [(n, m) for n, m in network.named_modules() if is_plain_convolution(m) or _is_batch_norm(m)]
    hooks = [module.register_forward_hook(watch(name)) for name, module in layers]
    try:
        expected = network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return expected, [(c, n) for c, n in pairs if calls[c] == calls[n] == 1]


def is_plain_convolution(module: nn.Module) -> bool:
    """Whether a module is a convolution with untransformed weights: PyTorch's, or timm's with TensorFlow padding."""
    return type(module).__name__ in ("Conv2d", "Conv2dSame") and isinstance(module, nn.Conv2d)


def _is_batch_norm(module: nn.Module) -> bool:
    """Whether a module is PyTorch's batch normalisation, or timm's, which includes the activation after it."""
    return type(module).__name__ in ("BatchNorm2d", "BatchNormAct2d") and module.running_mean is not None


def _rest(norm: nn.Module) -> nn.Module:
    """Return what remains of a folded normalisation: its activation, or the identity."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
