"""The training loop: Lightning runs it, this module says what a step is and what is kept."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from features.decoding import PixelBatch
from features.devices import pick_device, pick_precision
from features.distributed import gather, local_world_size, rank, wait_for_all, world_size
from features.errors import InputError
from features.progress import progress
from finetune.augmentation import augmentation
from finetune.configuration import TrainingConfig
from finetune.losses import LongTailLoss
from finetune.metrics import Metrics
from finetune.model import ImageClassifier
from finetune.optimisation import PullToStart, WeightAverage, build_optimizer, freeze, rate
from finetune.run_directory import RunDirectory
from finetune.samplers import build_sampler
from finetune.training_images import EpochBatches, TrainingImages, batches_an_epoch
from finetune.validation import Validator

#: Share of the steps that a training with a small size takes at it.
SMALL_SHARE = 2 / 3
#: About this much work is lost at most when a run is killed.
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Best:
    """The epoch that a validation judged best.

    Attributes:
        epoch: Its number, from 1.
        metrics: The validation's figures.
        state: The model's weights after it.
    """

    epoch: int
    metrics: dict[str, Any]
    state: dict[str, Tensor]


def train(
    model: ImageClassifier,
    images: TrainingImages,
    loss: LongTailLoss,
    config: TrainingConfig,
    run: RunDirectory,
    validator: Validator | None = None,
) -> Best | None:
    """Train a model in place.

    A run that was killed goes on from its last checkpoint, in the middle of an epoch too: what a step
    reads, augments and drops out follows from (seed, step), so it ends as an uninterrupted one does.
    Under torchrun each process takes its share of every batch; on CUDA statistics of batch normalisation are
    those of the whole batch, elsewhere those of the first process's share are kept.
    Lightning sees one pass over the steps that are left, and its own restart logic has no part in it.

    Args:
        model: The classifier.
        images: What to train on.
        loss: Scores (B, C) and labels (B,) to a scalar.
        config: The options.
        run: Where the history and the resumable state go.
        validator: Judges each epoch.

    Returns:
        The best epoch by mean accuracy over the classes, the first of equals; None without a validation. The model
        itself has the last epoch's weights.

    Raises:
        InputError: The loss became NaN or infinite, memory ran out, a whole batch cannot be read, or a batch cannot
            be shared out among the processes.
        KeyboardInterrupt: The person stopped it; the last checkpoint stands.
    """
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    an_epoch = batches_an_epoch(len(images.labels), config.batch_size)
    steps = config.steps or (config.epochs or 0) * an_epoch
    epochs = math.ceil(steps / an_epoch)
    sampler = build_sampler(config.sampler, images.labels, epochs=epochs, beta=config.beta, seed=config.seed)
    resumed = _read_resume(run)
    loop = _Loop(model, loss, config, steps, resumed)
    if resumed:
        model.load_state_dict(resumed["model"])
        run.log(f"{run.path.name}: resumed after step {loop.start} of {steps}")
    loop.train()  # which Lightning leaves to us
    judge = None if validator is None else partial(validator, device=device, precision=precision)
    keeper = _Keeper(run, loop, an_epoch, judge, resumed)
    _quiet()
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        **_placement(device),
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[keeper],
    )
    batches = EpochBatches(sampler, config.batch_size, steps, loop.start)
    try:
        with progress(f"train {run.path.name}", steps) as keeper.advance:
            keeper.advance(loop.start)
            trainer.fit(loop, images.loader(batches, pin_memory=device.type == "cuda"))
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"out of memory on {device} with --batch-size {config.batch_size}; "
            f"try --batch-size {config.batch_size // 2}"
        ) from error
    except SystemExit as error:
        # Lightning answers Ctrl-C by ending the process.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from error
    model.cpu().eval()
    model.load_state_dict(loop.weights())
    return keeper.best_epoch()


def _placement(device: torch.device) -> dict[str, Any]:
    """Lightning's options for where to train."""
    if world_size() == 1:
        return {"devices": 1 if device.index is None else [device.index]}
    return {
        "strategy": "ddp",
        "devices": local_world_size(),
        "num_nodes": world_size() // local_world_size(),
        "sync_batchnorm": device.type == "cuda",
    }


def _read_resume(run: RunDirectory) -> Mapping[str, Any]:
    """The state that :class:`_Keeper` saved last; empty where there is none."""
    path = run.checkpoints / "resume.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else {}


