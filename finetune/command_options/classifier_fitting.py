"""The options of fitting a classifier to frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

from features.infrastructure.options import default_of
from finetune.classifiers.second_stage import METHODS, OPTIONS, SecondStage, Space
from finetune.command_options.finetuning import FinetuneConfig
from finetune.shared_options import TrainingOptions
from finetune.shared_options.base import Choice, Reader
from finetune.shared_options.option_groups import (
    WHOLE_IMAGES,
    NotNegative,
    RunOptions,
    StartingPoint,
    held_out,
    held_out_faults,
)


@dataclass(frozen=True, kw_only=True)
class FitClassifierConfig(RunOptions, StartingPoint):
    """Fit a classifier to the frozen features of a backbone or a run.

    Attributes:
        method: The second-stage classifier: linear (logistic regression), crt, …; see transfer inspect methods.
        space: Where `method` ncm measures: by the cosine, the Euclidean distance, or the cosine of features less their
            mean (centred).
        tau: τ of `method` tau, or of `method` logit-adjusted (by default 1).
        validation: Images to choose the τ of `method` tau on: a dataset spec, or the number of images of each class
            that the training of the run held out.
        seed: Seed of random weights and of the draws of `method` crt and lws.
    """

    #: Options of fine-tuning, which earlier versions wrote into these runs without reading them → their defaults.
    RETIRED: ClassVar[Mapping[str, Any]] = {
        **TrainingOptions.RETIRED,
        **{option.name: default_of(option) for option in fields(FinetuneConfig)},
    }

    method: str
    space: Space = "cosine"
    tau: NotNegative | None = None
    validation: int | str | None = None

    @property
    def row(self) -> SecondStage:
        """The row of the method."""
        return METHODS[self.method]

    def defaults(self) -> dict[str, Choice]:
        return {"crop_pct": WHOLE_IMAGES} if self.published and not self.row.keeps_classifier else {}

    def normalised(self) -> dict[str, Any]:
        return super().normalised() | {"validation": held_out(self.validation)}

    def checks(self) -> list[Callable[[], object]]:
        return [*super().checks(), partial(METHODS.find, self.method)]

    def contradictions(self) -> list[str]:
        faults = super().contradictions() + held_out_faults(self.validation)
        asked = self.row.needs_one_of
        given = [f"`{name}`" for name in asked if getattr(self, name) is not None]
        if asked and len(given) != 1:
            choices = ", or ".join(f"`{name}`, {what}" for name, what in asked.items())
            fault = f"{' and '.join(given)} are both given; give one: " if given else "give "
            faults.append(f"`method` {self.method}: {fault}{choices}")
        return faults

    def unread(self) -> dict[str, Reader]:
        return super().unread() | {option: partial(_readers, option) for option in OPTIONS - self.row.options}

    def balanced_by(self) -> str | None:
        return f"--method {self.method}" if self.row.balanced else None


def _readers(option: str) -> str:
    """The methods that read an option, in words."""
    return f"`method` {', '.join(name for name, row in METHODS.items() if option in row.options)}"
