"""τ-normalisation: each row of a trained classifier is divided by its norm to the power τ.

Source: Kang et al., ICLR 2020, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.infrastructure.errors import InputError
from finetune.classifiers.feature_classifier import LinearClassifier, checked_weight
from finetune.classifiers.second_stage import FittedHead, FittingInputs, SecondStage
from finetune.evaluation.metrics import evaluate_scores


def tau_normalise(weight: ArrayLike, tau: float) -> NDArray[np.floating]:
    """The rows w_i/‖w_i‖^τ of a linear classifier (C, D), in its type; the caller drops its bias.

    At τ = 0 the weight stays, at τ = 1 every row has the norm 1; a row of zeros stays one. Raises ``ValueError`` if
    ``weight`` is no finite matrix, or ``tau`` is not finite.

    >>> tau_normalise(np.array([[3.0, 4.0], [0.0, 2.0]]), tau=1.0).tolist()
    [[0.6, 0.8], [0.0, 1.0]]
    """
    matrix = checked_weight(weight)
    if not np.isfinite(tau):
        raise ValueError(f"tau must be a finite number, got {tau}")
    return (matrix / _divisors(matrix, tau)[:, None]).astype(matrix.dtype)


@dataclass(eq=False)
class TauNormalisation(LinearClassifier):
    """A trained classifier with its rows τ-normalised and its bias dropped.

    ``fit`` learns only τ: the first of ``taus`` with the best mean accuracy over the classes. Fit it to images held out
    of the training, such as those of :func:`balanced_split`, never to the test set.

    Args:
        weight: (C, D) of the trained classifier, as in ``torch.nn.Linear``.
        taus: Candidates; by default 0, 0.05, … 2.

    Attributes:
        tau_: The τ chosen.
        accuracies_: Mean accuracy over the classes at each of ``taus``.
    """

    weight: ArrayLike
    taus: ArrayLike | None = None

    def _default_classes(self, labels: NDArray[np.integer]) -> int:
        return len(checked_weight(self.weight))

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        matrix = checked_weight(self.weight, (n_classes, features.shape[1]))
        taus = np.linspace(0, 2, 41) if self.taus is None else np.atleast_1d(np.asarray(self.taus, dtype=np.float64))
        logits = features @ matrix.T
        self.accuracies_ = np.array(
            [evaluate_scores(logits / _divisors(matrix, tau), labels).macro for tau in taus], dtype=np.float64
        )
        self.tau_ = float(taus[self.accuracies_.argmax()])
        self.weight_ = tau_normalise(matrix, self.tau_)
        self.bias_ = np.zeros(len(matrix), dtype=matrix.dtype)


def balanced_split(
    labels: ArrayLike, per_class: int, seed: int = 0, classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold ``per_class`` images of each class out of the training; ``labels`` (N,) are integers from 0.

    Returns:
        The positions to train on, and the positions held out, both ascending; they follow from the seed.

    Raises:
        InputError: A class has too few images to leave one for training; ``classes`` (C,) are names for the message.
    """
    truth = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(truth))
    order = order[np.argsort(truth[order], kind="stable")]
    counts = np.bincount(truth)
    smallest = int(np.argmin(np.where(counts > 0, counts, len(truth) + 1)))
    if counts[smallest] <= per_class:
        name = f"number {smallest}" if classes is None else repr(classes[smallest])
        most = counts[smallest] - 1
        raise InputError(
            f"class {name} has {counts[smallest]} images, too few to hold {per_class} out and train on the rest; "
            + (f"hold out at most {most} a class" if most else "give the spec of other images")
        )
    first = np.cumsum(counts) - counts
    held = np.arange(len(truth)) - first[truth[order]] < per_class
    return np.sort(order[~held]), np.sort(order[held])


def _divisors(matrix: NDArray[np.floating], tau: float) -> NDArray[np.floating]:
    """(C,) ‖w_i‖^τ, 1 for a row of zeros."""
    norms = np.linalg.norm(matrix, axis=1)
    return np.where(norms > 0, norms, 1) ** tau


def _normalise(inputs: FittingInputs) -> FittedHead:
    """Choose τ on the validation unless it is given."""
    start, given, chosen_on = inputs.start, inputs.tau, inputs.dataset
    if given is None and inputs.validation is not None:
        chosen_on = inputs.validation
    fitted = TauNormalisation(start.weight, None if given is None else [given])
    fitted.fit(*inputs.features_of(chosen_on), len(inputs.dataset.classes))
    said = ""
    if given is None:
        best = fitted.accuracies_.max()
        said = f"τ = {fitted.tau_:.2f}, with a mean accuracy of {best:.4f} over the classes of {chosen_on.spec}"
    elif given and start.balanced_by:
        said = (
            f"τ = {given:g} re-balances the classes after {start.balancing_option}, so rare ones are weighted up twice"
        )
    return FittedHead.linear(fitted.weight_, fitted.bias_, sigmoid=start.sigmoid, said=said)


TAU = SecondStage(
    "tau",
    "the trained classifier, each row divided by its norm to the power `tau`, without its bias (also at τ = 0)",
    _normalise,
    keeps_classifier=True,
    options=frozenset({"tau", "validation"}),
    needs_one_of={"validation": "images to choose τ on", "tau": "τ itself"},
    balanced=True,
)
