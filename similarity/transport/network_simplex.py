"""The exact transport plan of a dense cost matrix, by POT's network simplex (Bonneel et al., ACM TOG 2011)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

#: Largest number of pivots. POT's default is too small for 10,000 classes.
MAX_ITERATIONS = 100_000_000

_Array = NDArray[np.float64]


def transport_plan(costs: _Array, source_weights: _Array, target_weights: _Array) -> tuple[_Array, _Array, str]:
    """Solve the transport problem exactly; the arguments are not checked and the result is not certified.

    It is min_P Σ_ij P_ij c_ij over P ≥ 0 with row sums a and column sums b (Kantorovich, 1942).
    :func:`similarity.emd` certifies the result.

    Args:
        costs: (S, T) finite ground distances.
        source_weights, target_weights: (S,) and (T,), positive, sum 1.

    Returns:
        (S, T) transported mass, (T,) potentials of the targets, and the name of the solver: ``network-simplex``, or
        ``single-class`` if one side has one point, so that there is one plan only.

    Raises:
        RuntimeError: The solver did not finish.
    """
    if min(costs.shape) == 1:
        v = costs[0] if len(costs) == 1 else np.zeros(1)
        return np.outer(source_weights, target_weights), v, "single-class"
    import ot

    unit = 2.0 ** np.ceil(np.log2(costs.max())) if costs.any() else 1.0  # POT's tolerances suit costs of about 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            plan, log = ot.emd(source_weights, target_weights, costs / unit, numItermax=MAX_ITERATIONS, log=True)
        except UserWarning as warning:
            size = f"{costs.shape[0]} × {costs.shape[1]}"
            raise RuntimeError(f"the transport problem of {size} was not solved: {warning}") from warning
    return plan, log["v"] * unit, "network-simplex"


def balanced_plan(
    costs: NDArray[np.float64], source_weights: NDArray[np.float64], target_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The plan of :func:`transport_plan` alone."""
    return transport_plan(costs, source_weights, target_weights)[0]
