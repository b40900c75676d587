"""The Fréchet distance between two datasets, each taken as a Gaussian.

Source: Fréchet, "Sur la distance de deux lois de probabilité", 1957; Dowson and Landau, Journal of Multivariate
Analysis 1982; on the features of a network: Heusel et al., NeurIPS 2017 (FID).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.measures.catalogue import Measure


def total_moments(bank: FeatureBank) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of all images of a bank, from its class statistics.

    The law of total covariance adds that within the classes and that of the class means:
    Σ = W + Σ_c (n_c/N)·(m_c − m)(m_c − m)ᵀ. The mean is (D,) and the population covariance (D, D), float64.

    Raises:
        InputError: The bank holds no within-class covariance.
    """
    if bank.within_covariance is None:
        raise InputError(f"{bank.name} holds no within-class covariance, so its images are no Gaussian of known width")
    share = bank.counts / bank.counts.sum()
    means = bank.means.astype(np.float64)
    mean = share @ means
    away = means - mean
    return mean, bank.within_covariance + (away.T * share) @ away


def frechet(mean: ArrayLike, covariance: ArrayLike, other_mean: ArrayLike, other_covariance: ArrayLike) -> float:
    """Squared Fréchet distance between two Gaussians: ‖m − m′‖² + tr(Σ + Σ′ − 2·(ΣΣ′)^½).

    With Σ = F·Fᵀ, ΣΣ′ and the symmetric FᵀΣ′F have the same non-zero eigenvalues, so the trace of the root is the sum
    of their square roots, and no root of a nonsymmetric matrix is computed.

    Args:
        mean, other_mean: (D,).
        covariance, other_covariance: (D, D) symmetric; negative eigenvalues are round-off and count as 0.

    Returns:
        The squared distance in squared units of the features, at least 0.

    Raises:
        ValueError: Shapes do not match, or a value is not finite.

    >>> frechet([0.0], [[4.0]], [3.0], [[1.0]])
    10.0
    """
    m, s = _checked("", mean, covariance)
    other_m, other_s = _checked("other_", other_mean, other_covariance)
    if len(m) != len(other_m):
        raise ValueError(f"mean and other_mean must have one width, got {len(m)} and {len(other_m)}")
    values, vectors = np.linalg.eigh(s)
    kept = values > 0
    factor = vectors[:, kept] * np.sqrt(values[kept])
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(factor.T @ other_s @ factor), 0)).sum()
    away = m - other_m
    return max(0.0, float(away @ away + np.trace(s) + np.trace(other_s) - 2 * shared))


def _checked(side: str, mean: ArrayLike, covariance: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A mean, and a covariance of matching shape; ``side`` begins the names in messages."""
    m, s = np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if m.ndim != 1 or s.shape != (len(m), len(m)):
        raise ValueError(f"{side}mean must be (D,) and {side}covariance (D, D), got shapes {m.shape} and {s.shape}")
    if not (np.isfinite(m).all() and np.isfinite(s).all()):
        raise ValueError(f"{side}mean and {side}covariance must be finite, got NaN or infinity")
    return m, s


FRECHET = Measure(
    name="frechet",
    meaning="squared Fréchet distance of the two sets of images as Gaussians (Heusel et al. 2017)",
    needs=frozenset({"source"}),
    direction="lower",
    compares="sources",
    function=lambda evidence: frechet(*total_moments(evidence.given_source), *total_moments(evidence.target)),
    place=0,
)
