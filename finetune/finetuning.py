"""Fine-tuning: a pre-trained backbone and its classifier are trained on the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

from features.backbones.loading import Backbone, load_backbone
from features.checkpoint import find_checkpoint
from features.infrastructure.options import Range
from features.readers import open_dataset
from finetune.augmentation import augmentation
from finetune.classifiers.second_stage import TrainedClassifier, images_per_class
from finetune.configuration import StartingPoint, TrainingOptions, training_config
from finetune.defaults import Choice, Classifier, finetuning_defaults, resolve
from finetune.probing import probe
from finetune.training.fitting import Start, TrainingResult, fit
from finetune.training.search import best_options
from finetune.training.validation import check_validation


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingOptions, StartingPoint):
    """Fine-tune a pre-trained backbone to a target dataset.

    Attributes:
        classifier: What the classifier starts as: new, probe (a logistic regression on the features of the start), or
            keep (that of the run). By default probe if `init` names a published model and the loss is a softmax, else
            new. The defaults of other options differ for probe and keep, whose classifier starts trained.
        interpolate: How far the kept weights, which the validation judges, lie from the start towards the trained
            weights (WiSE-FT): above 0 to 1, the trained ones. By default 0.5 from a probe with the loss softmax and no
            balancing sampler, else 1.
        crop_pct: Share of an image's shorter side that the network sees at test time, above 0 to 1; by default the
            network's own, or 1 if the classifier starts as a probe of a published model.
        epochs: Passes over the training images; if neither `epochs` nor `steps` is given 30, or 12 if the classifier
            starts trained.
        optimizer: nesterov or sgd (momentum 0.9), or adamw; by default nesterov, or adamw if the classifier starts
            trained.
        lr: Peak learning rate; by default 0.02 (adamw: 0.0003).
        batch_norm: Whether batch normalisation uses the statistics of each batch (train) or those of the start
            (frozen); by default train, or frozen if the classifier starts trained.
    """

    #: Options of earlier versions → the only value that still means this command. Runs with another value belong to
    #: the command :attr:`MOVED_TO`.
    RETIRED: ClassVar[Mapping[str, Any]] = {"method": "full", "space": "cosine"}
    MOVED_TO: ClassVar[str] = "fit-classifier"

    loss: str = "softmax"
    classifier: Classifier | None = None
    interpolate: Annotated[float, Range(0, 1, above=True)] | None = None
    batch_size: Annotated[int, Range(2)] = 64

    def defaults(self) -> dict[str, Choice]:
        return finetuning_defaults(
            published=self.published,
            classifier=self.classifier,
            loss=self.loss,
            sampler=self.sampler,
            optimizer=self.optimizer,
            steps=self.steps,
        )

    @property
    def _start(self) -> str:
        """What the classifier starts as, given or by default."""
        return self.classifier or self.defaults()["classifier"].value

    def contradictions(self) -> list[str]:
        faults = super().contradictions()
        if self.interpolate is not None and self.interpolate < 1 and self._start == "new":
            faults.append(
                f"`interpolate` {self.interpolate}: needs a classifier that starts trained; give `classifier` probe or "
                f"keep"
            )
        if self._start != "new" and self.loss_row.cosine_classifier:
            faults.append(f"`loss` {self.loss}: needs a cosine classifier; `classifier` {self._start} is linear")
        elif self._start == "probe" and self.loss_row.sigmoid:
            faults.append(f"`loss` {self.loss}: reads scores by a sigmoid, and `classifier` probe fits a softmax")
        return faults

    def summary(self) -> str:
        config = resolve(self).config
        start = {"new": "", "probe": ", starting from a probe", "keep": ", starting from the run's classifier"}
        kept = "" if config.interpolate in (None, 1) else f", {config.interpolate:g} of the way kept"
        return super().summary() + start[self._start] + kept


def finetune(config: FinetuneConfig) -> TrainingResult:
    """Fine-tune, resume, or reuse the finished run at ``config.out``.

    Raises:
        InputError: The target or the start cannot be opened, they do not fit each other, or another run stands at
            ``out``.
    """
    resolution = resolve(config)
    config = resolution.config
    dataset = open_dataset(config.dataset)
    if config.search:
        check_validation(training_config(config), dataset)
        config = best_options(config, finetune, int(dataset.counts.min()))
    backbone = load_backbone(config.init, config.weights, config.image_size, config.crop_pct, seed=config.seed)
    return fit(backbone, dataset, config, _start_of(config, backbone, dataset.classes), resolution.chosen)


def _start_of(config: FinetuneConfig, backbone: Backbone, classes: tuple[str, ...]) -> Start:
    """What the training starts from beside the weights of the backbone."""
    seen = images_per_class(find_checkpoint(config.init), "train_counts", classes)
    interpolate = 1.0 if config.interpolate is None else config.interpolate
    if config.classifier == "probe":
        head = partial(probe, backbone, options=config, mirrored=augmentation(config.augment).flip)
        return Start(seen=seen, interpolate=interpolate, classifier=head)
    if config.classifier == "keep":
        kept = TrainedClassifier.of(config.init, classes, "`classifier` keep")
        return Start(
            seen=seen,
            interpolate=interpolate,
            classifier=lambda _: kept,
            inputs={"trained classifier": kept.sha256()},
            card={"balanced_by": config.balanced_by() or kept.balanced_by},
        )
    return Start(seen=seen, interpolate=interpolate)
