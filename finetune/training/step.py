"""One step of a training: augment, normalise, classify, loss; and the weights that are kept after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from features.decoding import ImageBatch
from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank, world_size
from finetune.augmentation import augmentation
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier
from finetune.shared_options import TrainingConfig
from finetune.training.batches import batches_of
from finetune.training.co_training import CoTraining
from finetune.training.optimizer import Interpolation, PullToStart, WeightAverage, build_optimizer, freeze, rate

#: Share of the steps for which a training with ``small_size`` stays at it.
SMALL_SHARE = 2 / 3
#: What each further batch of a step adds to its seed.
PART_SEED = 2**40


class TrainingStep(pl.LightningModule):
    """What Lightning trains.

    What a step augments and drops out follows from (seed, step, its batch, process) alone, so that a resumed training
    draws what an uninterrupted one does. The arguments are those of :func:`finetune.training.engine.train`, with the
    ``steps`` of the whole training, the state ``resumed`` that :meth:`state` gave, empty for a new training, α of
    :class:`finetune.training.optimizer.Interpolation`, and the head of the images to co-train on.
    """

    def __init__(
        self,
        model: ImageClassifier,
        loss: LongTailLoss,
        config: TrainingConfig,
        steps: int,
        resumed: Mapping[str, Any],
        interpolate: float,
        co_training: CoTraining | None = None,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.config, self.steps = model, loss, config, steps
        self.co_training = co_training
        self.start, self.optimizer_state = resumed.get("step", 0), resumed.get("optimizer")
        own = model.state_dict()
        for part in (resumed[name] for name in ("average", "start") if name in resumed):
            if unlike := [name for name in own if own[name].shape != part[name].shape]:
                raise ValueError(f"{unlike[0]} has another shape")
        self.frozen = freeze(model, config.freeze)
        self.pull = PullToStart(model, config.l2_sp) if config.l2_sp else None
        self.average = WeightAverage(model, config.ema, resumed.get("average")) if config.ema else None
        self.between = Interpolation(model, interpolate, resumed.get("start")) if interpolate < 1 else None
        self.augment, self.mixing = augmentation(config.augment), config.mixing
        self.generator = torch.Generator()
        self.preprocessing = model.backbone.preprocessing
        if resumed:
            model.load_state_dict(resumed["model"])
            if co_training is not None:
                co_training.classifier.head.load_state_dict(resumed["co_trained_head"])
        self.train()  # Lightning leaves the mode of a module as it finds it

    @property
    def step(self) -> int:
        """Steps that are done, those before a resume included."""
        return self.start + self.global_step

    def train(self, mode: bool = True) -> TrainingStep:
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        for layer in self.frozen:
            layer.eval()  # its statistics of batch normalisation are frozen too
        return self

    def training_step(self, batch: ImageBatch | tuple[ImageBatch, ...], index: int) -> Tensor:
        own, *beside = batches_of(batch)
        part = index % self.config.accumulate_grad_batches
        self._seed(self.config.seed * 1_000_003 + self.step + 1_000_000_007 * rank() + PART_SEED * part)
        images, target = self._inputs(own), own.labels
        if self.mixing:
            images, target = self.mixing(images, target, len(self.model.classes), self.generator)
        self.loss.set_progress(self.step / self.steps)
        loss = self.loss(self.model(images), target)
        if self.co_training is not None:
            # After the target's, so that the target is augmented as without it.
            loss = loss + self.co_training(self._inputs(beside[0]), beside[0].labels)
        return loss if self.pull is None else loss + self.pull()

    def _inputs(self, batch: ImageBatch) -> Tensor:
        """The augmented, normalised images (B, 3, S, S) of a batch of frames."""
        if not len(batch.labels):
            id_, reason = batch.unreadable[0]
            raise InputError(f"a whole batch of images cannot be read; the first is {id_} ({reason})")
        pixels, size = batch.values, self.preprocessing.image_size
        if self.config.small_size is not None and self.step < SMALL_SHARE * self.steps:
            pixels, size = _shrunk(pixels, self.config.small_size / size), self.config.small_size
        pixels = self.augment(pixels, size, self.generator)
        return self.preprocessing.normalize(pixels).contiguous(memory_format=torch.channels_last)

    def _seed(self, seed: int) -> None:
        """Seed what a step draws from: its own generator, and for dropout PyTorch's global ones."""
        self.generator.manual_seed(seed)
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def transfer_batch_to_device(
        self, batch: ImageBatch | tuple[ImageBatch, ...], device: torch.device, _: int
    ) -> ImageBatch | tuple[ImageBatch, ...]:
        return tuple(part.to(device) for part in batch) if isinstance(batch, tuple) else batch.to(device)

    def configure_model(self) -> None:
        if world_size() > 1 and self.device.type == "cuda" and self.config.batch_norm == "train":
            # Lightning's own conversion loses the activation that timm keeps in its normalisation layers.
            convert_sync_batchnorm(self.model)
        self.model.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> Any:
        heads = [] if self.co_training is None else [self.co_training.classifier.head]
        optimizer = build_optimizer(self.model, self.config, *heads)
        if self.optimizer_state is not None:
            _load(optimizer, self.optimizer_state)

        def share(done: int) -> float:
            return rate(self.start + done, self.steps, self.config)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def weights(self) -> dict[str, Tensor]:
        """The weights that are kept, on the CPU: the trained ones or their average, or between the start and these."""
        if self.average is not None:
            kept = self.average.state()
        else:
            kept = {name: value.cpu() for name, value in self.model.state_dict().items()}
        return kept if self.between is None else self.between(kept)

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What a resumed training needs, besides the figures of its epochs."""
        state: dict[str, Any] = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        if self.co_training is not None:
            state["co_trained_head"] = self.co_training.classifier.head.state_dict()
        if self.average is not None:
            state["average"] = self.average.state()
        if self.between is not None:
            state["start"] = self.between.start
        return state


def _load(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over the state of an optimizer; raises ``InputError`` if it is that of other parameters."""
    try:
        optimizer.load_state_dict(state)
        kept = ((mine, value) for mine, values in optimizer.state.items() for value in values.values())
        alike = all(value.shape == mine.shape for mine, value in kept if isinstance(value, Tensor) and value.ndim)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        alike = False
    if not alike:
        raise InputError("resume.ckpt: its state of the optimizer does not fit the network; delete it to train anew")


def _shrunk(pixels: Tensor, share: float) -> Tensor:
    """Frames (B, 3, R, R) uint8, resized to a share of their side."""
    side = max(1, round(pixels.shape[-1] * share))
    return F.interpolate(pixels.float(), side, mode="bilinear", antialias=True).round().to(torch.uint8)
