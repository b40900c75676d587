"""What happens after each step: progress, history, validation, early stop, and the state to resume from.

It takes the place of Lightning's ``EarlyStopping``. The history is a file of its own, and loggers of Lightning get the
same figures directly: on the way through ``LightningModule.log`` they would be rounded to float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from features.infrastructure.errors import InputError
from features.infrastructure.interruptions import StopRequest
from features.infrastructure.processes import from_first, gather, rank, same_for_all
from features.infrastructure.stage_clock import SAVE, UNPROFILED, VALIDATION, Stages
from finetune.evaluation.metrics import Metrics
from finetune.run_directory import RunDirectory
from finetune.training import state
from finetune.training.batches import batches_of
from finetune.training.optimizer import rate
from finetune.training.step import TrainingStep
from finetune.training.validation import Validator

#: Seconds between two writings of the state: about this much work is lost when a run is killed.
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Best:
    """The best epoch by the validation: its number, from 1, the validation's figures, and the weights that are kept."""

    epoch: int
    metrics: dict[str, Any]
    state: dict[str, Tensor]


class TrainingCallback(pl.Callback):
    """Shows the progress, writes the history, validates each epoch, stops early, and writes the state to resume from.

    ``an_epoch`` is the number of its steps, ``precision`` (``fp32`` or ``bf16``) that of the validation, and
    ``resumed`` the state of an unfinished training, empty for a new one. ``others`` are callbacks of the user, whose
    state is kept with that of the training if it is plain values and tensors, and ``stages`` measure the validation and
    what is saved. ``advance`` moves the progress bar; the caller, who shows it, sets it, and ``request``, whether a
    signal asks the process to stop.
    """

    advance: Callable[..., None]
    request: StopRequest

    def __init__(
        self,
        run: RunDirectory,
        step: TrainingStep,
        an_epoch: int,
        validator: Validator | None,
        precision: str,
        resumed: Mapping[str, Any],
        others: Sequence[pl.Callback] = (),
        stages: Stages = UNPROFILED,
    ) -> None:
        self.stages = stages
        self.run, self.step, self.an_epoch = run, step, an_epoch
        self.validator, self.precision = validator, precision
        self.resumed, self.best = resumed.get("epoch", {}), resumed.get("best", {"epoch": 0})
        self.unreadable: dict[str, str] = {}
        self.said: set[str] = set()
        self.others = others
        for other in others:
            if kept := resumed.get("callbacks", {}).get(other.state_key):
                other.load_state_dict(kept)

    def on_train_start(self, trainer: pl.Trainer, _: Any) -> None:
        # Callbacks log by this number; Lightning itself sees only the steps that are left.
        trainer.fit_loop.epoch_loop._batches_that_stepped = self.step.start
        self.request.listen()  # Lightning's own handler of SIGTERM would end the process as if it had finished
        self.saved = time.monotonic()
        self._begin_epoch(**self.resumed)

    def _begin_epoch(self, loss: float = 0.0, images: int = 0, seconds: float = 0.0) -> None:
        self.loss: float | Tensor = loss
        self.images, self.began = images, time.perf_counter() - seconds

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, batch: Any, index: int) -> None:
        # Summed on the device: reading it there would make every step wait.
        self.loss = self.loss + outputs["loss"].detach().float()
        parts = batches_of(batch)
        for part in parts:
            self.images += len(part.labels)
            self.unreadable.update(part.unreadable)
        if (index + 1) % self.step.config.accumulate_grad_batches == 0:  # else further batches belong to this step
            self._end_step(trainer)
        self.stages.step(sum(len(part.labels) for part in parts))

    def _end_step(self, trainer: pl.Trainer) -> None:
        """Do what follows a step: the average, and what is due of validation, history and state."""
        self.advance(1)
        done, steps, average = self.step.step, self.step.steps, self.step.average
        ends = done % self.an_epoch == 0 or done == steps
        if ends:
            same_for_all(self.step.model.buffers())  # each process has statistics of its own share of the batches
        if average is not None:
            average.update(self.step.model, done)
        if ends:
            if average is not None:
                same_for_all(average.average.values())
            self._end_epoch(done, trainer.loggers)
            self._begin_epoch()
            if self._stops_early(done):
                trainer.should_stop = True
        due = time.monotonic() - self.saved > CHECKPOINT_SECONDS or self.request.name
        if rank() == 0 and due and done < steps and not trainer.should_stop:
            with self.stages.stage(SAVE):
                self._save(trainer.optimizers[0])
            self.request.answer()

    def _end_epoch(self, done: int, loggers: Sequence[Logger]) -> None:
        """Write the epoch's line of the history, after its validation, and log its figures."""
        epoch = math.ceil(done / self.an_epoch)
        unsaid = {id_: reason for id_, reason in self.unreadable.items() if id_ not in self.said}
        every = gather((self._finite_loss(done), self.images, unsaid))
        loss = sum(part[0] for part in every) / len(every) / (done - (epoch - 1) * self.an_epoch)
        images = sum(part[1] for part in every)
        found = {id_: reason for _, _, of_process in every for id_, reason in of_process.items()}
        self.run.log_unreadable(found.items())
        self.said.update(found)
        seconds = time.perf_counter() - self.began
        config = self.step.config
        row = {
            "epoch": epoch,
            "step": done,
            "lr": f"{config.lr * rate(done - 1, self.step.steps, config):.6g}",
            "train_loss": f"{loss:.5f}",
            "images": images,
            "images_per_second": f"{images / seconds:.1f}",
            "seconds": f"{seconds:.2f}",
        }
        note = f"loss {loss:.3f}"
        if self.validator is not None:
            known = set(self.validator.unreadable)
            with self.stages.stage(VALIDATION):
                metrics = self.validator(self.step.model, self.step.weights(), self.step.device, self.precision)
            self.run.log_unreadable(image for image in self.validator.unreadable if image not in known)
            row |= {"validation_top1": f"{metrics.top1:.5f}", "validation_macro": f"{metrics.macro:.5f}"}
            note += f", validation {metrics.macro:.3f}"
            self._keep_best(epoch, metrics)
        self.run.record(row)
        for logger in loggers if rank() == 0 else ():
            logger.log_metrics({name: float(str(value)) for name, value in row.items() if name != "step"}, step=done)
        self.advance(0, note)

    def _finite_loss(self, done: int) -> float:
        """The epoch's summed loss; raises ``InputError`` if it is NaN or infinite."""
        loss = float(self.loss)
        if not math.isfinite(loss):
            raise InputError(
                f"{self.run.path}: the loss is {loss} after step {done}; lower `lr` or use `precision` fp32"
            )
        return loss

    def _keep_best(self, epoch: int, metrics: Metrics) -> None:
        """Keep the weights of an epoch that is better than all before; of equal epochs the first stays."""
        if metrics.macro > self.best.get("macro", -math.inf):
            figures = {name: getattr(metrics, name) for name in ("top1", "top5", "macro", "images")}
            self.best = {"epoch": epoch, **figures}
            if rank() == 0:
                with self.stages.stage(SAVE):
                    state.write_best(self.run.checkpoints, epoch, self.step.weights())

    def _stops_early(self, done: int) -> bool:
        patience, best = self.step.config.patience, self.best["epoch"]
        if not patience or done == self.step.steps or math.ceil(done / self.an_epoch) - best < patience:
            return False
        self.run.log(f"{self.run.path.name}: stopped, no better epoch than {best} in {patience}")
        return True

    def best_epoch(self) -> Best | None:
        """The best epoch of a training that has ended; None without a validation."""
        if self.validator is None:
            return None
        figures = {name: value for name, value in self.best.items() if name != "epoch"}
        return Best(self.best["epoch"], figures, from_first(lambda: state.read_best(self.run.checkpoints))[1])

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        seconds = time.perf_counter() - self.began
        epoch = {"loss": self._finite_loss(self.step.step), "images": self.images, "seconds": seconds}
        others = {other.state_key: other.state_dict() for other in self.others}
        written = {**self.step.state(optimizer), "epoch": epoch, "best": self.best}
        written["callbacks"] = {key: kept for key, kept in others.items() if _is_plain(kept)}
        for key in sorted(others.keys() - written["callbacks"].keys() - self.said):
            self.run.log(f"{self.run.path.name}: the state of {key} cannot be kept for a resume")
            self.said.add(key)
        state.write_resume(self.run.checkpoints, written)
        self.saved = time.monotonic()


def _is_plain(value: Any) -> bool:
    """Whether a value is made of tensors, numbers and texts alone, which are read back without running code."""
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str, Tensor)
