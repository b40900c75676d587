"""The training loop: what Lightning is told, and how a training starts, resumes and ends.

A step is in :mod:`finetune.training.step`, what follows it in :mod:`finetune.training.callbacks`, and what it resumes
from in :mod:`finetune.training.state`.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from features.backbones.loading import seeded
from features.infrastructure.console import progress
from features.infrastructure.devices import job_precision, pick_device
from features.infrastructure.errors import InputError
from features.infrastructure.interruptions import StopRequest, deferred
from features.infrastructure.processes import from_first, join_job, local_world_size, rank, require_same, world_size
from features.infrastructure.stage_clock import FORWARD, LOSS, UNPROFILED, Stages
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.samplers import ClassSampler, EpochSampler, ShuffleSampler, build_sampler
from finetune.shared_options import TrainingConfig
from finetune.training import state
from finetune.training.batches import EpochBatches, PairedLoader, TrainingImages, batches_an_epoch
from finetune.training.callbacks import Best, TrainingCallback
from finetune.training.co_training import CoTraining
from finetune.training.compiling import compiled
from finetune.training.depthwise import depthwise_in_float32
from finetune.training.extras import Extras
from finetune.training.lightning_parts import build_callbacks, build_logger
from finetune.training.loop_profiler import loop_profiler
from finetune.training.step import TrainingStep
from finetune.training.validation import Validator

#: What is added to the seed for the head and the order of the images to co-train on.
SOURCE_SEED = 2**32
#: Warnings of Lightning about what is done here on purpose.
_EXPECTED_WARNINGS = (
    ".*in eval mode at the start.*",  # frozen layers, and frozen statistics of batch normalisation
    ".*does not have many workers.*",  # images that are decoded already need no workers
    ".*LeafSpec.*",  # Lightning calls a deprecated function of PyTorch
    ".*log_every_n_steps.*",  # the history is logged after each epoch, however few steps it has
)


def train(
    model: ImageClassifier,
    images: TrainingImages,
    loss: LongTailLoss,
    config: TrainingConfig,
    run: RunDirectory,
    validator: Validator | None = None,
    extras: Extras | None = None,
    stages: Stages = UNPROFILED,
) -> Best | None:
    """Train a model in place; it ends with the weights that are kept of the last epoch.

    A run that was killed resumes from its last state, also in the middle of an epoch, and ends with the weights of an
    uninterrupted one: what a step reads, augments and drops out follows from (seed, step). Lightning sees one pass over
    the steps that are left; its own restart logic has no part in it. Under torchrun each process takes its share of
    every batch. On CUDA the statistics of batch normalisation are those of the whole batch; elsewhere those of the
    first process's share are kept. PyTorch's global random generators are restored at the end.

    The history and the resumable state are written to ``run``, ``validator`` judges the weights that are kept of each
    epoch, and ``stages`` measure the loop.

    Returns:
        The best epoch by mean accuracy over the classes, the first of equals; None without a validation.

    Raises:
        InputError: The loss became NaN or infinite, memory ran out, a whole batch cannot be read, or a batch cannot be
            shared out among the processes.
        Interrupted: A signal such as Ctrl-C asked the process to stop, and the state is written after the step.
    """
    device = pick_device(config.device)
    require_same("the processes of this job", {"device": device.type}, "give a `device` that every machine has")
    precision = job_precision(config.precision, device)
    parts = config.accumulate_grad_batches
    an_epoch = batches_an_epoch(len(images.labels), config.images_per_step)
    steps = config.steps or (config.epochs or 0) * an_epoch
    extras = extras or Extras()
    resumed = from_first(lambda: state.read_resume(run.checkpoints))
    source, co_training = None, None
    if extras.co_training is not None:
        source = TrainingImages(extras.co_training.dataset, model.backbone.preprocessing, config.workers, stages)
        run.log_unreadable(source.unreadable)
        classes = source.dataset.classes
        run.log(f"{run.path.name}: co-trained on {len(source.labels)} images of {len(classes)} source classes")
        with seeded(config.seed + SOURCE_SEED):
            co_training = CoTraining(ImageClassifier(model.backbone, classes), extras.co_training.weight)
    if resumed.get("step", 0) > steps:
        raise InputError(f"`out` {run.path}: is at step {resumed['step']} of {steps}; name another directory")
    others = build_callbacks(config.callbacks)
    with state.fitting(run.checkpoints) if resumed else nullcontext():
        step = TrainingStep(model, loss, config, steps, resumed, extras.interpolate, co_training)
        callback = TrainingCallback(run, step, an_epoch, validator, precision, resumed, others, stages)
    if resumed:
        run.log(f"{run.path.name}: resumed after step {step.start} of {steps}")
    logger = None if config.logger is None else build_logger(config.logger, config.logger_options, run.path)
    pinned = device.type == "cuda"
    sampler = _sampler(images, config, extras, math.ceil(steps / an_epoch))
    loader: Any = images.loader(EpochBatches(sampler, config.images_per_step, steps, step.start, parts), pinned)
    if source is not None:
        shuffled = ShuffleSampler(len(source.labels), seed=config.seed + SOURCE_SEED)
        batches = EpochBatches(shuffled, config.images_per_step, steps, step.start, parts, "images of `with_`")
        loader = PairedLoader(loader, source.loader(batches, pinned))
    measured = [(model, FORWARD), (loss, LOSS), *([] if co_training is None else [(co_training.classifier, FORWARD)])]
    with (
        _lightning_quiet(),
        _generators_restored(device),
        depthwise_in_float32(model),
        deferred() as callback.request,
        _failures_named(device, config, callback.request),
        ExitStack() as watched,
    ):
        network = model.backbone.network
        compiling = compiled(network, device, run.log) if config.compile else nullcontext()
        for module, stage in measured:
            watched.enter_context(stages.watched(module, stage))
        # Ours comes last, so that what it writes has the state of the others after the step.
        trainer = _trainer(device, precision, config, *others, callback, logger=logger, profiler=loop_profiler(stages))
        if logger is not None and rank() == 0:
            logger.log_hyperparams(asdict(config))
        with compiling, progress(f"train {run.path.name}", steps) as callback.advance:
            callback.advance(step.start)
            trainer.fit(step, loader)
    model.cpu().eval()
    model.load_state_dict(step.weights())
    return callback.best_epoch()


def _sampler(images: TrainingImages, config: TrainingConfig, extras: Extras, epochs: int) -> EpochSampler:
    """What draws the images: classes by given probabilities, or the sampler that the options name."""
    if extras.probabilities is not None:
        probabilities = extras.probabilities(images.counts)
        return ClassSampler(images.labels, q=lambda _: probabilities, seed=config.seed)
    options: dict[str, Any] = {"beta": config.beta, "deferred": config.deferred or 0.0, "seed": config.seed}
    return build_sampler(config.sampler, images.labels, epochs=epochs, **options)


class _Launched(TorchElasticEnvironment):
    """A job that a launcher has started; its machines may have different numbers of processes."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Accept what Lightning assumes of the other machines, because the ranks come from the launcher."""


