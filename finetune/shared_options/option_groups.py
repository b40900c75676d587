"""The options of training in groups: each dataclass is one heading of the command line's help, with its own checks.

A configuration inherits from the groups that it has, so that the names of the options stay flat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from features.backbones.family import is_path_of_run
from features.checkpoint import is_trained_model
from features.infrastructure.options import LARGEST_BATCH, LONGEST_SIDE, MOST_EPOCHS, MOST_STEPS, Machine, Range
from features.infrastructure.storage.addresses import on_disk
from finetune.augmentation import Mixing, augmentation
from finetune.losses.loss import DEFAULT_LOSS, LOSSES, Loss, LossOptions
from finetune.samplers import DEFAULT_SAMPLER, SAMPLERS, find_sampler
from finetune.shared_options.base import OptionGroup, Reader

#: A number above 0, and a number of at least 0.
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Optimizer = Literal["nesterov", "sgd", "adamw"]
Statistics = Literal["train", "frozen"]

#: The default of `crop_pct` if a classifier is fitted to the features of a published model. Most publications crop to
#: 87.5 %; benchmarks/fine_grained.py compares the two.
WHOLE_IMAGES = (1.0, "a classifier is fitted to the features of a published model")


@dataclass(frozen=True, kw_only=True)
class Output(OptionGroup):
    """Output and test.

    Attributes:
        out: The run directory. A finished run of the same options is reused, an unfinished one resumed.
        test: Dataset spec to evaluate on at the end; by default the training images.
    """

    out: str
    test: str | None = None

    def checks(self) -> list[Callable[[], object]]:
        return [*super().checks(), partial(on_disk, self.out, "`out`")]


@dataclass(frozen=True, kw_only=True)
class StartingPoint(Output):
    """Target and starting point.

    Attributes:
        dataset: Dataset spec of the target's training images.
        init: Where to start: a run directory of transfer pretrain or finetune, or a backbone's name: of torchvision or
            timm, hf-hub:OWNER/NAME, transformers:OWNER/NAME, or a folder in one of these formats.
        weights: For a backbone's name: default (published), none (random weights), or a state-dict file.
    """

    dataset: str
    init: str
    weights: str = "default"

    @property
    def published(self) -> bool:
        """Whether ``init`` names a published model with its weights, not a run."""
        return self.weights == "default" and not (is_trained_model(self.init) or is_path_of_run(self.init))

    def contradictions(self) -> list[str]:
        return super().contradictions() + same_folder(self.out, self.init)


def same_folder(out: str, init: str) -> list[str]:
    """One sentence if a run would be written to the folder that it starts from."""
    same = Path(init).exists() and Path(out).resolve() == Path(init).resolve()
    return [f"`out` {out}: is the folder that `init` is read from; name another folder"] * same


@dataclass(frozen=True, kw_only=True)
class Images(OptionGroup):
    """Images.

    Attributes:
        batch_size: Images per step, or per forward pass.
        image_size: Side of the network's input in pixels; by default the network's own.
        crop_pct: Share of an image's shorter side that the network sees at test time, above 0 to 1; by default the
            network's own, or 1 if a classifier or a probe is fitted to the features of a published model.
    """

    batch_size: Annotated[int, Range(2, LARGEST_BATCH)] = 64
    image_size: Annotated[int, Range(1, LONGEST_SIDE)] | None = None
    crop_pct: Annotated[float, Range(0, 1, above=True)] | None = None


@dataclass(frozen=True, kw_only=True)
class Budget(OptionGroup):
    """Budget.

    Attributes:
        epochs: Passes over the training images; 30 if neither `epochs` nor `steps` is given.
        steps: Optimiser steps, instead of `epochs`: the same budget for any number of images.
        small_size: Side in pixels for the first two thirds of the steps; the remaining steps use the full image size
            (Cui et al. 2018).
    """

    epochs: Annotated[int, Range(1, MOST_EPOCHS)] | None = None
    steps: Annotated[int, Range(1, MOST_STEPS)] | None = None
    small_size: Annotated[int, Range(1, LONGEST_SIDE)] | None = None

    def contradictions(self) -> list[str]:
        both = self.epochs is not None and self.steps is not None
        return super().contradictions() + ["`epochs` and `steps` both set the budget: give one"] * both


@dataclass(frozen=True, kw_only=True)
class LossAndSampler(OptionGroup):
    """Loss and sampler.

    Their numbers are in :class:`finetune.losses.LossOptions`.

    Attributes:
        loss: softmax, cb-softmax, cb-sigmoid, cb-focal, …: see transfer inspect losses.
        sampler: How images are drawn: shuffle, class, sqrt, …, or classes in proportion to any power of their image
            counts, as q=0.25: see transfer inspect samplers.
    """

    loss: str | None = None
    sampler: str = DEFAULT_SAMPLER

    @property
    def loss_row(self) -> Loss:
        """The row of the loss, given or by default."""
        return LOSSES[self.loss or DEFAULT_LOSS]

    @property
    def balancing_sampler(self) -> bool:
        """Whether the sampler re-balances the classes."""
        return find_sampler(self.sampler).balanced

    def balanced_by(self) -> str | None:
        """The option that re-balances the classes, as a checkpoint's card states it; None if none does."""
        if self.loss_row.balanced:
            return f"--loss {self.loss_row.name}"
        return f"--sampler {self.sampler}" if self.balancing_sampler else None

    def balanced_twice(self) -> str | None:
        """A sentence for the log if both the loss and the way of drawing make up for the sizes of the classes."""
        twice = self.loss_row.balanced and self.balancing_sampler
        return "loss and sampler both re-balance the classes, so rare ones are weighted up twice" if twice else None

    def checks(self) -> list[Callable[[], object]]:
        loss = [] if self.loss is None else [partial(LOSSES.find, self.loss)]
        return [*super().checks(), *loss, partial(find_sampler, self.sampler)]

    def unread(self) -> dict[str, Reader]:
        read = self.loss_row.options | find_sampler(self.sampler).options
        names = {option.name for option in fields(LossOptions)} - read
        return super().unread() | {name: partial(_readers, name) for name in sorted(names)}


