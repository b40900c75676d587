"""LogME: the log evidence of a Bayesian linear model of the labels given the features.

Source: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021; the
fixed-point iteration in one variable: You et al., "Ranking and Tuning Pre-trained Models", JMLR 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_features, checked_labels
from similarity.measures.spectrum import label_spectrum

#: Bounds of α/β in units of the largest squared singular value. At the lower one the prior has no influence, at the
#: upper one the data have none.
_LEAST_RATIO, _MOST_RATIO = 1e-12, 1e12
#: Lower bound of the noise variance 1/β. Labels that are linear in the features would have infinite evidence.
_LEAST_NOISE = 1e-8
#: The iteration of a class ends when its evidence per image gains less than this, in nats.
_TOLERANCE = 1e-10
_MOST_ROUNDS = 1_000

_Array = NDArray[np.float64]


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Maximised log evidence of a linear model per image, averaged over the classes.

    For the indicator y ∈ {0, 1}ᴺ of a class the model is y = F·w + ε, w ~ N(0, α⁻¹·I), ε ~ N(0, β⁻¹·I). The
    evidence, with t = α/β and m the posterior mean of w:

        log p(y|F, α, β) = N/2·log β + ½·Σ_k log(t / (t + σ_k²)) − β/2·(‖F·m − y‖² + t·‖m‖²) − N/2·log 2π

    is maximal in β at β = N / (‖F·m − y‖² + t·‖m‖²), and in t at a fixed point of
    t ← γ/(N − γ) · ‖F·m − y‖²/‖m‖², γ = Σ_k σ_k²/(t + σ_k²). All classes are iterated together, in the coordinates
    of one singular value decomposition. Features are not centred, and the model has no bias.

    Args:
        features: (N, D); D may exceed N.
        labels: (N,) integers, of at least two classes.

    Returns:
        Nats per image, at most about 8.3 because the noise variance is at least 1e-8; higher predicts better transfer.

    Raises:
        ValueError: Features or labels are malformed.
    """
    rows = checked_features(features)
    indices, counts = checked_labels(labels, len(rows))
    squares, along = label_spectrum(rows, indices, counts)
    if not len(squares):  # all features are 0: the model is noise alone
        return float(-0.5 * (np.log(2 * np.pi * counts / len(rows)) + 1).mean())
    squares = (squares / squares.max())[:, None]  # α absorbs the scale of the features
    outside = np.maximum(counts - along.sum(axis=0), 0)
    best = np.full(len(counts), -np.inf)
    ratio, active = np.ones(len(counts)), np.arange(len(counts))
    for _ in range(_MOST_ROUNDS):
        evidence, following = _step(squares, along[:, active], outside[active], ratio[active], len(rows))
        gain = evidence - best[active]
        best[active] = np.maximum(best[active], evidence)
        ratio[active] = following
        active = active[gain > _TOLERANCE]
        if not len(active):
            break
    return float(best.mean())


def _step(squares: _Array, along: _Array, outside: _Array, ratio: _Array, images: int) -> tuple[_Array, _Array]:
    """Evidence per image at t = ``ratio`` (C,), and the next t.

    ``squares`` (K, 1) are the σ_k², ``along`` (K, C) the (u_kᵀ y_c)², and ``outside`` (C,) the squared length of the
    component of y_c orthogonal to all u_k.
    """
    shrunk = ratio / (squares + ratio)  # shrinkage t/(σ_k² + t) of each direction
    residual = outside + np.einsum("kc,kc->c", np.square(shrunk), along)
    length = np.einsum("kc,kc->c", squares / np.square(squares + ratio), along)
    noise = np.maximum((residual + ratio * length) / images, _LEAST_NOISE)
    fit = (residual + ratio * length) / (images * noise)
    evidence = 0.5 * (np.log(shrunk).sum(axis=0) / images - np.log(2 * np.pi * noise) - fit)
    undecided = (images - len(squares)) + shrunk.sum(axis=0)  # N − γ, without cancellation
    # If no feature is correlated with a class, its weights vanish and t diverges.
    with np.errstate(divide="ignore", over="ignore"):
        following = np.where(length > 0, (images - undecided) * residual / (undecided * length), np.inf)
    return evidence, np.clip(following, _LEAST_RATIO, _MOST_RATIO)


LOGME = Measure(
    name="logme",
    meaning="log evidence of a Bayesian linear model of the labels (You et al. 2021)",
    needs=frozenset({"target images"}),
    direction="higher",
    function=lambda evidence: logme(*evidence.labelled),
)
