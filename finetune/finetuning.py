"""Transfer: fine-tune a pre-trained backbone to the target, or fit a classifier to its frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from features.backbones.loading import Backbone, load_backbone
from features.checkpoint import Checkpoint, find_checkpoint
from features.infrastructure.errors import InputError
from features.infrastructure.options import default_of
from features.readers import open_dataset
from finetune.augmentation import augmentation
from finetune.classifiers.nearest import Space
from finetune.classifiers.second_stage import KEEP_CLASSIFIER, TrainedClassifier, fit_frozen, probe
from finetune.configuration import TrainingConfig
from finetune.losses import BALANCED_LOSSES, SOFTMAX_LOSSES
from finetune.run_directory import open_run
from finetune.samplers import balances
from finetune.training.fitting import TrainingResult, fit
from finetune.training.search import best_options
from finetune.training.validation import check_validation, held_out_of

#: Options that a method which trains by no loop of steps has a use for.
_OF_FROZEN = {
    "out", "dataset", "init", "weights", "method", "space", "validation", "tau", "image_size", "crop_pct", "batch_size",
    "test", "seed", "device", "precision", "workers",
}  # fmt: skip


#: What fine-tuning is by default where the classifier starts trained, found on images held out of the training images
#: of CUB.
FROM_TRAINED = {"optimizer": "adamw", "lr": 0.0003, "epochs": 12, "batch_norm": "frozen"}
#: Share of the shorter side of the target's images that a published model sees where its features are fitted: all of
#: it. Most publications crop to 87.5 %; benchmarks/fine_grained.py has the two side by side.
WHOLE = 1.0


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingConfig):
    """Transfer a pre-trained backbone to a target dataset.

    Attributes:
        dataset: Dataset spec of the target's training images.
        init: Where to start: a run directory of transfer pretrain, or a backbone's name.
        weights: For a backbone's name: default (published), none (from scratch), or a state-dict file.
        method: full trains everything; the others fit a classifier to the frozen features: linear (logistic
            regression), crt, lws, tau, logit-adjusted, ncm, knn; see transfer inspect methods.
        space: Where method ncm measures: by the cosine, the Euclidean distance, or the cosine of features less their
            mean (centred).
        classifier: What the classifier starts as with method full: new, probe (a logistic regression on the features of
            the start), or keep (that of the run). By default probe where --init names a published model and the loss
            is a softmax, else new. From probe and keep, a trained classifier, other options have other defaults, for
            the start is good as it is.
        interpolate: How far from the start to the trained weights lies what is kept, and what a validation judges
            (WiSE-FT): above 0 to 1, which keeps the trained ones. By default 0.5 from a probe with --loss softmax and
            no balancing sampler, else 1.
        validation: Images to judge the training by after each epoch, so that its best epoch is kept, or for method tau
            to choose τ on: a dataset spec, or a number of images of each class, which are held out of the training (or
            were, where the run that method tau starts from was trained with that number).
        tau: τ of method tau itself, or of the method or the loss logit-adjusted (by default 1).
        crop_pct: Share of an image's shorter side that the network sees at test, above 0 to 1; by default the network's
            own, or 1 where the features of a published model are fitted.
        epochs: Passes over the training images; if neither epochs nor steps are given 30, or 12 from a trained
            classifier.
        optimizer: nesterov or sgd (momentum 0.9), or adamw; by default nesterov, or adamw from a trained classifier.
        lr: Peak learning rate; by default 0.02 (adamw: 0.0003), or 0.0003 from a trained classifier.
        batch_norm: Whether statistics of batch normalisation are those of each batch (train) or stay as they start
            (frozen); by default train, or frozen from a trained classifier.
    """

    dataset: str
    init: str
    weights: str = "default"
    method: Literal["full", "linear", "crt", "lws", "tau", "logit-adjusted", "ncm", "knn"] = "full"
    space: Space = "cosine"
    classifier: Literal["new", "probe", "keep"] = None  # type: ignore[assignment]
    interpolate: float = None  # type: ignore[assignment]
    batch_size: int = 64

    def defaults(self) -> Mapping[str, Any]:
        if self.classifier == "new":
            usual = {**super().defaults(), "lr": 0.0003 if self.optimizer == "adamw" else 0.02}
            return {**usual, "interpolate": 1.0}
        like_the_start = self.loss == "softmax" and not balances(self.sampler)
        half = 0.5 if self.classifier == "probe" and like_the_start else 1.0
        decay = 0.05 if self.optimizer in (None, "adamw") else 5e-4
        return {**FROM_TRAINED, "weight_decay": decay, "interpolate": half}

    def __post_init__(self) -> None:
        if Path(self.out).resolve() == Path(self.init).resolve() and Path(self.init).exists():
            raise InputError(f"--out {self.out}: is where --init starts from; name another folder")
        if self.method != "full":
            self._require_unset()
        published = self.weights == "default" and not Path(self.init).exists() and "/" not in self.init
        if self.classifier is None:
            linear = self.loss in SOFTMAX_LOSSES
            object.__setattr__(self, "classifier", "probe" if published and linear else "new")
        fitted = self.classifier == "probe" if self.method == "full" else self.method not in KEEP_CLASSIFIER
        if self.crop_pct is None and published and fitted:
            object.__setattr__(self, "crop_pct", WHOLE)
        if self.validation is not None and self.method not in ("full", "tau"):
            raise InputError("--validation is for --method full and tau")
        if self.method == "tau" and (self.validation is None) == (self.tau is None):
            raise InputError("--method tau: give either --validation, images to choose τ on, or --tau")
        super().__post_init__()
        if not 0 < self.interpolate <= 1:
            raise InputError(f"--interpolate {self.interpolate}: expected above 0 and at most 1")
        if self.interpolate < 1 and self.classifier == "new":
            raise InputError(
                f"--interpolate {self.interpolate}: needs a classifier that starts trained; give --classifier probe or "
                f"keep"
            )
        if self.method == "full" and self.classifier != "new" and self.loss in ("ldam", "ldam-drw"):
            raise InputError(f"--loss {self.loss}: needs a cosine classifier; --classifier {self.classifier} is linear")
        if self.method == "full" and self.classifier == "probe" and self.loss not in SOFTMAX_LOSSES:
            raise InputError(f"--loss {self.loss}: reads scores by a sigmoid, and --classifier probe fits a softmax")
        if self.method != "full":
            for name in ("classifier", *self.defaults()):
                object.__setattr__(self, name, None)

    def _readers(self) -> dict[str, tuple[bool, str]]:
        readers = super()._readers()
        read, where = readers["tau"]
        adjusts = self.method in ("tau", "logit-adjusted")
        readers["tau"] = (read or adjusts, f"--method tau and logit-adjusted, and for {where}")
        return {**readers, "space": (self.method == "ncm", "--method ncm")}

    def without_effect(self) -> set[str]:
        of_training = set() if self.method == "full" else {option.name for option in fields(self)} - _OF_FROZEN
        return super().without_effect() | of_training

    def balanced_by(self) -> str | None:
        if self.method == "full":
            return super().balanced_by()
        return f"--method {self.method}" if self.method in ("crt", "lws", "tau", "logit-adjusted", "ncm") else None

    def summary(self) -> str:
        start = {"new": "", "probe": ", starting from a probe", "keep": ", starting from the run's classifier"}
        kept = f", {self.interpolate:g} of the way kept" if self.interpolate < 1 else ""
        return super().summary() + start[self.classifier] + kept

    def _require_unset(self) -> None:
        """Refuse options of the training loop, which would be without effect."""
        for field in fields(self):
            if field.name not in _OF_FROZEN and getattr(self, field.name) != default_of(field):
                option = field.name.replace("_", "-")
                raise InputError(f"--{option}: --method {self.method} fits a classifier without it; leave it out")


def finetune(config: FinetuneConfig) -> TrainingResult:
    """Fine-tune, resume, or reuse the finished run at ``config.out``.

    Raises:
        features.InputError: The target or the start cannot be opened, they do not fit the method, or another run
            stands at ``out``.
    """
    dataset = open_dataset(config.dataset)
    if config.search:
        check_validation(config, dataset)
        config = best_options(config, finetune, int(dataset.counts.min()))
    torch.manual_seed(config.seed)
    backbone = load_backbone(config.init, config.weights, config.image_size, config.crop_pct)
    checkpoint = find_checkpoint(config.init)
    seen = _counts(checkpoint, "train_counts", dataset.classes)
    if config.method == "full":
        start = _start(config, backbone, checkpoint, dataset.classes)
        return fit(backbone, dataset, config, **start, interpolate=config.interpolate, seen=seen)
    trained, overrides, counts = None, {}, _counts(checkpoint, "classifier_counts", dataset.classes)
    if config.method in KEEP_CLASSIFIER:
        trained = TrainedClassifier.of(config.init, dataset.classes, config.method)
        if config.method == "logit-adjusted" and config.tau is None:
            _refuse_adjusted(config.init, checkpoint)
        assert counts is not None  # for the run has the dataset's classes
        overrides = {"classifier_counts": counts.tolist()}
    validation = check_validation(config, dataset)
    if isinstance(config.validation, int):
        validation = held_out_of(config.init, dataset, config.validation)
    inputs = {"validation data": validation.manifest_sha256} if validation else {}
    if trained is not None:
        inputs["trained classifier"] = trained.sha256()
    frozen = partial(
        fit_frozen,
        config.method,
        backbone,
        dataset,
        config,
        trained=trained,
        counts=counts,
        validation=validation,
        tau=config.tau,
        space=config.space,
        seed=config.seed,
    )
    return fit(backbone, dataset, config, frozen, inputs, seen=seen, overrides=overrides)


def _counts(
    checkpoint: Checkpoint | None, field: Literal["train_counts", "classifier_counts"], classes: Sequence[str]
) -> NDArray[np.int64] | None:
    """(C,) images of each class, as a card has them; None where the run was not trained on these classes.

    Args:
        checkpoint: Where the run starts from.
        field: Of what the representation was trained on, or the classifier.
        classes: The classes, in the order that is wanted.
    """
    if checkpoint is None or set(checkpoint.classes) != set(classes):
        return None
    told = checkpoint.card.get(field, checkpoint.card["train_counts"])  # earlier versions told only these
    counts = dict(zip(checkpoint.classes, told, strict=True))
    return np.array([counts[name] for name in classes], dtype=np.int64)


def _balanced_by(init: str, checkpoint: Checkpoint | None) -> str | None:
    """What made up for the sizes of the classes where the classifier of the start was trained, None for nothing."""
    card = {} if checkpoint is None else checkpoint.card
    if "balanced_by" not in card and (Path(init) / "config.yaml").is_file():  # of an earlier version
        loss = open_run(init)["config"].get("loss")
        return f"--loss {loss}" if loss in BALANCED_LOSSES else None
    return card.get("balanced_by")


def _refuse_adjusted(init: str, checkpoint: Checkpoint | None) -> None:
    """Refuse to make up for the sizes of the classes once more where the training did, unless τ says how much."""
    balanced = _balanced_by(init, checkpoint)
    if balanced:
        raise InputError(
            f"--init {init}: was trained with {balanced}, which makes up for the sizes of the classes already; give a "
            f"run trained with softmax, or --tau for how much more to make up for"
        )


def _start(
    config: FinetuneConfig, backbone: Backbone, checkpoint: Checkpoint | None, classes: Sequence[str]
) -> dict[str, Any]:
    """What the classifier starts as, as options of :func:`finetune.training.fitting.fit`."""
    if config.classifier == "new":
        return {}
    if config.classifier == "probe":
        return {"head": partial(probe, backbone, options=config, mirrored=augmentation(config.augment).flip)}
    kept = TrainedClassifier.of(config.init, classes, "full --classifier keep")
    return {
        "head": lambda _: kept,
        "inputs": {"trained classifier": kept.sha256()},
        "overrides": {"balanced_by": config.balanced_by() or _balanced_by(config.init, checkpoint)},
    }
