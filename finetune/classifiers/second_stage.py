"""Methods that leave the representation as it is: a classifier fitted to its features becomes the model's head.

Sources: Kang et al., ICLR 2020, section 4 (cRT, LWS, τ-normalisation, nearest class mean); Menon et
al., ICLR 2021, section 4 (post-hoc logit adjustment); Cui et al., CVPR 2018 (the linear probe); Wu et
al., CVPR 2018, section 3.4 (weighted nearest neighbours).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.backbones.loading import Backbone
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from finetune.classifiers import (
    ClassifierRetraining,
    LearnableWeightScaling,
    LinearClassifier,
    LinearProbe,
    NearestClassMean,
    NearestNeighbours,
    TauNormalisation,
)
from finetune.classifiers.nearest import Space
from finetune.evaluation.evaluator import ForwardOptions, score_images
from finetune.losses import log_prior
from finetune.model import ImageClassifier

#: Name → meaning.
FROZEN_METHODS = {
    "linear": "logistic regression on the features",
    "crt": "a new linear classifier, trained with class-balanced sampling (cRT)",
    "lws": "one scale a class of the trained classifier, learned with class-balanced sampling (LWS)",
    "tau": "the trained classifier's rows divided by their norm to the power τ; its bias is dropped, at τ = 0 too",
    "logit-adjusted": "the trained classifier, its bias less τ times the log of each class's share of its training",
    "ncm": "the class with the nearest mean feature (nearest class mean): by the cosine, or in another space",
    "knn": "the vote of the 20 training images with the largest cosine c, each weighted by exp(c/0.07)",
}
#: Those that start from the classifier that the run was trained with.
KEEP_CLASSIFIER = ("lws", "tau", "logit-adjusted")


@dataclass(frozen=True)
class TrainedClassifier:
    """The linear classifier of a run, its rows in the order of a dataset's classes.

    Attributes:
        weight: (C, D).
        bias: (C,).
        sigmoid: Whether its scores are read by a sigmoid, not a softmax.
        balanced_by: What of its training made up for the sizes of the classes, None for nothing.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    sigmoid: bool = False
    balanced_by: str | None = None

    @classmethod
    def of(cls, location: str, classes: Sequence[str], method: str) -> TrainedClassifier:
        """Read it.

        Raises:
            InputError: There is no run, its classes are others, its classifier is not linear, or ``method`` is
                logit-adjusted and its scores are read by a sigmoid.
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
        sigmoid = bool(checkpoint.card.get("sigmoid"))
        if method == "logit-adjusted" and sigmoid:
            raise InputError(
                f"--init {location}: --method logit-adjusted shifts the scores of a softmax, and this run's are read "
                f"by a sigmoid; use --method tau, crt or lws"
            )
        head, position = checkpoint.state("head."), {name: i for i, name in enumerate(checkpoint.classes)}
        order = [position[name] for name in classes]
        balanced_by = checkpoint.card.get("balanced_by")
        return cls(head["weight"].numpy()[order], head["bias"].numpy()[order], sigmoid, balanced_by)

    def into(self, model: ImageClassifier) -> None:
        """Make it the head of a model, which has to be a linear one."""
        with torch.no_grad():
            model.head.weight.copy_(torch.from_numpy(self.weight))
            model.head.bias.copy_(torch.from_numpy(self.bias))

    def sha256(self) -> str:
        """Hash over weight and bias."""
        return hashlib.sha256(self.weight.tobytes() + self.bias.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class FrozenFit:
    """A head fitted to frozen features.

    Attributes:
        model: The backbone with that head.
        scale: What its scores are to be multiplied by before the softmax.
        sigmoid: Whether they are read by a sigmoid instead.
        said: What there is to say about the fit; empty where there is nothing.
        unreadable: Images that it was to be fitted to and could not be read, as (id, reason).
    """

    model: ImageClassifier
    scale: float = 1.0
    sigmoid: bool = False
    said: str = ""
    unreadable: tuple[tuple[str, str], ...] = ()


def fit_frozen(
    method: str,
    backbone: Backbone,
    dataset: ImageDataset,
    options: ForwardOptions,
    *,
    trained: TrainedClassifier | None = None,
    counts: NDArray[np.int64] | None = None,
    validation: ImageDataset | None = None,
    tau: float | None = None,
    space: Space = "cosine",
    seed: int = 0,
) -> FrozenFit:
    """Fit the head to features of the centre view; neither weights nor statistics of the backbone move.

    Args:
        method: One of :data:`FROZEN_METHODS`.
        backbone: Images to features.
        dataset: The training images.
        options: Batch size, device, precision and workers of the pass over them.
        trained: The classifier of the run, for :data:`KEEP_CLASSIFIER`.
        counts: (C,) images of each class that ``trained`` was trained on, whose shares ``logit-adjusted`` takes out; by
            default those of ``dataset``.
        validation: Images that the model was not trained on, of the dataset's classes in its order: τ is chosen
            by the mean accuracy over them.
        tau: τ itself, instead; that of ``logit-adjusted`` is 1 where it is not given.
        space: Where ``ncm`` measures; see :class:`finetune.classifiers.NearestClassMean`.
        seed: Of the draws of ``crt`` and ``lws``.

    Raises:
        InputError: No image can be read, or, for ``ncm`` and ``logit-adjusted``, none of some class.
    """
    if method in KEEP_CLASSIFIER and trained is None:
        raise ValueError(f"trained must be the classifier that {method!r} starts from")
    if method == "logit-adjusted" and trained is not None:
        prior = log_prior(dataset.counts if counts is None else counts, classes=dataset.classes)
        bias = trained.bias - (1.0 if tau is None else tau) * prior
        return FrozenFit(_with_linear(backbone, dataset, trained.weight, bias))
    fitted_to = validation if method == "tau" and tau is None and validation is not None else dataset
    features, labels, missing = score_images(backbone, fitted_to, backbone.preprocessing, options)
    unreadable = tuple(missing)
    if method == "ncm":
        model, scale = _nearest_mean(backbone, dataset, features, labels, space)
        return FrozenFit(model, scale, unreadable=unreadable)
    if method == "knn":
        model = ImageClassifier(backbone, dataset.classes, "knn")
        model.head.remember(NearestNeighbours().fit(features, labels, len(dataset.classes)))
        return FrozenFit(model, unreadable=unreadable)
    classifier = _classifier(method, trained, tau, seed).fit(features, labels, len(dataset.classes))
    said, sigmoid = "", False
    if isinstance(classifier, TauNormalisation):
        assert trained is not None  # what it divides by the norms
        said, sigmoid = _said_of_tau(classifier, tau, trained, fitted_to), trained.sigmoid
    model = _with_linear(backbone, dataset, classifier.weight_, classifier.bias_)
    return FrozenFit(model, sigmoid=sigmoid, said=said, unreadable=unreadable)


def _said_of_tau(
    classifier: TauNormalisation, tau: float | None, trained: TrainedClassifier, fitted_to: ImageDataset
) -> str:
    """Which τ was chosen, or that the one given makes up for the sizes of the classes once more."""
    if tau is None:
        best = classifier.accuracies_.max()
        return f"τ = {classifier.tau_:.2f}, with a mean accuracy of {best:.4f} over the classes of {fitted_to.spec}"
    if tau and trained.balanced_by:
        return f"τ = {tau:g} makes up for the sizes of the classes after {trained.balanced_by}: rare ones count twice"
    return ""


def _nearest_mean(
    backbone: Backbone, dataset: ImageDataset, features: NDArray[np.float32], labels: NDArray[np.int64], space: Space
) -> tuple[ImageClassifier, float]:
    """The nearest class mean as a head, and the scale of its scores; a Euclidean one's is in its weights.

    Raises:
        InputError: A class has no image, and so no mean.
    """
    absent = np.flatnonzero(np.bincount(labels, minlength=len(dataset.classes)) == 0)
    if len(absent):
        more = f" (and {len(absent) - 1} more of {len(dataset.classes)})" if len(absent) > 1 else ""
        raise InputError(
            f"{dataset.spec}: class {dataset.classes[absent[0]]!r}{more} has no training image that can be read, and "
            f"so no mean for --method ncm; leave the class out, or use --method linear or knn"
        )
    fitted = NearestClassMean(space).fit(features, labels, len(dataset.classes))
    means, scale = fitted.means_, fitted.softmax_scale(features, labels)
    if space == "euclidean":
        # −|x − m|² = 2·m·x − |m|² − |x|², whose last term all classes share
        return _with_linear(backbone, dataset, 2 * scale * means, -scale * np.einsum("cd,cd->c", means, means)), 1.0
    model = ImageClassifier(backbone, dataset.classes, "cosine" if space == "cosine" else "centred-cosine")
    with torch.no_grad():
        if fitted.centre_ is not None:
            means = means - fitted.centre_
            model.head.centre.copy_(torch.from_numpy(fitted.centre_))
        model.head.weight.copy_(torch.from_numpy(means))
    return model, 2 * scale


def _classifier(method: str, trained: TrainedClassifier | None, tau: float | None, seed: int) -> LinearClassifier:
    """The classifier behind a method that is fitted to features."""
    if method == "linear":
        return LinearProbe()
    if method == "crt":
        return ClassifierRetraining(seed=seed)
    assert trained is not None  # fit_frozen has checked it
    if method == "lws":
        return LearnableWeightScaling(trained.weight, trained.bias, seed=seed)
    return TauNormalisation(trained.weight, None if tau is None else [tau])


def _with_linear(
    backbone: Backbone, dataset: ImageDataset, weight: NDArray[np.floating], bias: NDArray[np.floating]
) -> ImageClassifier:
    """A model with this linear classifier (C, D) and (C,)."""
    model = ImageClassifier(backbone, dataset.classes)
    TrainedClassifier(np.asarray(weight), np.asarray(bias)).into(model)
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
