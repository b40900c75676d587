"""The training loop: Lightning runs it, this module says what a step is and what is kept."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from features.decoding import PixelBatch
from features.infrastructure.console import progress
from features.infrastructure.devices import pick_device, pick_precision
from features.infrastructure.errors import InputError
from features.infrastructure.processes import local_world_size, rank, world_size
from finetune.augmentation import augmentation
from finetune.configuration import TrainingConfig
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.samplers import build_sampler
from finetune.training.batches import EpochBatches, TrainingImages, batches_an_epoch
from finetune.training.callbacks import Best, Keeper
from finetune.training.depthwise import depthwise_in_float32
from finetune.training.optimizer import Interpolation, PullToStart, WeightAverage, build_optimizer, freeze, rate
from finetune.training.validation import Validator

#: Share of the steps that a training with a small size takes at it.
SMALL_SHARE = 2 / 3


def train(
    model: ImageClassifier,
    images: TrainingImages,
    loss: LongTailLoss,
    config: TrainingConfig,
    run: RunDirectory,
    validator: Validator | None = None,
    interpolate: float = 1.0,
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
        validator: Judges what is kept of each epoch.
        interpolate: α of what is kept, start + α · (trained − start); with ``ema`` the average stands for the trained
            weights.

    Returns:
        The best epoch by mean accuracy over the classes, the first of equals; None without a validation. The model
        itself has what is kept of the last epoch.

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
    sampler = build_sampler(
        config.sampler,
        images.labels,
        epochs=epochs,
        beta=config.beta,
        deferred=config.deferred or 0.0,
        seed=config.seed,
    )
    resumed = _read_resume(run)
    loop = _Loop(model, loss, config, steps, resumed, interpolate)
    if resumed:
        model.load_state_dict(resumed["model"])
        run.log(f"{run.path.name}: resumed after step {loop.start} of {steps}")
    loop.train()  # which Lightning leaves to us
    judge = None if validator is None else partial(validator, device=device, precision=precision)
    keeper = Keeper(run, loop, an_epoch, judge, resumed)
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
        with progress(f"train {run.path.name}", steps) as keeper.advance, depthwise_in_float32(model):
            keeper.advance(loop.start)
            trainer.fit(loop, images.loader(batches, pin_memory=device.type == "cuda"))
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
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
    }


def _read_resume(run: RunDirectory) -> Mapping[str, Any]:
    """The state that :class:`finetune.training.callbacks.Keeper` saved last; empty where there is none."""
    path = run.checkpoints / "resume.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else {}


class _Loop(pl.LightningModule):
    """One step: augment, normalise, classify, loss."""

    def __init__(
        self,
        model: ImageClassifier,
        loss: LongTailLoss,
        config: TrainingConfig,
        steps: int,
        resumed: Mapping[str, Any],
        interpolate: float,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.config, self.steps = model, loss, config, steps
        self.start, self.optimizer_state = resumed.get("step", 0), resumed.get("optimizer")
        self.frozen = freeze(model, config.freeze)
        self.pull = PullToStart(model, config.l2_sp) if config.l2_sp else None
        self.average = WeightAverage(model, config.ema, resumed.get("average")) if config.ema else None
        self.between = Interpolation(model, interpolate, resumed.get("start")) if interpolate < 1 else None
        self.augment, self.mixing = augmentation(config.augment), config.mixing
        self.generator = torch.Generator()
        self.preprocessing = model.backbone.preprocessing

    @property
    def step(self) -> int:
        """Steps that are done, those before a resume included."""
        return self.start + self.global_step

    def train(self, mode: bool = True) -> _Loop:
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
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
        if world_size() > 1 and self.device.type == "cuda" and self.config.batch_norm == "train":
            # Not Lightning's, which loses the activation that timm keeps in its normalisation layers.
            convert_sync_batchnorm(self.model)
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
        """What is kept, on the CPU: the weights or their average, or what lies between the start and these."""
        if self.average is not None:
            kept = self.average.state()
        else:
            kept = {name: value.cpu() for name, value in self.model.state_dict().items()}
        return kept if self.between is None else self.between(kept)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What a resumed training needs."""
        state: dict[str, Any] = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        if self.average is not None:
            state["average"] = self.average.state()
        if self.between is not None:
            state["start"] = self.between.start
        return state


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
