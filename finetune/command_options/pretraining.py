"""The options of pre-training."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Annotated

from features.checkpoint import is_trained_model
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError
from features.infrastructure.options import Range
from finetune.command_options.finetuning import RATES as FINETUNING_RATES
from finetune.losses.loss import DEFAULT_BALANCED_LOSS, DEFAULT_LOSS, LOSSES, Loss
from finetune.samplers import DEFAULT_SAMPLER
from finetune.shared_options import TrainingOptions
from finetune.shared_options.base import Choice, Reader
from finetune.shared_options.option_groups import same_folder
from finetune.shared_options.training import Rates
from similarity import Subset

#: Learning rate and weight decay; a published model, trained with others' rates, continues at those of fine-tuning.
RATES: Rates = {"nesterov": (0.1, 0.0005), "sgd": (0.1, 0.0005), "adamw": (0.001, 0.05)}


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingOptions):
    """Pre-train a backbone on source classes with a class-balanced loss.

    Attributes:
        sources: Dataset specs of the sources; with `subset`, by default those that it names.
        subset: Subset file of transfer select; by default every class.
        init: Continue from a finished run, or from a published model's name. Its classifier must know the classes to
            train on. The network, its image size and the classifier's rows of these classes are kept; other options,
            such as the batch size and the learning rate, are not. To start a new classifier, give `backbone` instead.
        backbone: A torchvision or timm name (by default resnet50), efficientnet_lite0, resnet8 … resnet56, a run
            directory, or a model elsewhere: hf-hub:OWNER/NAME, transformers:OWNER/NAME, or a folder in one of these
            formats.
        weights: For a model's name: none (random weights, the default), default (published), or a state-dict file.
        crop_pct: Share of an image's shorter side that the network sees at test time, above 0 to 1; by default the
            network's own.
        class_weights: Subset file by whose column weight the classes of `sources` are drawn (importance sampling);
            classes that are not in it are drawn by `floor` alone.
        floor: With `class_weights`, share of the images, below 1, that are drawn from all classes in proportion to
            their images.
        loss: softmax, cb-softmax, cb-sigmoid, cb-focal, …: see transfer inspect losses. By default balanced-softmax,
            or softmax if the sampler re-balances the classes or `class_weights` is given.
        lr: Peak learning rate; by default 0.1 (adamw: 0.001), from a published model 0.02 (adamw: 0.0003).
    """

    sources: list[str] = field(default_factory=list)
    subset: str | None = None
    init: str | None = None
    backbone: str | None = None
    weights: str | None = None
    class_weights: str | None = None
    floor: Annotated[float, Range(0, 1, below=True)] = 0.1

    def defaults(self) -> dict[str, Choice]:
        balanced = self.balancing_sampler
        loss = DEFAULT_LOSS if balanced else DEFAULT_BALANCED_LOSS
        drawn = f"the sampler {self.sampler}" if self.class_weights is None else "drawing by class weights"
        reason = f"{drawn} {'re-balances' if balanced else 'does not re-balance'} the classes"
        trained = is_trained_model(self.backbone or DEFAULT_BACKBONE)
        weights = ("default", "the backbone is a trained model") if trained else ("none", "pre-training starts anew")
        if self.init is not None:
            weights = ("default", "the training continues from a trained model")
        start = "starts new" if self.init is None else "starts trained"
        rates = FINETUNING_RATES if self.published else RATES
        own = self.training_defaults(f"the classifier {start}", "nesterov", rates, 30, "train")
        new = {} if self.init is not None else {"backbone": (DEFAULT_BACKBONE, "the network of the papers")}
        return {"loss": (loss, reason), "weights": weights, **new, **own}

    @property
    def start(self) -> str:
        """The network to train, as it is named: a run or a model."""
        return self.init or self.backbone or DEFAULT_BACKBONE

    @property
    def published(self) -> bool:
        """Whether the training starts from a published model."""
        return (self.init is not None or self.weights == "default") and not is_trained_model(self.start)

    @property
    def loss_row(self) -> Loss:
        """The row of the loss, given or by default."""
        return LOSSES[self.loss or self.defaults()["loss"][0]]

    @property
    def balancing_sampler(self) -> bool:
        """Whether drawing by ``class_weights``, or the sampler, re-balances the classes."""
        return self.class_weights is not None or super().balancing_sampler

    def balanced_by(self) -> str | None:
        drawn = self.class_weights is not None and not self.loss_row.balanced
        return f"--class-weights {self.class_weights}" if drawn else super().balanced_by()

    def balanced_twice(self) -> str | None:
        if self.class_weights is None or not self.loss_row.balanced:
            return super().balanced_twice()
        return (
            f"`class_weights` draws classes by their shares of the target, and the loss {self.loss_row.name} weights "
            f"rare classes up besides; the loss softmax keeps to the shares"
        )

    def unread(self) -> dict[str, Reader]:
        new = {} if self.init is None else {"backbone": "a training without `init`"}
        return super().unread() | new | ({"floor": "`class_weights`"} if self.class_weights is None else {})

    def contradictions(self) -> list[str]:
        faults = super().contradictions()
        if not self.sources and self.subset is None:
            faults.append(self._without_sources())
        if self.class_weights is not None and self.sampler != DEFAULT_SAMPLER:
            faults.append(f"`sampler` {self.sampler} and `class_weights` both say how classes are drawn: give one")
        if self.init is not None:
            if self.weights not in (None, "default"):
                faults.append(f"`weights` {self.weights}: is for a training without `init`; leave it out")
            if self.loss_row.cosine_classifier:
                faults.append(f"`loss` {self.loss_row.name}: needs a cosine classifier, and that of `init` is linear")
            faults += same_folder(self.out, self.init)
        return faults

    def _without_sources(self) -> str:
        """What to say where no source is given; the weights of classes do not say which classes have none."""
        if self.class_weights is None:
            return "pre-training needs a source: give `sources`, dataset specs, or `subset`"
        try:
            weighed = Subset.read(self.class_weights)
        except InputError as error:
            return f"`class_weights` {self.class_weights}: {error}"
        known = [source["dataset"] for source in weighed.provenance.get("sources", ())] or weighed.sources
        return (
            f"`class_weights` {self.class_weights}: all classes of the sources are drawn, not only those of the file; "
            f"give the `sources`, such as {shlex.join(known)}"
        )

    def summary(self) -> str:
        drawn = "" if self.class_weights is None else f", drawn by the weights of {self.class_weights}"
        return super().summary() + drawn + ("" if self.init is None else f", continued from {self.init}")
