"""Sampling by the share of the target that a class serves: importance sampling of source classes.

Source: Ngiam et al., "Domain Adaptive Transfer Learning with Specialist Models", arXiv 1811.07056, 2018: source images
are drawn by P_target(y) / P_source(y), so that classes are drawn by P_target(y).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finetune.samplers.class_sampler import class_probabilities


def share_probabilities(counts: ArrayLike, shares: ArrayLike, floor: float) -> NDArray[np.float64]:
    """Class probabilities (1 − floor)·shares/Σ shares + floor·instance sampling, (C,) float64, of shares (C,).

    The floor lets classes without a share take part. Raises ``ValueError`` if it is outside [0, 1], or the shares are
    not one number of at least 0 a class.
    """
    given, instance = np.asarray(shares, dtype=np.float64), class_probabilities(counts, 1.0)
    if not 0 <= floor <= 1:
        raise ValueError(f"`floor` must be in [0, 1], got {floor}")
    if given.shape != instance.shape or not (given >= 0).all() or not given.any():
        raise ValueError(f"`shares` must be a number of at least 0 for each of {len(instance)} classes, not all 0")
    return (1 - floor) * given / given.sum() + floor * instance
