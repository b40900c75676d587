"""The optimiser: frozen layers, learning rates, and averages and interpolations of weights.

Sources: Howard and Ruder, ACL 2018 (layer-wise rates); Li, Grandvalet and Davoine, ICML 2018 (L2-SP);
Morales-Brotons, Vogels and Hendrikx, TMLR 2024 (averages of weights); Wortsman et al., CVPR 2022 (WiSE-FT).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from finetune.model import ImageClassifier
from finetune.shared_options import TrainingConfig

#: Least warm-up of AdamW in steps, or half of all steps: its first steps have full size whatever the gradient.
ADAM_WARMUP = 10
_CONTAINERS = (nn.Sequential, nn.ModuleList)


def layers(network: nn.Module) -> list[nn.Module]:
    """The layers of a network from input to output, in the order of registration; of a network of blocks its blocks.

    Containers are taken apart, and so are modules that hold a row of blocks, such as the encoder of a transformer or a
    stage of ConvNeXt. Modules without parameters are omitted. timm's ``group_parameters`` and ``auto_group_layers`` put
    all of torchvision's networks into one layer.
    """

    def taken_apart(module: nn.Module) -> list[nn.Module]:
        found = []
        for child in module.children():
            size = sum(p.numel() for p in child.parameters())
            if isinstance(child, _CONTAINERS) or any(map(_is_row_of_blocks, child.children())):
                found += taken_apart(child) or ([child] if size else [])
            elif size:
                found.append(child)
        return found

    return taken_apart(network) or [network]


def _is_row_of_blocks(module: nn.Module) -> bool:
    """Whether it is a container of modules of one type that have children and are not containers."""
    kinds = {type(child) for child in module.children()}
    first = next(module.children(), None)
    return (
        isinstance(module, _CONTAINERS)
        and len(kinds) == 1
        and not isinstance(first, _CONTAINERS)
        and any(True for _ in first.children())  # type: ignore[union-attr]
    )


def freeze(model: ImageClassifier, share: float) -> list[nn.Module]:
    """Freeze the first layers of the backbone, and return them; frozen parameters require no gradient.

    ``share`` is their share of the layers, 0 to 1, rounded to whole layers, and at least one layer if it is above 0. A
    parameter that belongs to no layer, such as the class token of a transformer, is frozen with the first one.
    """
    every = layers(model.backbone.network)
    frozen = every[: max(round(share * len(every)), share > 0)]
    for layer in frozen:
        layer.requires_grad_(False)
    if frozen:
        inside = {id(p) for layer in every for p in layer.parameters()}
        for parameter in model.backbone.parameters():
            if id(parameter) not in inside:
                parameter.requires_grad_(False)
    return frozen


def parameter_groups(model: ImageClassifier, config: TrainingConfig, *heads: nn.Module) -> list[dict[str, Any]]:
    """The trained parameters of a model and of further heads on it, grouped by learning rate and weight decay.

    A layer d layers below the head has the rate lr·(layer decay)^d. Biases and normalisation layers (parameters with
    one dimension) have no weight decay, nor has a backbone with L2-SP.
    """
    every = layers(model.backbone.network)
    depth = {id(p): len(every) - place for place, layer in enumerate(every) for p in layer.parameters()}
    head = {id(p) for module in (model.head, *heads) for p in module.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in chain(*(module.parameters() for module in (model, *heads))):
        if parameter.requires_grad:
            # a parameter that belongs to no layer, such as a class token, has the depth of the first one
            below = 0 if id(parameter) in head else depth.get(id(parameter), len(every))
            pulled = config.l2_sp > 0 and id(parameter) not in head
            decay = 0.0 if parameter.ndim <= 1 or pulled else config.weight_decay
            groups.setdefault((config.lr * config.layer_decay**below, decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def build_optimizer(model: ImageClassifier, config: TrainingConfig, *heads: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that `optimizer` names, over :func:`parameter_groups`."""
    groups = parameter_groups(model, config, *heads)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=config.optimizer == "nesterov")


def rate(step: int, steps: int, config: TrainingConfig) -> float:
    """The learning rate of step ``step``, from 0, as a share of its peak: linear warm-up, then the schedule."""
    warmup = round(config.warmup * steps)
    if config.optimizer == "adamw" and config.warmup:
        warmup = max(warmup, min(ADAM_WARMUP, steps // 2))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "step":
        return float(config.decay ** sum(step >= round(m * steps) for m in config.milestones))
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class PullToStart:
    """L2-SP: α/2 · Σ (w − w⁰)² over the trained parameters of the backbone, for the ``model`` at the start w⁰."""

    def __init__(self, model: ImageClassifier, alpha: float) -> None:
        self.alpha = alpha
        self.parameters = [p for p in model.backbone.parameters() if p.requires_grad]
        self.start = [p.detach().clone() for p in self.parameters]

    def __call__(self) -> Tensor:
        """The penalty, a scalar."""
        self.start = [begun.to(now.device) for begun, now in zip(self.start, self.parameters, strict=True)]
        moved = (now - begun for now, begun in zip(self.parameters, self.start, strict=True))
        return self.alpha / 2 * torch.stack([part.square().sum() for part in moved]).sum()


class WeightAverage:
    """An exponential moving average of a model's weights and statistics, kept by ``decay`` at each step, 0 to below 1.

    The decay of step t is at most (1 + t)/(10 + t), so that the average forgets the start. It resumes from the result
    of :meth:`state`. PyTorch's ``AveragedModel`` reads its counter from the device, so every step would wait for the
    GPU.
    """

    def __init__(self, model: nn.Module, decay: float, state: Mapping[str, Tensor] | None = None) -> None:
        self.decay = decay
        self.average = {name: value.detach().clone() for name, value in (state or model.state_dict()).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Average in the weights after step ``step``, from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = model.state_dict()
        self.average = {name: value.to(now[name].device) for name, value in self.average.items()}
        floats = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floats], [now[n] for n in floats], 1 - decay)
        for name in now.keys() - set(floats):  # counts
            self.average[name].copy_(now[name])

    def state(self) -> dict[str, Tensor]:
        """The averaged state dict, on the CPU."""
        return {name: value.cpu() for name, value in self.average.items()}


class Interpolation:
    """WiSE-FT: weights between those of the start and the trained ones, start + α · (trained − start).

    ``share`` is α, above 0 to 1. A resumed training gives the state dict of the start.
    """

    def __init__(self, model: nn.Module, share: float, start: Mapping[str, Tensor] | None = None) -> None:
        self.share = share
        self.start = {name: value.detach().cpu().clone() for name, value in (start or model.state_dict()).items()}

    def __call__(self, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Interpolate between the start and a trained state dict, on the CPU; counts are those of the trained one.

        Equal values stay as they are, also infinite ones.
        """
        return {name: self._between(self.start[name], value) for name, value in trained.items()}

    def _between(self, start: Tensor, trained: Tensor) -> Tensor:
        if not trained.is_floating_point():
            return trained
        return torch.where(start == trained, trained, torch.lerp(start, trained, self.share))
