"""LogME: how likely a Bayesian linear model of the features makes the labels.

Source: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021; the fixed
point in one variable: You et al., "Ranking and Tuning Pre-trained Models", JMLR 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.spectrum import label_spectrum

#: Bounds of α/β in units of the largest squared singular value. At the ends the prior rules nothing, or everything.
_LEAST_RATIO, _MOST_RATIO = 1e-12, 1e12
#: Least noise variance 1/β. Labels that are an exact linear function of the features would be infinitely likely.
_LEAST_NOISE = 1e-8
#: The iteration ends where no class gains so much evidence a sample, in nats.
_TOLERANCE = 1e-10
_MOST_ROUNDS = 1_000


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Maximised log evidence of a linear model a sample, averaged over the classes.

    For the indicator y ∈ {0, 1}ᴺ of a class the model is y = F·w + ε, w ~ N(0, α⁻¹·I), ε ~ N(0, β⁻¹·I). The
    evidence, with t = α/β and m the posterior mean of w:

        log p(y|F, α, β) = N/2·log β + ½·Σ_k log(t / (t + σ_k²)) − β/2·(‖F·m − y‖² + t·‖m‖²) − N/2·log 2π

    is maximal in β where β = N / (‖F·m − y‖² + t·‖m‖²), and in t at a fixed point of
    t ← γ/(N − γ) · ‖F·m − y‖²/‖m‖², γ = Σ_k σ_k²/(t + σ_k²). All classes are iterated together, in the coordinates
    of one decomposition. Features are taken as they are: no centre is removed and no bias added.

    Args:
        features: (N, D); more features than images are no special case.
        labels: (N,) integers, of at least two classes.

    Returns:
        Nats a sample; a higher one promises better transfer. At most about 8.3: noise has a variance of at least
        1e-8.

    Raises:
        ValueError: Features or labels are malformed.
    """
    rows = checked_features(features)
    places, counts = checked_labels(labels, len(rows))
    spectrum = label_spectrum(rows, places, counts)
    if not len(spectrum.squares):  # all features are 0: the labels are noise
        return float(-0.5 * (np.log(2 * np.pi * counts / len(rows)) + 1).mean())
    squares = (spectrum.squares / spectrum.squares.max())[:, None]  # α takes the scale of the features up
    outside = np.maximum(counts - spectrum.along.sum(axis=0), 0)
    best = np.full(len(counts), -np.inf)
    ratio, active = np.ones(len(counts)), np.arange(len(counts))
    for _ in range(_MOST_ROUNDS):
        evidence, following = _step(squares, spectrum.along[:, active], outside[active], ratio[active], len(rows))
        gain = evidence - best[active]
        best[active] = np.maximum(best[active], evidence)
        ratio[active] = following
        active = active[gain > _TOLERANCE]
        if not len(active):
            break
    return float(best.mean())


def _step(
    squares: NDArray[np.float64],
    along: NDArray[np.float64],
    outside: NDArray[np.float64],
    ratio: NDArray[np.float64],
    images: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evidence a sample at t, and the next t.

    Args:
        squares: (K, 1) σ_k².
        along: (K, C) (u_kᵀ y_c)².
        outside: (C,) what of ‖y_c‖² no direction explains.
        ratio: (C,) t.
        images: N.
    """
    ruled = ratio / (squares + ratio)  # 1 − the share of a direction that the data decide
    residual = outside + np.einsum("kc,kc->c", np.square(ruled), along)
    length = np.einsum("kc,kc->c", squares / np.square(squares + ratio), along)
    noise = np.maximum((residual + ratio * length) / images, _LEAST_NOISE)
    fit = (residual + ratio * length) / (images * noise)
    evidence = 0.5 * (np.log(ruled).sum(axis=0) / images - np.log(2 * np.pi * noise) - fit)
    undecided = (images - len(squares)) + ruled.sum(axis=0)  # N − γ, without cancellation
    # Where the features say nothing of a class, its weights vanish and t has no bound.
    with np.errstate(divide="ignore", over="ignore"):
        following = np.where(length > 0, (images - undecided) * residual / (undecided * length), np.inf)
    return evidence, np.clip(following, _LEAST_RATIO, _MOST_RATIO)
