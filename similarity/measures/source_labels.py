"""LEEP (Nguyen et al., ICML 2020) and NCE (Tran, Nguyen and Hassner, ICCV 2019): labels from source classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from similarity.measures.catalogue import Measure
from similarity.measures.checks import checked_labels, checked_posterior
from similarity.measures.grouping import class_sums

#: Entries of one block of probabilities (float64: 32 MiB).
_BLOCK = 1 << 22


def leep(posterior: ArrayLike, labels: ArrayLike) -> float:
    """Log expected empirical prediction: mean_i log Σ_z P(y_i|z)·θ(x_i)_z.

    P(y|z) = P(y, z) / P(z) with the empirical joint distribution P(y, z) = 1/N·Σ_{i: y_i = y} θ(x_i)_z.

    Args:
        posterior: (N, Z) θ, source class probabilities of each image of the target.
        labels: (N,) integers, of at least two classes of the target.

    Returns:
        Nats per image, at most 0; higher predicts better transfer.

    Raises:
        ValueError: Rows of ``posterior`` are not probabilities, or labels are malformed.
    """
    theta = checked_posterior(posterior)
    indices, counts = checked_labels(labels, len(theta))
    joint = class_sums(theta, indices, len(counts))
    marginal = joint.sum(axis=0)
    conditional = np.divide(joint, marginal, out=joint, where=marginal > 0)  # a class of probability 0 is left out
    step = max(1, _BLOCK // theta.shape[1])
    total = 0.0
    for start in range(0, len(theta), step):
        rows = slice(start, start + step)
        total += float(np.log(np.einsum("nz,nz->n", conditional[indices[rows]], theta[rows])).sum())
    return min(0.0, total / len(theta))


def nce(posterior: ArrayLike, labels: ArrayLike) -> float:
    """Negative conditional entropy −H(Y|Z) of the target's labels: Σ_{y,z} P(y, z)·log(P(y, z) / P(z)).

    Z is the most probable source class of an image; of several, the first. Arguments and errors are those of
    :func:`leep`.

    Returns:
        Nats per image, −log C to 0; higher predicts better transfer. LEEP is at least NCE plus the mean log
        probability of the most probable classes.
    """
    theta = checked_posterior(posterior)
    indices, counts = checked_labels(labels, len(theta))
    likeliest = theta.argmax(axis=1)
    together = np.unique(likeliest * len(counts) + indices, return_counts=True)
    images = np.bincount(likeliest, minlength=theta.shape[1])[together[0] // len(counts)]
    return min(0.0, float(together[1] @ np.log(together[1] / images)) / len(theta))


LEEP = Measure(
    name="leep",
    meaning="log expected prediction of the labels from the source's class probabilities (Nguyen et al. 2020)",
    needs=frozenset({"target images", "posterior"}),
    direction="higher",
    compares="both",
    function=lambda evidence: leep(evidence.source_labels, evidence.labelled[1]),
    place=1,
)
NCE = Measure(
    name="nce",
    meaning="negative entropy of the labels given the most probable source class (Tran et al. 2019)",
    needs=frozenset({"target images", "posterior"}),
    direction="higher",
    compares="both",
    function=lambda evidence: nce(evidence.source_labels, evidence.labelled[1]),
    place=1,
)
