"""Methods that leave the representation as it is: a classifier fitted to its features becomes the model's head.

Sources: Kang et al., ICLR 2020, section 4 (cRT, LWS, τ-normalisation, nearest class mean); Menon et
al., ICLR 2021, section 4 (post-hoc logit adjustment); Cui et al., CVPR 2018 (the linear probe).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.backbones import Backbone
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.errors import InputError
from finetune.classifiers import (
    ClassifierRetraining,
    LearnableWeightScaling,
    LinearClassifier,
    LinearProbe,
    NearestClassMean,
    TauNormalisation,
)
from finetune.evaluation import ForwardOptions, score_images
from finetune.losses import log_prior
from finetune.model import ImageClassifier

#: Name → meaning.
FROZEN_METHODS = {
    "linear": "logistic regression on the features",
    "crt": "a new linear classifier, trained with class-balanced sampling (cRT)",
    "lws": "one scale a class of the trained classifier, learned with class-balanced sampling (LWS)",
    "tau": "the trained classifier's rows divided by their norm to the power τ, without its bias",
    "logit-adjusted": "the trained classifier, its bias less τ times the log of the classes' shares of the images",
    "ncm": "the class whose mean feature has the largest cosine",
}
#: Those that start from the classifier that the run was trained with.
KEEP_CLASSIFIER = ("lws", "tau", "logit-adjusted")


@dataclass(frozen=True)
class TrainedClassifier:
    """The linear classifier of a run, its rows in the order of a dataset's classes.

    Attributes:
        weight: (C, D).
        bias: (C,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, location: str, classes: Sequence[str], method: str) -> TrainedClassifier:
        """Read it.

        Raises:
            InputError: There is no run, its classes are others, or its classifier is not linear.
        """
        checkpoint = find_checkpoint(location)
        if checkpoint is None:
            raise InputError(f"--init {location}: --method {method} changes a trained classifier; give a finished run")
        if set(checkpoint.classes) != set(classes):
            other = sorted(set(checkpoint.classes) ^ set(classes))
            raise InputError(
                f"--init {location}: --method {method} needs a run trained on the dataset's {len(classes)} classes; "
                f"{len(other)} are not in both, such as {other[0]!r}"
            )
        if checkpoint.card["head"] != "linear":
            raise InputError(
                f"--init {location}: --method {method} needs a linear classifier, and this run's is "
                f"{checkpoint.card['head']}"
            )
        head, position = checkpoint.state("head."), {name: i for i, name in enumerate(checkpoint.classes)}
        order = [position[name] for name in classes]
        return cls(head["weight"].numpy()[order], head["bias"].numpy()[order])

    def into(self, model: ImageClassifier) -> None:
        """Make it the head of a model, which has to be a linear one."""
        with torch.no_grad():
            model.head.weight.copy_(torch.from_numpy(self.weight))
            model.head.bias.copy_(torch.from_numpy(self.bias))

    def sha256(self) -> str:
        """Hash over weight and bias."""
        return hashlib.sha256(self.weight.tobytes() + self.bias.tobytes()).hexdigest()


def fit_frozen(
    method: str,
    backbone: Backbone,
    dataset: ImageDataset,
    options: ForwardOptions,
    *,
    trained: TrainedClassifier | None = None,
    validation: ImageDataset | None = None,
    tau: float | None = None,
    seed: int = 0,
) -> tuple[ImageClassifier, str]:
    """Fit the head to features of the centre view; neither weights nor statistics of the backbone move.

    Args:
        method: One of :data:`FROZEN_METHODS`.
        backbone: Images to features.
        dataset: The training images.
        options: Batch size, device, precision and workers of the pass over them.
        trained: The classifier of the run, for :data:`KEEP_CLASSIFIER`.
        validation: Images that the model was not trained on, of the dataset's classes in its order: τ is chosen
            by the mean accuracy over them.
        tau: τ itself, instead; that of ``logit-adjusted`` is 1 where it is not given.
        seed: Of the draws of ``crt`` and ``lws``.

    Returns:
        The model, and what there is to say about the fit; empty where there is nothing.
    """
    if method in KEEP_CLASSIFIER and trained is None:
        raise ValueError(f"trained must be the classifier that {method!r} starts from")
    if method == "logit-adjusted" and trained is not None:
        prior = log_prior(dataset.counts, classes=dataset.classes)
        return _with_head(backbone, dataset, trained.weight, trained.bias - (1.0 if tau is None else tau) * prior), ""
    fitted_to = validation if method == "tau" and tau is None and validation is not None else dataset
    features, labels, _ = score_images(backbone, fitted_to, backbone.preprocessing, options)
    if method == "ncm":
        means = NearestClassMean("cosine").fit(features, labels, len(dataset.classes)).means_
        return _with_head(backbone, dataset, means), ""
    classifier = _classifier(method, trained, tau, seed).fit(features, labels, len(dataset.classes))
    said = ""
    if isinstance(classifier, TauNormalisation) and tau is None:
        best = classifier.accuracies_.max()
        said = f"τ = {classifier.tau_:.2f}, with a mean accuracy of {best:.4f} over the classes of {fitted_to.spec}"
    return _with_head(backbone, dataset, classifier.weight_, classifier.bias_), said


def _classifier(method: str, trained: TrainedClassifier | None, tau: float | None, seed: int) -> LinearClassifier:
    """The classifier behind a method that is fitted to features."""
    if method == "linear":
        return LinearProbe()
    if method == "crt" or trained is None:
        return ClassifierRetraining(seed=seed)
    if method == "lws":
        return LearnableWeightScaling(trained.weight, trained.bias, seed=seed)
    return TauNormalisation(trained.weight, None if tau is None else [tau])


def _with_head(
    backbone: Backbone, dataset: ImageDataset, weight: NDArray[np.floating], bias: NDArray[np.floating] | None = None
) -> ImageClassifier:
    """A model with this classifier (C, D) and (C,); one without a bias is a cosine classifier."""
    model = ImageClassifier(backbone, dataset.classes, "cosine" if bias is None else "linear")
    if bias is not None:
        TrainedClassifier(np.asarray(weight), np.asarray(bias)).into(model)
        return model
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(np.asarray(weight)))
    return model


class _BothSides(nn.Module):
    """Images (B, 3, S, S) to their features and those of their mirror images, (B, 2·D)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.backbone(x), self.backbone(x.flip(-1))], dim=1)


def probe(
    backbone: Backbone, dataset: ImageDataset, options: ForwardOptions, *, mirrored: bool = False
) -> TrainedClassifier:
    """A logistic regression on the features of a backbone, to start its fine-tuning from (Kumar et al., ICLR 2022).

    Args:
        backbone: Images to features.
        dataset: The training images.
        options: Batch size, device, precision and workers of the pass over them.
        mirrored: Fit it to their mirror images too, where the training shows them.
    """
    network = _BothSides(backbone) if mirrored else backbone
    features, labels, _ = score_images(network, dataset, backbone.preprocessing, options)
    features, labels = features.reshape(-1, backbone.dim), labels.repeat(2 if mirrored else 1)
    fitted = LinearProbe().fit(features, labels, len(dataset.classes))
    return TrainedClassifier(fitted.weight_.astype(np.float32), fitted.bias_.astype(np.float32))
