"""What a training leaves behind while it runs: its history, its best epoch, the state to go on from."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from torch import Tensor

from features.decoding import PixelBatch
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, rank, same_for_all, wait_for_all
from finetune.configuration import TrainingConfig
from finetune.evaluation.metrics import Metrics
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.training.optimizer import WeightAverage, rate

#: About this much work is lost at most when a run is killed.
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Best:
    """The epoch that a validation judged best.

    Attributes:
        epoch: Its number, from 1.
        metrics: The validation's figures.
        state: What is kept of the model after it.
    """

    epoch: int
    metrics: dict[str, Any]
    state: dict[str, Tensor]


class Trained(Protocol):
    """What is trained, as the keeper sees it."""

    model: ImageClassifier
    config: TrainingConfig
    steps: int
    average: WeightAverage | None

    @property
    def step(self) -> int: ...
    def weights(self) -> dict[str, Tensor]: ...
    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]: ...


class Keeper(pl.Callback):
    """Shows the progress, writes the history, judges the epochs, saves the resumable state.

    Args:
        run: Where to.
        loop: What is trained.
        an_epoch: Steps of an epoch.
        judge: A model and its weights to the figures of a validation.
        resumed: What was saved of an unfinished training; empty for a new one.

    Attributes:
        advance: Moves the progress bar; given by whoever shows it.
    """

    advance: Callable[..., None]

    def __init__(
        self,
        run: RunDirectory,
        loop: Trained,
        an_epoch: int,
        judge: Callable[[ImageClassifier, dict[str, Tensor]], Metrics] | None,
        resumed: Mapping[str, Any],
    ) -> None:
        self.run, self.loop, self.an_epoch, self.judge = run, loop, an_epoch, judge
        self.resumed, self.best = resumed.get("epoch", {}), resumed.get("best", {"epoch": 0})
        if self.best["epoch"] and self._kept_epoch() != self.best["epoch"]:
            # Killed after a better epoch was kept and before the state was saved: that epoch comes again.
            self.best = {"epoch": 0}
        self.unreadable: dict[str, str] = {}
        self.said: set[str] = set()

    def on_train_start(self, *_: Any) -> None:
        self.saved = time.monotonic()
        self._begin_epoch(**self.resumed)

    def _begin_epoch(self, loss: float = 0.0, images: int = 0, seconds: float = 0.0) -> None:
        self.loss: float | Tensor = loss
        self.images, self.began = images, time.perf_counter() - seconds

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, batch: PixelBatch, __: int) -> None:
        # Summed on the device: reading it there would make every step wait.
        self.loss = self.loss + outputs["loss"].detach().float()
        self.images += len(batch.labels)
        self.unreadable.update(batch.unreadable)
        self.advance(1)
        step, steps = self.loop.step, self.loop.steps
        ends = step % self.an_epoch == 0 or step == steps
        if ends:
            same_for_all(self.loop.model.buffers())  # each process has statistics of its own share of the batches
        if self.loop.average is not None:
            self.loop.average.update(self.loop.model, step)
        if ends:
            if self.loop.average is not None:
                same_for_all(self.loop.average.average.values())
            self._end_epoch(step)
            self._begin_epoch()
            patience = self.loop.config.patience
            if patience and math.ceil(step / self.an_epoch) - self.best["epoch"] >= patience and step < steps:
                self.run.log(f"{self.run.path.name}: stopped, no better epoch than {self.best['epoch']} in {patience}")
                trainer.should_stop = True
        if (
            rank() == 0
            and time.monotonic() - self.saved > CHECKPOINT_SECONDS
            and step < steps
            and not trainer.should_stop
        ):
            self._save(step, trainer.optimizers[0])
            self.saved = time.monotonic()

    def _finite_loss(self, step: int) -> float:
        """The epoch's summed loss."""
        loss = float(self.loss)
        if not math.isfinite(loss):
            raise InputError(
                f"{self.run.path}: the loss is {loss} after step {step}; lower --lr or use --precision fp32"
            )
        return loss

    def _end_epoch(self, step: int) -> None:
        epoch = math.ceil(step / self.an_epoch)
        unsaid = {id_: reason for id_, reason in self.unreadable.items() if id_ not in self.said}
        every = gather((self._finite_loss(step), self.images, unsaid))
        loss = sum(part[0] for part in every) / len(every) / (step - (epoch - 1) * self.an_epoch)
        images = sum(part[1] for part in every)
        for _, _, found in every:
            for id_, reason in found.items():
                if id_ not in self.said:
                    self.said.add(id_)
                    self.run.log(f"left out, unreadable: {id_} ({reason})")
        seconds = time.perf_counter() - self.began
        row = {
            "epoch": epoch,
            "step": step,
            "lr": f"{self.loop.config.lr * rate(step - 1, self.loop.steps, self.loop.config):.6g}",
            "train_loss": f"{loss:.5f}",
            "images_per_second": f"{images / seconds:.1f}",
            "seconds": f"{seconds:.2f}",
        }
        note = f"loss {loss:.3f}"
        if self.judge is not None:
            metrics = self.judge(self.loop.model, self.loop.weights())
            row |= {"validation_top1": f"{metrics.top1:.5f}", "validation_macro": f"{metrics.macro:.5f}"}
            note += f", validation {metrics.macro:.3f}"
            self._keep_best(epoch, metrics)
        self.run.record(row)
        self.advance(0, note)

    def _keep_best(self, epoch: int, metrics: Metrics) -> None:
        """Keep the weights of an epoch that is better than all before."""
        if metrics.macro > self.best.get("macro", -math.inf):
            figures = {name: getattr(metrics, name) for name in ("top1", "top5", "macro", "images")}
            self.best = {"epoch": epoch, **figures}
            if rank() == 0:
                _save_whole({"epoch": epoch, "model": self.loop.weights()}, self._best_path)

    @property
    def _best_path(self) -> Path:
        return self.run.checkpoints / "best.ckpt"

    def _kept_epoch(self) -> int:
        """The epoch whose weights are kept as the best."""
        if not self._best_path.is_file():
            return 0
        return int(torch.load(self._best_path, map_location="cpu", weights_only=True)["epoch"])

    def best_epoch(self) -> Best | None:
        """The best epoch of a training that has ended."""
        if self.judge is None:
            return None
        wait_for_all()  # until the first process has written it
        kept = torch.load(self._best_path, map_location="cpu", weights_only=True)
        figures = dict(self.best)
        epoch = figures.pop("epoch")
        return Best(epoch, figures, kept["model"])

    def _save(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        seconds = time.perf_counter() - self.began
        state = self.loop.state(optimizer)
        state["epoch"] = {"loss": self._finite_loss(step), "images": self.images, "seconds": seconds}
        state["best"] = self.best
        _save_whole(state, self.run.checkpoints / "resume.ckpt")


def _save_whole(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors for this project alone to read again, whole or not at all."""
    aside = path.with_name(f".{path.name}.part")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        aside.write_bytes(buffer.getbuffer())  # a full disk is an OSError here, which torch.save does not raise
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