def _readers(option: str) -> str:
    """The losses and samplers that read an option, in words."""
    kinds = {
        "`loss`": [name for name, row in LOSSES.items() if option in row.options],
        "`sampler`": [name for name, row in SAMPLERS.items() if option in row.options],
    }
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names)


@dataclass(frozen=True, kw_only=True)
class Augmenting(OptionGroup):
    """Augmentation.

    Attributes:
        augment: none, flip, crop-flip, resized-crop, or affine (characters: no mirror images); +randaugment and +cutout
            may follow, as in crop-flip+randaugment+cutout; see transfer inspect augmentations.
        mixup: α of mixup, 0 for none; the loss must accept soft labels, as for the next two options.
        cutmix: α of CutMix, 0 for none. With both, each batch takes one of them.
        label_smoothing: ε of label smoothing, 0 for none.
    """

    augment: str = "resized-crop"
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    label_smoothing: Annotated[float, Range(0, 1, below=True)] = 0.0

    @property
    def mixing(self) -> Mixing:
        """How images and targets are mixed."""
        return Mixing(self.mixup, self.cutmix, self.label_smoothing)

    def checks(self) -> list[Callable[[], object]]:
        return [*super().checks(), partial(augmentation, self.augment)]


@dataclass(frozen=True, kw_only=True)
class Optimising(OptionGroup):
    """Optimiser.

    Attributes:
        optimizer: nesterov or sgd (momentum 0.9), or adamw; by default nesterov.
        lr: Peak learning rate; by default 0.1 (adamw: 0.001).
        weight_decay: Weight decay of the weights, by default 0.0005 (adamw: 0.05); biases and normalisation layers have
            none.
        warmup: Share of the steps in which the learning rate rises, 0 to 1; with adamw at least ten steps or half of
            them, unless it is 0.
        schedule: Course of the learning rate after the warm-up; step multiplies it by `decay` at each of `milestones`.
        milestones: Shares of the steps after which the schedule step lowers the rate; by default those of epochs 160
            and 180 of 200.
        decay: Factor of the learning rate at each milestone.
    """

    optimizer: Optimizer | None = None
    lr: Positive | None = None
    weight_decay: NotNegative | None = None
    warmup: Annotated[float, Range(0, 1, below=True)] = 0.05
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[Annotated[float, Range(0, 1, above=True, below=True)]] = field(default_factory=lambda: [0.8, 0.9])
    decay: Annotated[float, Range(0, 1, above=True, below=True)] = 0.01

    def unread(self) -> dict[str, Reader]:
        steps = {} if self.schedule == "step" else dict.fromkeys(("milestones", "decay"), "`schedule` step")
        return super().unread() | steps


