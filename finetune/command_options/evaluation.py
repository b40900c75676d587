"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from features.infrastructure.disk.files import check_ending
from features.infrastructure.errors import InputError
from features.infrastructure.options import LARGEST_BATCH, Machine, Range, check_ranges
from finetune.evaluation.metrics import FEW, MANY


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Machine):
    """Evaluate a trained model: top-1, top-5, macro, many-, medium- and few-shot accuracy.

    Attributes:
        run: Run directory of transfer finetune or pretrain, or a checkpoint (.safetensors) in one.
        dataset: Dataset spec to evaluate on; its classes are matched by name.
        views: Views of each image whose probabilities are averaged: 1 (the centre), 2 (and its mirror image), 5
            (centre and corners), 10 (and their mirror images).
        many: A class with more training images belongs to "many".
        few: A class with fewer training images belongs to "few", at most `many`; the classes between are "medium".
        per_class: Write the accuracy of each class to this file (.csv).
        overwrite: Replace an existing file.
        batch_size: Images per forward pass.
    """

    run: str
    dataset: str
    views: Literal[1, 2, 5, 10] = 1
    many: Annotated[int, Range(1)] = MANY
    few: Annotated[int, Range(1)] = FEW
    per_class: str | None = None
    overwrite: bool = False
    batch_size: Annotated[int, Range(1, LARGEST_BATCH)] = 64

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.per_class is not None:
            check_ending(self.per_class, [".csv"], "`per_class`")
        if self.few > self.many:
            raise InputError(f"`few` {self.few}: expected at most `many`, which is {self.many}")