def _trainer(
    device: torch.device,
    precision: str,
    config: TrainingConfig,
    *callbacks: pl.Callback,
    logger: Logger | None,
    profiler: Profiler | None = None,
) -> pl.Trainer:
    """Lightning's trainer for one pass over the steps; it saves and shows nothing itself."""
    placement: dict[str, Any] = {"devices": 1 if device.index is None else [device.index]}
    if world_size() > 1:
        join_job()  # or Lightning would make a group that nobody destroys
        strategy = "ddp" if config.strategy == "auto" else config.strategy
        nodes = math.ceil(world_size() / local_world_size())
        placement = {"strategy": strategy, "devices": local_world_size(), "num_nodes": nodes, "plugins": _Launched()}
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        **placement,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_epochs=1,
        logger=logger or False,
        profiler=profiler,
        gradient_clip_val=config.gradient_clip_val or None,
        accumulate_grad_batches=config.accumulate_grad_batches,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )


@contextmanager
def _failures_named(device: torch.device, config: TrainingConfig, request: StopRequest) -> Iterator[None]:
    """Raise ``InputError`` when memory runs out or the compiler fails, and Interrupted when a signal has come."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if rank():
            request.answer()  # the first process has stopped, and this one has waited for its part of a step
        if config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"`compile`: the network cannot be compiled ({reason}); leave it out") from error
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise InputError(
            f"out of memory on {device} with `batch_size` {config.batch_size}; "
            f"try `batch_size` {config.batch_size // 2} with `accumulate_grad_batches` "
            f"{2 * config.accumulate_grad_batches}"
        ) from error
    except MisconfigurationException as error:  # what a callback or a strategy needs and does not find
        raise InputError(f"Lightning refuses the training: {str(error).partition('. ')[0]}") from error
    except SystemExit as error:
        # Lightning answers an interruption by ending the process.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise error.__context__ from None


@contextmanager
def _generators_restored(device: torch.device) -> Iterator[None]:
    """Restore PyTorch's global random generators, which every step seeds."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        on_mps = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if on_mps is not None:
                torch.mps.set_rng_state(on_mps)


@contextmanager
def _lightning_quiet() -> Iterator[None]:
    """Silence Lightning's notes on the hardware, its advertisements and :data:`_EXPECTED_WARNINGS`."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        for text in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", text)
        logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            logger.setLevel(level)
