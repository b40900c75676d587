"""Stage two of decoupled training: the classifier is re-trained with class-balanced sampling, in feature space.

Source: Kang et al., ICLR 2020, section 4. The representation is frozen: it is a matrix of features here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from finetune.classifiers.feature_classifier import LinearClassifier, checked_weight, without_absent
from finetune.classifiers.second_stage import SecondStage
from finetune.samplers import ClassSampler

#: SGD with momentum m is stable on a quadratic below the rate 2(1 + m)/L. The curvature L of softmax cross-entropy is
#: at most half the mean squared norm of its inputs. Scaled to 32, L ≤ 16, and the default rate 0.2 is below 3.8/16 for
#: features of any scale. The mean is taken over the images. Over class-balanced draws it is larger if rare classes have
#: larger norms; the decay of the rate to 0 then damps the oscillation.
_SQUARED_NORM = 32.0
_MOMENTUM = 0.9


@dataclass(eq=False, kw_only=True)
class _Retrained(LinearClassifier):
    """SGD over class-balanced draws, with a cosine schedule to 0."""

    epochs: int = 10
    batch_size: int = 512
    lr: float = 0.2
    seed: int = 0

    def _descend(
        self,
        parameters: list[dict[str, Any]],
        logits: Callable[[Tensor], Tensor],
        rows: Tensor,
        labels: NDArray[np.int64],
    ) -> None:
        """Minimise the cross-entropy of ``logits`` over the parameter groups, drawing from rows (N, D)."""
        if self.epochs < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ValueError(
                f"epochs, batch_size and lr must be positive, got {self.epochs}, {self.batch_size} and {self.lr}"
            )
        optimizer = torch.optim.SGD(parameters, lr=self.lr, momentum=_MOMENTUM)
        sampler = ClassSampler(labels, q=0.0, seed=self.seed)
        truth = torch.from_numpy(labels)
        batches = -(-len(labels) // self.batch_size)
        for epoch in range(self.epochs):
            sampler.set_epoch(epoch)
            drawn = torch.from_numpy(sampler.positions())
            for batch, indices in enumerate(drawn.split(self.batch_size)):
                done = (epoch * batches + batch) / (self.epochs * batches)
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * done))
                optimizer.zero_grad()
                F.cross_entropy(logits(rows[indices]), truth[indices]).backward()
                optimizer.step()


@dataclass(eq=False, kw_only=True)
class ClassifierRetraining(_Retrained):
    """cRT: a new linear classifier, trained with class-balanced sampling.

    Features are centred and divided by one number for the descent; ``weight_`` and ``bias_`` apply to them as they are.

    Args:
        epochs: Passes of N class-balanced draws; 10 is the paper's.
        batch_size: Draws a step.
        lr: Peak learning rate, falling to 0 by a cosine.
        weight_decay: L2 penalty of the weight, not of the bias.
        seed: Seed of the draws.
    """

    weight_decay: float = 5e-4

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        centre = features.mean(axis=0, dtype=np.float64)
        rows = (features - centre).astype(np.float32)
        spread = float(np.einsum("nd,nd->", rows, rows, dtype=np.float64)) / len(rows)
        scale = math.sqrt(_SQUARED_NORM / spread) if spread > 0 else 1.0
        rows *= np.float32(scale)
        # the objective is convex, so zeros are as good a start as any, and need no seed
        weight = torch.zeros(n_classes, features.shape[1], requires_grad=True)
        bias = torch.zeros(n_classes, requires_grad=True)
        groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": self.weight_decay}, {"params": [bias]}]
        self._descend(groups, lambda part: F.linear(part, weight, bias), torch.from_numpy(rows), labels)
        self.weight_ = weight.detach().numpy().astype(np.float64) * scale
        self.bias_ = without_absent(bias.detach().numpy() - self.weight_ @ centre, labels)


@dataclass(eq=False)
class LearnableWeightScaling(_Retrained):
    """LWS: one scale for each class of a trained classifier, learned with class-balanced sampling.

    Args:
        weight, bias: (C, D) and (C,) of the trained classifier, or no bias; it is scaled with the weight.
        epochs, batch_size, lr, seed: As of :class:`ClassifierRetraining`.

    Attributes:
        scales_: (C,) the factors learned.
    """

    weight: ArrayLike
    bias: ArrayLike | None = None

    def _default_classes(self, labels: NDArray[np.integer]) -> int:
        return len(checked_weight(self.weight))

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        matrix = checked_weight(self.weight, (n_classes, features.shape[1]))
        offset = np.zeros(n_classes) if self.bias is None else np.asarray(self.bias)
        if offset.shape != (n_classes,):
            raise ValueError(f"bias must have shape ({n_classes},), one number a class, got {offset.shape}")
        known = np.isfinite(offset)  # a class with the bias −∞ can never be chosen, which no scale changes
        if not known.all():
            features, labels = features[known[labels]], labels[known[labels]]
        rows, never = torch.from_numpy(features.astype(np.float32, copy=False)), torch.from_numpy(~known)
        weight, bias = torch.from_numpy(matrix).float(), torch.from_numpy(np.where(known, offset, 0.0)).float()
        squares = torch.stack([F.linear(part, weight, bias).double().square().sum(0) for part in rows.split(8192)])
        largest = float(squares.sum(0)[~never].max()) / len(rows)
        unit = math.sqrt(_SQUARED_NORM / largest) if largest > 0 else 1.0
        scales = torch.full((n_classes,), 1 / unit, requires_grad=True)

        def logits(part: Tensor) -> Tensor:
            return (scales * (F.linear(part, weight, bias) * unit)).masked_fill(never, -math.inf)

        self._descend([{"params": [scales]}], logits, rows, labels)
        self.scales_ = scales.detach().numpy() * unit
        self.weight_ = matrix * self.scales_[:, None]
        self.bias_ = offset * self.scales_


CRT = SecondStage(
    "crt",
    "a new linear classifier, trained with class-balanced sampling (cRT)",
    lambda inputs: inputs.fitted(ClassifierRetraining(seed=inputs.seed)),
    balanced=True,
)
LWS = SecondStage(
    "lws",
    "one scale per class of the trained classifier, learned with class-balanced sampling (LWS)",
    lambda inputs: inputs.fitted(LearnableWeightScaling(inputs.start.weight, inputs.start.bias, seed=inputs.seed)),
    keeps_classifier=True,
    balanced=True,
)
