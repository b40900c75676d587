"""The options of fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from features.infrastructure.options import LARGEST_BATCH, Range
from finetune.losses.loss import DEFAULT_LOSS
from finetune.run_directory import FINE_TUNED
from finetune.shared_options import TrainingOptions, resolve
from finetune.shared_options.base import Choice, Reader
from finetune.shared_options.option_groups import WHOLE_IMAGES, Positive, StartingPoint
from finetune.shared_options.training import Rates

#: Learning rate and weight decay.
RATES: Rates = {"nesterov": (0.02, 0.0005), "sgd": (0.02, 0.0005), "adamw": (0.0003, 0.05)}


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
        epochs: Passes over the training images; if neither `epochs` nor `steps` is given 30, or 12 if the classifier
            starts trained.
        optimizer: nesterov or sgd (momentum 0.9), or adamw; by default nesterov, or adamw if the classifier starts
            trained.
        lr: Peak learning rate; by default 0.02 (adamw: 0.0003).
        batch_norm: Whether batch normalisation uses the statistics of each batch (train) or those of the start
            (frozen); by default train, or frozen if the classifier starts trained.
        with_: Subset file of source classes to co-train on: a second classifier on the same network learns them, by
            cross-entropy from one batch of source images a step, and is dropped at the end (Liu et al., NeurIPS 2022).
        with_weight: With `with_`, λ of the loss L = L_target + λ·L_source, above 0; the history has the whole loss.
    """

    #: Options of earlier versions, which had this command and fit-classifier in one → the value that means this one.
    RETIRED: ClassVar[Mapping[str, Any]] = {**TrainingOptions.RETIRED, "method": FINE_TUNED, "space": "cosine"}

    loss: str = DEFAULT_LOSS
    classifier: Literal["new", "probe", "keep"] | None = None
    interpolate: Annotated[float, Range(0, 1, above=True)] | None = None
    batch_size: Annotated[int, Range(2, LARGEST_BATCH)] = 64
    with_: str | None = None
    with_weight: Positive = 0.3

    def defaults(self) -> dict[str, Choice]:
        chosen, start = {"classifier": self._default_start()}, self._start
        if start == "new":
            reason = "the classifier starts new"
            chosen |= self.training_defaults(reason, "nesterov", RATES, 30, "train")
            return chosen | {"interpolate": (1.0, reason)}
        if start == "probe" and self.published:
            chosen["crop_pct"] = WHOLE_IMAGES
        # These were found on held-out images of CUB.
        chosen |= self.training_defaults(f"the classifier starts trained ({start})", "adamw", RATES, 12, "frozen")
        row = self.loss_row
        if start == "probe" and not (row.balanced or row.sigmoid or row.cosine_classifier or self.balancing_sampler):
            return chosen | {"interpolate": (0.5, "a probe, and neither loss nor sampler re-balances the classes")}
        # Half of the way would keep half of the odds that a balanced loss or sampler takes out.
        return chosen | {"interpolate": (1.0, "not a probe trained with plain softmax and unbalanced sampling")}

    def _default_start(self) -> Choice:
        """What the classifier starts as: a probe needs a published model and a linear softmax loss."""
        if self.published and not (self.loss_row.sigmoid or self.loss_row.cosine_classifier):
            return ("probe", "a published model and a softmax loss")
        return (
            "new",
            f"the loss {self.loss} is no linear softmax" if self.published else "the start is not a published model",
        )

    @property
    def _start(self) -> str:
        """What the classifier starts as, given or by default."""
        return self.classifier or self._default_start()[0]

    def unread(self) -> dict[str, Reader]:
        return super().unread() | ({"with_weight": "`with_`"} if self.with_ is None else {})

    def contradictions(self) -> list[str]:
        faults = super().contradictions()
        if self.with_ is not None and self.freeze == 1:
            faults.append(f"`with_` {self.with_}: has no effect with `freeze` 1.0, the whole backbone; leave one out")
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
        config, _ = resolve(self)
        start = {"new": "", "probe": ", starting from a probe", "keep": ", starting from the run's classifier"}
        kept = "" if config.interpolate in (None, 1) else f", {config.interpolate:g} of the way kept"
        beside = "" if self.with_ is None else f", co-trained on {self.with_} with weight {self.with_weight:g}"
        return super().summary() + start[self._start] + kept + beside
