"""Mixup, CutMix and label smoothing: images of a batch mixed in pairs, with class proportions as targets.

timm's ``Mixup`` and torchvision's ``v2.MixUp`` and ``v2.CutMix`` are not used: both draw from a global generator, and
only timm can draw one λ an image, in a Python loop over a batch of even size.

Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix", ICCV 2019;
Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7 (label smoothing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """How the images and targets of a batch are mixed; each pair of images draws its own proportion λ.

    Attributes:
        mixup: α of the distribution Beta(α, α) of λ in mixup; 0 for no mixup.
        cutmix: The same for CutMix. If both are given, each batch takes one of them with probability ½.
        label_smoothing: ε; the proportion of the true class becomes 1 − ε + ε/C, that of the others ε/C.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0

    def __bool__(self) -> bool:
        """Whether targets become class proportions."""
        return self != Mixing()

    def __call__(
        self, images: Tensor, labels: Tensor, n_classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw a partner and a proportion for each image from a CPU generator, and mix.

        Images are (B, 3, S, S) float, labels (B,) of C classes. The result is images (B, 3, S, S) and class proportions
        (B, C), whose rows sum to 1.
        """
        import torch
        from torch.nn import functional as F

        target = F.one_hot(labels, n_classes).to(images)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / n_classes
        if self.mixup or self.cutmix:
            cut = self.cutmix and (not self.mixup or float(torch.rand((), generator=generator)) < 0.5)
            share = _beta(self.cutmix if cut else self.mixup, len(images), generator)
            other = torch.randperm(len(images), generator=generator).to(images.device)
            kept = _outside_box(share, images.shape[-1], generator) if cut else share[:, None, None, None]
            kept = kept.to(images)
            images = kept * images + (1 - kept) * images[other]
            weight = kept.mean(dim=(1, 2, 3))[:, None]  # the box may reach beyond the image
            target = weight * target + (1 - weight) * target[other]
        return images, target


def _beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """(n,) draws of Beta(α, α)."""
    import torch

    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n))


def _outside_box(share: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """(n, 1, size, size) 0 in a box of the area 1 − share of each image, 1 elsewhere."""
    import torch

    half = (torch.sqrt(1 - share) * size / 2)[:, None, None]
    centre = torch.rand(len(share), 2, 1, generator=generator) * size
    at = torch.arange(size) + 0.5
    rows, columns = ((at - centre).abs() < half).unbind(1)
    return 1.0 - (rows[:, None, :, None] & columns[:, None, None, :]).double()