@dataclass(frozen=True, kw_only=True)
class Transferring(OptionGroup):
    """How far the weights move.

    Attributes:
        layer_decay: Each layer's learning rate as a share of that of the layer above it, the head being the last;
            1 for one rate.
        l2_sp: Strength of the pull of the backbone's weights towards their start (L2-SP), instead of their weight
            decay; it is part of the loss in the history. 0 for none.
        batch_norm: Whether batch normalisation uses the statistics of each batch (train) or those of the start
            (frozen); by default train.
        freeze: Share of the backbone's layers, from the first on, that are frozen.
        ema: Decay of the moving average of the weights over the steps, such as 0.999; the average is kept. 0 for none.
    """

    layer_decay: Annotated[float, Range(0, 1, above=True)] = 1.0
    l2_sp: NotNegative = 0.0
    batch_norm: Statistics | None = None
    freeze: Annotated[float, Range(0, 1)] = 0.0
    ema: Annotated[float, Range(0, 1, below=True)] = 0.0

    def contradictions(self) -> list[str]:
        useless = self.freeze == 1 and self.l2_sp > 0
        sentence = f"`l2_sp` {self.l2_sp}: has no effect with `freeze` 1.0, the whole backbone; leave one out"
        return super().contradictions() + [sentence] * useless


@dataclass(frozen=True, kw_only=True)
class Judging(OptionGroup):
    """Validation.

    Attributes:
        validation: Images to judge the training by after each epoch, so that its best epoch is kept: a dataset spec, or
            a number of images of each class, which are then held out of the training. A run that this one starts from
            was not trained on them.
        patience: Stop after this many epochs without a better one; 0 trains to the end.
        search: First try six pairs of learning rate and weight decay around the given ones, each judged by the
            validation, or by a fifth of the smallest class's images of every class; then train with the best.
    """

    validation: int | str | None = None
    patience: Annotated[int, Range(0)] = 0
    search: bool = False

    def normalised(self) -> dict[str, Any]:
        return super().normalised() | {"validation": held_out(self.validation)}

    def contradictions(self) -> list[str]:
        faults = super().contradictions() + held_out_faults(self.validation)
        if self.patience and self.validation is None:
            faults.append(f"`patience` {self.patience}: needs `validation`, images to judge the epochs by")
        return faults


def held_out_faults(validation: int | str | None) -> list[str]:
    """One sentence if a validation is a number below 1."""
    number = held_out(validation)
    too_few = isinstance(number, int) and number < 1
    return [f"`validation` {validation}: expected a dataset, or at least 1 image of each class"] * too_few


def held_out(validation: int | str | None) -> int | str | None:
    """A validation, with a number that was typed as text as the number that it is."""
    return int(validation) if isinstance(validation, str) and validation.isdecimal() else validation


@dataclass(frozen=True, kw_only=True)
class RunOptions(Machine, Images, Output):
    """Seed.

    Attributes:
        seed: Seed of the initial weights, the draws and the augmentation.
    """

    seed: Annotated[int, Range(0, 2**32, below=True)] = 0

    def balanced_by(self) -> str | None:
        """The option that re-balances the classes, as a checkpoint's card states it; None if none does."""
        raise NotImplementedError
