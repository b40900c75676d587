"""The linear probe: logistic regression on frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.classifiers.feature_classifier import LinearClassifier
from finetune.classifiers.second_stage import FittedHead, FittingInputs, SecondStage


@dataclass(eq=False)
class LinearProbe(LinearClassifier):
    """Multinomial logistic regression by scikit-learn, its scores the logits.

    Args:
        C: Inverse strength of the L2 penalty; 1 is scikit-learn's default and Cui et al.'s (CVPR 2018).
        standardise: Bring every feature to mean 0 and variance 1 first, so that one C suits features of any scale, and
            few iterations suffice. ``weight_`` and ``bias_`` apply to the features as they are in both cases.
        max_iter: Iterations of L-BFGS at most; scikit-learn warns if they do not suffice.

    Attributes:
        iterations_: Iterations that were needed.
    """

    C: float = 1.0
    standardise: bool = True
    max_iter: int = 1000

    def _learn(self, features: NDArray[np.floating], labels: NDArray[np.int64], n_classes: int) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        present = np.unique(labels)
        if len(present) < 2:
            raise ValueError(f"labels must hold at least 2 classes to tell apart, got only class {present[0]}")
        scaler = StandardScaler(with_mean=self.standardise, with_std=self.standardise)
        model = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(scaler.fit_transform(features), labels)
        weight, bias = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if len(present) == 2:
            # σ(z) is the softmax of (−z/2, z/2)
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        if self.standardise:
            weight = weight / scaler.scale_
            bias = bias - weight @ scaler.mean_
        self.iterations_ = int(model.n_iter_.max())
        self.weight_ = np.zeros((n_classes, features.shape[1]))
        self.weight_[present] = weight
        self.bias_ = np.full(n_classes, -np.inf)
        self.bias_[present] = bias


def _fit(inputs: FittingInputs) -> FittedHead:
    return inputs.fitted(LinearProbe())


LINEAR = SecondStage("linear", "logistic regression on the features", _fit)
