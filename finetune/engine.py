"""The training loop: Lightning runs it, this module says what a step is and what is kept."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from features.decoding import PixelBatch
from features.devices import pick_device, pick_precision
from features.errors import InputError
from features.progress import progress
from finetune.augmentation import augmentation
from finetune.configuration import TrainingConfig
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.samplers import build_sampler
from finetune.training_images import EpochBatches, TrainingImages

#: At most this much work is lost when a run is killed between epochs.
CHECKPOINT_SECONDS = 60.0


def train(
    model: ImageClassifier, images: TrainingImages, loss: LongTailLoss, config: TrainingConfig, run: RunDirectory
) -> None:
    """Train a model in place.

    A run that was killed goes on from its last checkpoint: epochs draw from (seed, epoch) and steps
    augment from (seed, step), so it ends as an uninterrupted one does.

    Args:
        model: The classifier.
        images: What to train on.
        loss: Scores (B, C) and labels (B,) to a scalar.
        config: The options.
        run: Where the history and the resumable state go.

    Raises:
        InputError: The loss became NaN or infinite, or memory ran out.
    """
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    steps_an_epoch = max(1, len(images.labels) // config.batch_size)
    steps = config.steps or (config.epochs or 0) * steps_an_epoch
    epochs = math.ceil(steps / steps_an_epoch)
    sampler = build_sampler(config.sampler, images.labels, epochs=epochs, beta=config.beta, seed=config.seed)
    batches = EpochBatches(sampler, config.batch_size)
    loop = _Loop(model, loss, config, steps)
    _quiet()
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1 if device.index is None else [device.index],
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[_Keeper(run, steps)],
    )
    resume = run.checkpoints / "resume.ckpt"
    if resume.is_file():
        run.log(f"resumed from {resume}")
    try:
        trainer.fit(
            loop,
            images.loader(batches, pin_memory=device.type == "cuda"),
            ckpt_path=str(resume) if resume.is_file() else None,
            weights_only=True,
        )
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"out of memory on {device} with --batch-size {config.batch_size}; try --batch-size {config.batch_size // 2}"
        ) from error
    if trainer.interrupted:
        raise KeyboardInterrupt
    model.cpu().eval()


class _Loop(pl.LightningModule):
    """One step: augment, normalise, classify, loss."""

    def __init__(self, model: ImageClassifier, loss: LongTailLoss, config: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model, self.loss, self.config, self.steps = model, loss, config, steps
        self.augment = augmentation(config.augment)
        self.generator = torch.Generator()
        self.preprocessing = model.backbone.preprocessing

    def training_step(self, batch: PixelBatch, _: int) -> Tensor:
        self.generator.manual_seed(self.config.seed * 1_000_003 + self.global_step)
        pixels = self.augment(batch.pixels.float(), self.preprocessing.image_size, self.generator)
        images = self.preprocessing.normalize(pixels).contiguous(memory_format=torch.channels_last)
        self.loss.set_progress(self.global_step / self.steps)
        return self.loss(self.model(images), batch.labels)

    def transfer_batch_to_device(self, batch: PixelBatch, device: torch.device, _: int) -> PixelBatch:
        pixels, labels = batch.pixels.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)
        return PixelBatch(pixels, labels, batch.indices, batch.unreadable)

    def configure_model(self) -> None:
        self.model.to(memory_format=torch.channels_last)

    def on_train_epoch_start(self) -> None:
        # Dropout draws from torch's own generator: seeded here, a resumed epoch drops the same.
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if self.config.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=self.config.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """The learning rate at a step, as a share of its peak: linear warm-up, then the schedule."""
        warmup = round(self.config.warmup * self.steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))


class _Keeper(pl.Callback):
    """Shows the progress, writes the history, saves the resumable state."""

    def __init__(self, run: RunDirectory, steps: int) -> None:
        self.run, self.steps = run, steps
        self.saved = time.monotonic()
        self.stack = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self.advance = self.stack.enter_context(progress(f"train {self.run.path.name}", self.steps))
        self.advance(trainer.global_step)

    def on_train_epoch_start(self, *_: Any) -> None:
        self.losses: list[Tensor] = []
        self.images, self.began = 0, time.perf_counter()

    def on_train_batch_end(self, _: pl.Trainer, __: pl.LightningModule, outputs: Any, batch: Any, ___: int) -> None:
        self.losses.append(outputs["loss"].detach())
        self.images += len(batch.labels)
        self.advance(1)

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        loss = float(torch.stack(self.losses).float().mean())
        if not math.isfinite(loss):
            raise InputError(
                f"{self.run.path}: the loss is {loss} after step {trainer.global_step}; lower --lr or use --precision fp32"
            )
        seconds = time.perf_counter() - self.began
        self.run.record(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}",
                "train_loss": f"{loss:.5f}",
                "images_per_second": f"{self.images / seconds:.1f}",
                "seconds": f"{seconds:.2f}",
            }
        )
        self.advance(0, f"loss {loss:.3f}")
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS and trainer.global_step < self.steps:
            aside = self.run.checkpoints / ".resume.ckpt.part"
            trainer.save_checkpoint(aside)
            os.replace(aside, self.run.checkpoints / "resume.ckpt")
            self.saved = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.stack.close()


def _quiet() -> None:
    """Lightning's own notices about what this toolkit decides are not for the person."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (".*does not have many workers.*", ".*`ModelCheckpoint`.*", ".*lr_scheduler.step.*", ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", text)
