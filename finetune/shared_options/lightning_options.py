"""The options that a training passes on to Lightning's trainer, under Lightning's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from features.infrastructure.options import LARGEST_BATCH, Range
from finetune.shared_options.base import OptionGroup, Reader
from finetune.training.lightning_parts import check_callbacks, check_logger, check_strategy, logger_options


@dataclass(frozen=True, kw_only=True)
class LightningOptions(OptionGroup):
    """Lightning.

    Attributes:
        gradient_clip_val: Largest norm of the gradient of a step; a longer one is scaled to it. 0 for none.
        accumulate_grad_batches: Batches that a step adds up: it learns from so many times `batch_size` images in the
            memory of one batch. Batch normalisation still sees single batches.
        compile: Compile the network by torch.compile; without a compiler it is trained as it is.
        logger: Where the history is logged too, into the run directory by default: csv, tensorboard, wandb, mlflow, or
            the class path of a logger of Lightning.
        logger_options: Arguments of the logger, as name=value.
        strategy: How several processes share a training, as Lightning names it: auto, ddp or
            ddp_find_unused_parameters_true.
        callbacks: Class paths of callbacks of Lightning; in a file also mappings of class_path and init_args. The whole
            training is one epoch of Lightning, so use their hooks of batches.
    """

    gradient_clip_val: Annotated[float, Range(0)] = 0.0
    accumulate_grad_batches: Annotated[int, Range(1, LARGEST_BATCH)] = 1
    compile: bool = False
    logger: str | None = None
    logger_options: list[str] | dict[str, Any] = field(default_factory=list)
    strategy: str = "auto"
    callbacks: list[str | dict[str, Any]] = field(default_factory=list)

    def checks(self) -> list[Callable[[], object]]:
        logger = [] if self.logger is None else [partial(check_logger, self.logger, self.logger_options)]
        parts = [partial(check_strategy, self.strategy), partial(check_callbacks, self.callbacks)]
        return [*super().checks(), partial(logger_options, self.logger_options), *logger, *parts]

    def unread(self) -> dict[str, Reader]:
        return super().unread() | ({"logger_options": "`logger`"} if self.logger is None else {})