class _Loop(pl.LightningModule):
    """One step: augment, normalise, classify, loss."""

    def __init__(
        self, model: ImageClassifier, loss: LongTailLoss, config: TrainingConfig, steps: int, resumed: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.model, self.loss, self.config, self.steps = model, loss, config, steps
        self.start, self.optimizer_state = resumed.get("step", 0), resumed.get("optimizer")
        self.frozen = freeze(model, config.freeze)
        self.pull = PullToStart(model, config.l2_sp, resumed.get("start")) if config.l2_sp else None
        self.average = WeightAverage(model, config.ema, resumed.get("average")) if config.ema else None
        self.augment, self.mixing = augmentation(config.augment), config.mixing
        self.generator = torch.Generator()
        self.preprocessing = model.backbone.preprocessing

    @property
    def step(self) -> int:
        """Steps that are done, those before a resume included."""
        return self.start + self.global_step

    def train(self, mode: bool = True) -> _Loop:
        super().train(mode)
        for layer in self.frozen:
            layer.eval()  # statistics of batch normalisation stay too
        return self

    def training_step(self, batch: PixelBatch, _: int) -> Tensor:
        if not len(batch.labels):
            id_, reason = batch.unreadable[0]
            raise InputError(f"a whole batch of images cannot be read; the first is {id_} ({reason})")
        pixels, size = batch.pixels, self.preprocessing.image_size
        if self.config.small_size is not None and self.step < SMALL_SHARE * self.steps:
            pixels, size = _shrunk(pixels, self.config.small_size / size), self.config.small_size
        seed = self.config.seed * 1_000_003 + self.step + 1_000_000_007 * rank()
        self.generator.manual_seed(seed)
        torch.manual_seed(seed)  # what dropout draws from
        pixels = self.augment(pixels, size, self.generator)
        images = self.preprocessing.normalize(pixels).contiguous(memory_format=torch.channels_last)
        target = batch.labels
        if self.mixing:
            images, target = self.mixing(images, target, len(self.model.classes), self.generator)
        self.loss.set_progress(self.step / self.steps)
        loss = self.loss(self.model(images), target)
        return loss if self.pull is None else loss + self.pull()

    def transfer_batch_to_device(self, batch: PixelBatch, device: torch.device, _: int) -> PixelBatch:
        pixels, labels = batch.pixels.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)
        return PixelBatch(pixels, labels, batch.indices, batch.unreadable)

    def configure_model(self) -> None:
        self.model.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.model, self.config)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)

        def share(done: int) -> float:
            return rate(self.start + done, self.steps, self.config)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def weights(self) -> dict[str, Tensor]:
        """What is kept of the model: its weights, or their average; on the CPU."""
        if self.average is not None:
            return self.average.state()
        return {name: value.cpu() for name, value in self.model.state_dict().items()}

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What a resumed training needs."""
        state: dict[str, Any] = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        if self.pull is not None:
            state["start"] = self.pull.state()
        if self.average is not None:
            state["average"] = self.average.state()
        return state


class _Keeper(pl.Callback):
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
        loop: _Loop,
        an_epoch: int,
        judge: Callable[[ImageClassifier, dict[str, Tensor]], Metrics] | None,
        resumed: Mapping[str, Any],
    ) -> None:
        self.run, self.loop, self.an_epoch, self.judge = run, loop, an_epoch, judge
        self.resumed, self.best = resumed.get("epoch", {}), resumed.get("best", {"epoch": 0})
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
        if self.loop.average is not None:
            self.loop.average.update(self.loop.model, step)
        if step % self.an_epoch == 0 or step == steps:
            self._end_epoch(step)
            self._begin_epoch()
            patience = self.loop.config.patience
            if patience and math.ceil(step / self.an_epoch) - self.best["epoch"] >= patience and step < steps:
                self.run.log(f"{self.run.path.name}: stopped, no better epoch than {self.best['epoch']} in {patience}")
                trainer.should_stop = True
        if rank() == 0 and time.monotonic() - self.saved > CHECKPOINT_SECONDS and step < steps:
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
                _save_whole(self.loop.weights(), self._best_path)

    @property
    def _best_path(self) -> Path:
        return self.run.checkpoints / "best.ckpt"

    def best_epoch(self) -> Best | None:
        """The best epoch of a training that has ended."""
        if self.judge is None:
            return None
        wait_for_all()  # until the first process has written it
        state = torch.load(self._best_path, map_location="cpu", weights_only=True)
        figures = dict(self.best)
        return Best(figures.pop("epoch"), figures, state)

    def _save(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        seconds = time.perf_counter() - self.began
        state = self.loop.state(optimizer)
        state["epoch"] = {"loss": self._finite_loss(step), "images": self.images, "seconds": seconds}
        state["best"] = self.best
        _save_whole(state, self.run.checkpoints / "resume.ckpt")


def _save_whole(state: Mapping[str, Any], path: Path) -> None:
    """Write tensors for this project alone to read again, whole or not at all."""
    aside = path.with_name(f".{path.name}.part")
    torch.save(state, aside)
    os.replace(aside, path)


def _shrunk(pixels: Tensor, share: float) -> Tensor:
    """Frames (B, 3, R, R) uint8 at a share of their side."""
    side = max(1, round(pixels.shape[-1] * share))
    return F.interpolate(pixels.float(), side, mode="bilinear", antialias=True).round().to(torch.uint8)


def _quiet() -> None:
    """Lightning's own notices about what this toolkit decides are not for the person."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (
        ".*in eval mode at the start.*",
        ".*does not have many workers.*",
        ".*`ModelCheckpoint`.*",
        ".*lr_scheduler.step.*",
        ".*LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", text)
