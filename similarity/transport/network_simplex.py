"""The exact transport plan for a dense cost matrix, by POT's network simplex (Bonneel et al., TOG 2011)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

#: Network-simplex pivots. POT's own default stops early at 10,000 classes.
MAX_ITERATIONS = 100_000_000


def transport_plan(
    costs: NDArray[np.float64],
    source_weights: NDArray[np.float64],
    target_weights: NDArray[np.float64],
    *,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """The cheapest way to move weights, unchecked: what :func:`similarity.emd` puts its certificate on.

    Args:
        costs: (S, T) finite ground distances.
        source_weights: (S,) positive, sum 1.
        target_weights: (T,) positive, sum 1.
        max_iterations: Pivots after which the solver gives up.

    Returns:
        (S, T) mass moved, (T,) potentials of the targets, and what found them: ``network-simplex``, or
        ``single-class`` where one side has one point and the plan has no freedom.

    Raises:
        RuntimeError: The solver did not finish.
    """
    if min(costs.shape) == 1:
        v = costs[0] if len(costs) == 1 else np.zeros(1)
        return np.outer(source_weights, target_weights), v, "single-class"
    import ot

    unit = 2.0 ** np.ceil(np.log2(costs.max())) if costs.any() else 1.0  # POT's tolerances are for costs of about 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plan, log = ot.emd(source_weights, target_weights, costs / unit, numItermax=max_iterations, log=True)
        except UserWarning as warning:
            size = f"{costs.shape[0]} × {costs.shape[1]}"
            raise RuntimeError(f"the transport problem of {size} was not solved: {warning}") from warning
    return plan, log["v"] * unit, "network-simplex"
