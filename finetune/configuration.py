"""The options that pre-training and fine-tuning share, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from features.infrastructure.errors import InputError
from features.infrastructure.options import default_of
from features.infrastructure.suggestions import choice
from finetune.augmentation import augmentation
from finetune.augmentation.mixing import Mixing
from finetune.losses import BALANCED_LOSSES, HARD_LABEL_LOSSES, LOSSES
from finetune.samplers import balances, check_sampler


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained.

    Attributes:
        out: The run directory. A finished run that matches is reused, an unfinished one resumed.
        image_size: Side of the network's input in pixels; by default the network's own.
        crop_pct: Share of an image's shorter side that the network sees at test, above 0 to 1; by default the network's
            own.
        epochs: Passes over the training images; 30 if neither epochs nor steps are given.
        steps: Optimiser steps, instead of epochs: the same budget whatever the number of images.
        batch_size: Images a step.
        optimizer: nesterov or sgd (momentum 0.9), or adamw; by default nesterov.
        lr: Peak learning rate; by default 0.1 (adamw: 0.001).
        weight_decay: Weight decay of the weights, by default 0.0005 (adamw: 0.05); biases and normalisation layers have
            none.
        layer_decay: Each layer's learning rate as a share of that of the layer above it, the head being the last;
            1 for one rate.
        l2_sp: Pull of the backbone's weights to where they start (L2-SP) instead of their weight decay, a part of the
            loss in the history; 0 for none.
        batch_norm: Whether statistics of batch normalisation are those of each batch (train) or stay as they start
            (frozen); by default train.
        freeze: Share of the backbone's layers, from the first on, that stay as they are.
        ema: Decay of the average of the weights over the steps, such as 0.999; the average is what is kept. 0 for none.
        warmup: Share of the steps in which the learning rate rises, 0 to 1; with adamw at least ten steps or half of
            them, unless it is 0.
        schedule: What the learning rate does after that; step multiplies it by --decay at each of --milestones.
        milestones: Shares of the steps after which the schedule "step" lowers the rate (by default, 160 and 180
            of 200 epochs).
        decay: The factor of each milestone.
        loss: softmax, cb-softmax, cb-sigmoid, cb-focal, …: see transfer inspect losses.
        beta: β of the class-balanced losses, in [0, 1), or auto: from the largest class.
        gamma: γ of the focal losses.
        tau: τ of the loss logit-adjusted, by default 1.
        normalization: What the class-balanced losses divide by: the number of images (paper) or the sum of their
            weights (pytorch).
        margin: Margin of the rarest class in the ldam losses.
        scale: What the ldam losses multiply the cosines by.
        deferred: Share of the steps before which neither class weights nor the sampler (from a whole epoch on) make up
            for the sizes of the classes (deferred re-weighting and re-sampling, Cao et al. 2019). By default 0, but 0.8
            for the weights of ldam-drw.
        sampler: How images are drawn: shuffle, class, sqrt, …, or classes by any power of their images, as q=0.25: see
            transfer inspect samplers.
        augment: none, flip, crop-flip, resized-crop, or affine (characters: no mirror images); +randaugment and +cutout
            may follow, as in crop-flip+randaugment+cutout; see transfer inspect augmentations.
        mixup: α of mixup, 0 for none; the loss has to take class proportions, as for the next two.
        cutmix: α of CutMix, 0 for none. With both, each batch takes one of them.
        label_smoothing: ε of label smoothing, 0 for none.
        small_size: Side in pixels for the first two thirds of the steps; the rest is at the full image size (Cui et al.
            2018 train small and finish large).
        validation: Images to judge the training by after each epoch, so that its best epoch is kept: a dataset spec, or
            a number of images of each class, which are then held out of the training.
        patience: Stop after so many epochs without a better one; 0 goes on to the end.
        search: First try six pairs of learning rate and weight decay around the given ones, each judged by the
            validation, or by a fifth of the smallest class's images of every class; then train with the best.
        tensorboard: Write the history for TensorBoard too.
        test: Dataset spec to evaluate on at the end; by default the training images.
        seed: Seed of the initial weights, the draws and the augmentation.
        device: auto, cpu, cuda, mps.
        precision: auto takes bfloat16 where the hardware has it.
        workers: Decoding processes; by default one a core.
    """

    #: Heading in the command line's help → options below it; the rest come first.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "budget and size": ("epochs", "steps", "batch_size", "image_size", "crop_pct", "small_size"),
        "loss and sampler": (
            "loss",
            "beta",
            "gamma",
            "tau",
            "normalization",
            "margin",
            "scale",
            "sampler",
            "deferred",
        ),
        "augmentation": ("augment", "mixup", "cutmix", "label_smoothing"),
        "optimiser": ("optimizer", "lr", "weight_decay", "warmup", "schedule", "milestones", "decay"),
        "how far to go": ("layer_decay", "l2_sp", "batch_norm", "freeze", "ema"),
        "judging": ("test", "validation", "patience", "search", "tensorboard"),
        "machine": ("seed", "device", "precision", "workers"),
    }

    out: str
    image_size: int | None = None
    crop_pct: float | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 128
    optimizer: Literal["nesterov", "sgd", "adamw"] = None  # type: ignore[assignment]  # None is resolved below
    lr: float = None  # type: ignore[assignment]
    weight_decay: float = None  # type: ignore[assignment]
    layer_decay: float = 1.0
    l2_sp: float = 0.0
    batch_norm: Literal["train", "frozen"] = None  # type: ignore[assignment]
    freeze: float = 0.0
    ema: float = 0.0
    warmup: float = 0.05
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[float] = field(default_factory=lambda: [0.8, 0.9])
    decay: float = 0.01
    loss: str = "softmax"
    beta: float | Literal["auto"] = 0.9999
    gamma: float = 1.0
    tau: float | None = None
    normalization: Literal["paper", "pytorch"] = "paper"
    margin: float = 0.5
    scale: float = 30.0
    sampler: str = "shuffle"
    deferred: float | None = None
    augment: str = "resized-crop"
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    small_size: int | None = None
    validation: int | str | None = None
    patience: int = 0
    search: bool = False
    tensorboard: bool = False
    test: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = None

    def defaults(self) -> Mapping[str, Any]:
        """What options are that were not given, where it depends on others."""
        rates = {"lr": 0.001, "weight_decay": 0.05} if self.optimizer == "adamw" else {"lr": 0.1, "weight_decay": 5e-4}
        return {"optimizer": "nesterov", **rates, "epochs": 30, "batch_norm": "train"}

    def __post_init__(self) -> None:
        for name, value in self.defaults().items():
            if getattr(self, name) is None and not (name == "epochs" and self.steps is not None):
                object.__setattr__(self, name, value)
        if isinstance(self.validation, str) and self.validation.isdecimal():
            object.__setattr__(self, "validation", int(self.validation))
        faults = [
            f"--{name.replace('_', '-')} {value}: expected {expected}"
            for name, value, ok, expected in (
                ("epochs", self.epochs, self.epochs is None or self.epochs >= 1, "at least 1"),
                ("steps", self.steps, self.steps is None or self.steps >= 1, "at least 1"),
                ("image_size", self.image_size, self.image_size is None or self.image_size >= 1, "at least 1"),
                ("crop_pct", self.crop_pct, self.crop_pct is None or 0 < self.crop_pct <= 1, "above 0 and at most 1"),
                ("small_size", self.small_size, self.small_size is None or self.small_size >= 1, "at least 1"),
                ("patience", self.patience, self.patience >= 0, "at least 0"),
                ("batch_size", self.batch_size, self.batch_size >= 2, "at least 2"),
                ("lr", self.lr, 0 < self.lr < math.inf, "a positive number"),
                ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0"),
                ("seed", self.seed, 0 <= self.seed < 2**32, "a whole number from 0 to below 2^32"),
                ("workers", self.workers, self.workers is None or self.workers >= 0, "at least 0"),
                ("warmup", self.warmup, 0 <= self.warmup < 1, "a share from 0 to below 1"),
                ("milestones", self.milestones, all(0 < m < 1 for m in self.milestones), "shares between 0 and 1"),
                ("decay", self.decay, 0 < self.decay < 1, "a factor between 0 and 1"),
                ("layer_decay", self.layer_decay, 0 < self.layer_decay <= 1, "above 0 and at most 1"),
                ("l2_sp", self.l2_sp, 0 <= self.l2_sp < math.inf, "at least 0"),
                ("freeze", self.freeze, 0 <= self.freeze <= 1, "a share from 0 to 1"),
                ("ema", self.ema, 0 <= self.ema < 1, "at least 0 and below 1"),
                ("mixup", self.mixup, 0 <= self.mixup < math.inf, "at least 0"),
                ("cutmix", self.cutmix, 0 <= self.cutmix < math.inf, "at least 0"),
                ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "at least 0 and below 1"),
                ("beta", self.beta, self.beta == "auto" or 0 <= self.beta < 1, "auto, or at least 0 and below 1"),
                ("gamma", self.gamma, 0 <= self.gamma < math.inf, "at least 0"),
                ("tau", self.tau, self.tau is None or 0 <= self.tau < math.inf, "at least 0"),
                ("margin", self.margin, 0 < self.margin < math.inf, "a positive number"),
                ("scale", self.scale, 0 < self.scale < math.inf, "a positive number"),
                ("deferred", self.deferred, self.deferred is None or 0 <= self.deferred < 1, "a share below 1"),
            )
            if not ok
        ]
        if self.loss not in LOSSES:
            faults.append(f"--loss {self.loss}: {choice(self.loss, LOSSES)}")
        if self.epochs is not None and self.steps is not None:
            faults.append("--epochs and --steps are two ways to say one thing: give one")
        if faults:
            raise InputError("; ".join(faults))
        check_sampler(self.sampler)
        augmentation(self.augment)
        if isinstance(self.validation, int) and self.validation < 1:
            raise InputError(f"--validation {self.validation}: expected a dataset, or at least 1 image a class")
        if self.freeze == 1 and self.l2_sp:
            raise InputError("--l2-sp: pulls nothing where --freeze 1.0 keeps the whole backbone; leave one out")
        self._refuse_without_effect()
        if self.patience and self.validation is None:
            raise InputError(f"--patience {self.patience}: needs --validation, images to judge the epochs by")
        if self.mixing and self.loss in HARD_LABEL_LOSSES:
            raise InputError(
                f"--loss {self.loss}: needs one class an image; leave out --mixup, --cutmix and --label-smoothing"
            )

    def _readers(self) -> dict[str, tuple[bool, str]]:
        """Option that only some trainings read → whether this one does, and which do."""
        weighted = self.loss.startswith("cb-") or self.loss == "ldam-drw"
        return {
            **dict.fromkeys(("milestones", "decay"), (self.schedule == "step", "--schedule step")),
            "beta": (
                weighted or self.sampler == "effective",
                "the losses cb-… and ldam-drw, and for --sampler effective",
            ),
            "gamma": (self.loss.endswith("focal"), "the focal losses"),
            "tau": (self.loss == "logit-adjusted", "--loss logit-adjusted"),
            "normalization": (self.loss.startswith("cb-"), "the losses cb-…"),
            **dict.fromkeys(("margin", "scale"), (self.loss.startswith("ldam"), "the losses ldam and ldam-drw")),
            "deferred": (
                weighted or balances(self.sampler),
                "the losses cb-… and ldam-drw, and for samplers that make up for the sizes of classes",
            ),
        }

    def _refuse_without_effect(self) -> None:
        """Refuse options that nothing reads, for whoever gave them expects them to do something."""
        readers = self._readers()
        for option in fields(self):
            read, where = readers.get(option.name, (True, ""))
            if not read and getattr(self, option.name) != default_of(option):
                raise InputError(f"--{option.name} {getattr(self, option.name)}: is for {where}; leave it out")

    def without_effect(self) -> set[str]:
        """Names of the options that this training does not read."""
        return {name for name, (read, _) in self._readers().items() if not read}

    def summary(self) -> str:
        """What was chosen, given or by default, in a line."""
        budget = f"{self.steps} steps" if self.steps is not None else f"{self.epochs} epochs"
        drawn = "" if self.sampler == "shuffle" else f", sampler {self.sampler}"
        return f"loss {self.loss}{drawn}, {self.optimizer} at {self.lr:g}, {budget}"

    @property
    def balances_twice(self) -> bool:
        """Whether both the loss and the sampler make up for the sizes of the classes."""
        return self.loss in BALANCED_LOSSES and balances(self.sampler)

    def balanced_by(self) -> str | None:
        """What of the training makes up for the sizes of the classes, None for nothing."""
        if self.loss in BALANCED_LOSSES:
            return f"--loss {self.loss}"
        return f"--sampler {self.sampler}" if balances(self.sampler) else None

    @property
    def mixing(self) -> Mixing:
        """How images and targets are mixed."""
        return Mixing(self.mixup, self.cutmix, self.label_smoothing)
