"""Heads of an image classifier: float32 features (B, D) in, float32 class scores (B, C) out.

No head is a plain ``nn.Linear``, which :class:`features.inference_network.InferenceNetwork` would cast to bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.classifiers.nearest import NearestNeighbours


class LinearHead(nn.Linear):
    """x·Wᵀ + b."""


class CosineHead(LinearHead):
    """Cosine of features and class weights, in [−1, 1], as in LDAM (Cao et al., NeurIPS 2019, section 3)."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(dim, n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class CentredCosineHead(CosineHead):
    """Cosine of class weights and features less their mean ``centre``: nearest class mean (Kang et al., ICLR 2020)."""

    centre: Tensor

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(dim, n_classes)
        self.register_buffer("centre", torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.centre)


class NeighboursHead(nn.Module):
    """Logarithm of each class's share of the vote of the nearest training images, so the softmax is the vote.

    A class without a vote has the score −∞. The ``features`` (M, D), scaled to length 1, and ``labels`` (M,) of the
    training images are searched on the CPU and stay there when the network moves to another device. Their number M is
    that of the loaded state.
    """

    features: Tensor
    labels: Tensor
    k: Tensor
    temperature: Tensor

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("features", torch.empty(0, dim))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self.register_buffer("k", torch.tensor(20))
        self.register_buffer("temperature", torch.tensor(0.07, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        options = int(self.k), float(self.temperature)
        voters = NearestNeighbours.of(self.features.numpy(), self.labels.numpy(), self.n_classes, *options)
        shares = voters.scores(x.detach().cpu().numpy())
        return torch.from_numpy(shares).log().to(x)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> NeighboursHead:
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("features", "labels"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device="cpu"))
        super()._load_from_state_dict(state_dict, prefix, *rest)


#: Classes of heads, built from D and C, by their names in the cards of checkpoints.
HEADS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": LinearHead,
    "cosine": CosineHead,
    "centred-cosine": CentredCosineHead,
    "knn": NeighboursHead,
}
