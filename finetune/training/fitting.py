"""From a backbone and labelled images to a finished run: what the three trainers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from features.backbones.loading import Backbone, check_image_size, seeded
from features.dataset import ImageDataset
from features.infrastructure.devices import pick_device
from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank, wait_for_all, world_size
from features.infrastructure.profiling import profiled
from features.infrastructure.stage_clock import EVALUATION, SAVE, START, UNPROFILED, VALIDATION, Stages
from features.infrastructure.storage.addresses import on_disk
from features.readers import open_dataset
from finetune.evaluation.class_matching import align_classes
from finetune.evaluation.evaluator import evaluate_model
from finetune.losses import automatic_beta, prior_bias
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory, open_run
from finetune.samplers import find_sampler
from finetune.shared_options import TrainingOptions, training_config
from finetune.shared_options.option_groups import RunOptions
from finetune.training.batches import TrainingImages
from finetune.training.extras import Extras
from finetune.training.held_out import Split, split_off
from finetune.training.validation import Validator, require_apart

if TYPE_CHECKING:
    from finetune.training.callbacks import Best

#: Without a test set, at most this many training images are evaluated at the end.
JUDGED = 2000
#: The loss of a training that has learned nearly all it can wanders by less than this, and that of a training of fewer
#: steps than these wanders by more.
_NOISE, _STEPS = 0.1, 20


@dataclass(frozen=True)
class TrainingResult:
    """A finished run.

    Attributes:
        run: Its directory.
        metrics: Its final figures.
        reused: Whether it was finished before.
        targets: Dataset specs of the targets that its source classes, or their weights, were chosen for.
    """

    run: Path
    metrics: dict[str, Any]
    reused: bool
    targets: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"run": str(self.run), "reused": self.reused, **self.metrics}


#: A model at the end of its training, what its checkpoint states, and its best epoch if there was a validation.
Trained = tuple[ImageClassifier, dict[str, Any], "Best | None"]


def fit(
    backbone: Backbone,
    dataset: ImageDataset,
    config: TrainingOptions,
    extras: Extras | None = None,
    chosen: Sequence[str] = (),
) -> TrainingResult:
    """Train a network, evaluate it, and write the run directory.

    The backbone is changed in place, ``config`` is complete, and ``chosen`` are sentences for the log that say which
    defaults it took. Without ``extras`` the classifier is a new one. Raises ``InputError`` if ``config.out`` holds
    another run, the test set has other classes, or there is only one class.
    """
    extras = extras or Extras()
    small, size = config.small_size, backbone.preprocessing.image_size
    if small is not None:
        if small >= size:
            raise InputError(f"`small_size` {small}: expected less than the image size, {size}")
        check_image_size(backbone, small, "`small_size`")
    out = on_disk(config.out, "`out`")
    with profiled(config.profile, config.device, out, out / "profile.csv", out / "trace.json") as stages:
        train = partial(_train, backbone, config, extras, chosen, stages)
        return carry_out(backbone, dataset, config, train, extras, config.validation, stages)


def carry_out(
    backbone: Backbone,
    dataset: ImageDataset,
    config: RunOptions,
    train: Callable[[Split, RunDirectory], Trained],
    extras: Extras,
    validation: int | str | None = None,
    stages: Stages = UNPROFILED,
) -> TrainingResult:
    """Do what every run does around its training: check, reuse or resume, evaluate, and write.

    ``train`` takes a split of the images by ``validation``, and the run to log to; ``stages`` measure the evaluation
    and what is saved. The other arguments and the errors are those of :func:`fit`.
    """
    if config.batch_size % world_size():
        raise InputError(
            f"`batch_size` {config.batch_size}: cannot be divided evenly among {world_size()} processes; "
            f"give a multiple of {world_size()}"
        )
    if len(dataset.classes) < 2:
        raise InputError(f"{dataset.spec}: training needs at least 2 classes, and there is only {dataset.classes[0]!r}")
    pick_device(config.device)  # a device that is missing is refused before any work
    inputs = {
        "training data": dataset.manifest_sha256,
        "initial weights": backbone.weights_sha256(),
        **extras.inputs,
    }
    test, split = judging_images(dataset, config, extras, validation)
    if test is not None:
        inputs["test data"] = test.manifest_sha256
    if split.validation is not None:
        inputs["validation data"] = split.validation.manifest_sha256
    source = None if extras.co_training is None else extras.co_training.dataset
    read = [one for one in (dataset, test, split.validation, source) if one is not None]
    modified = max(one.source.modified() for one in read)
    run = RunDirectory(config.out, config, inputs, config.unread(), modified)
    if run.metrics is not None:
        run.log(f"{run.path}: already finished, reused")
        return TrainingResult(run.path, run.metrics, reused=True)
    with run.held():
        model, card, best = train(split, run)
        counts = card["train_counts"]
        card |= {"balanced_by": config.balanced_by(), "classifier_counts": counts, **extras.card}
        counts = np.asarray(counts) + (dataset.counts - split.training.counts)  # groups count held-out images too
        card["train_counts"] = (counts if extras.seen is None else np.maximum(counts, extras.seen)).tolist()
        last = {name: value.clone() for name, value in model.state_dict().items()}
        if best is not None:
            model.load_state_dict(best.state)
        judged_on, judged = ("validation", split.validation) if test is None else ("test", test)
        if judged is None:
            judged_on, judged = "training", _sample(split.training)
        with stages.stage(EVALUATION):
            found = evaluate_model(model, judged, card, config)
        final: dict[str, Any] = {
            "evaluated_on": judged.spec,
            "evaluated_on_sha256": judged.manifest_sha256,
            "judged_on": judged_on,
        }
        final |= found.to_json()
        if card.get("fit"):
            final["fit"] = card["fit"]
        if best is not None:
            final["validation"] = {"epoch": best.epoch, **best.metrics}
        if rank() == 0:
            with stages.stage(SAVE):
                model.save(
                    run.checkpoints / f"{'last' if best is None else 'best'}.safetensors", card | {"metrics": final}
                )
                if best is not None:  # after the best one, which is the run's model
                    model.load_state_dict(last)
                    model.save(run.checkpoints / "last.safetensors", card)
                found.write_per_class(run.path / "per_class.csv", {"evaluated_on": judged.spec})
                found.write_predictions(run.path / "predictions.csv", {"evaluated_on": judged.spec})
                run.finish(final)
        wait_for_all()
    metrics = found.metrics
    if best is not None:
        run.log(f"{run.path.name}: epoch {best.epoch} is kept, the best by the validation")
    drawn = ", all classes alike, also those that were hardly drawn" if getattr(config, "class_weights", None) else ""
    run.log(f"{run.path.name}: top-1 {metrics.top1:.4f} on {metrics.images} images of {final['evaluated_on']}{drawn}")
    return TrainingResult(run.path, final, reused=False)


def judging_images(
    dataset: ImageDataset, config: RunOptions, extras: Extras, validation: int | str | None
) -> tuple[ImageDataset | None, Split]:
    """The test images of a run, and its images split by ``validation``.

    Raises ``InputError`` if the test has other classes, or as :func:`split_off`, or if images to co-train on are among
    those that judge.
    """
    test = open_dataset(config.test) if config.test else None
    if test is not None:
        align_classes(test, dataset.classes, dataset.numbers)
    split = split_off(dataset, validation, config.seed, test, extras.start)
    if extras.co_training is not None:
        advice = "leave their classes out of the subset, or exclude the images"
        require_apart(extras.co_training.dataset, "`with_`", advice, test=test, validation=split.validation)
    return test, split


def _train(
    backbone: Backbone,
    options: TrainingOptions,
    extras: Extras,
    chosen: Sequence[str],
    stages: Stages,
    split: Split,
    run: RunDirectory,
) -> Trained:
    """Train a network on the images of a split."""
    with stages.stage(START):
        from finetune.training.engine import train  # Lightning takes seconds to import: only where it is used

    dataset, config = split.training, training_config(options)
    images = TrainingImages(dataset, backbone.preprocessing, config.workers, stages)
    loss = config.loss_row.build(images.counts, config, dataset.classes)
    with stages.stage(START):
        started = None if extras.classifier is None else extras.classifier(dataset)
    with seeded(config.seed):
        model = ImageClassifier(backbone, dataset.classes, "cosine" if loss.cosine_classifier else "linear")
    if loss.sigmoid and model.head.bias is not None:
        nn.init.constant_(model.head.bias, prior_bias(len(dataset.classes)))
    if started is not None:
        started.into(model.head)
    validator = None
    if split.validation is not None:
        with stages.stage(VALIDATION):
            validator = Validator(split.validation, model, loss, config.batch_size, config.workers)
    run.log_unreadable((*images.unreadable, *(validator.unreadable if validator else ())))
    name = run.path.name
    for sentence in chosen:
        run.log(f"{name}: {sentence}", f"{type(options).__name__}: {sentence}")
    run.log(f"{name}: {len(images.labels)} images, {len(dataset.classes)} classes, {options.summary()}")
    if config.beta == "auto" and hasattr(loss, "weight"):
        run.log(f"{name}: β = {automatic_beta(images.counts):.6g}")
    if loss.deferred:
        run.log(f"{name}: class weights count after {loss.deferred:.0%} of the steps; expect a jump of the loss")
    if twice := options.balanced_twice():
        run.log(f"{name}: {twice}")
    best = train(model, images, loss, config, run, validator, extras, stages)
    moves = (
        loss.deferred or config.deferred or "epochs" in find_sampler(config.sampler).options
    )  # the loss itself changes
    if rank() == 0 and not moves:
        _warn_if_lost(run, chance=math.log(len(dataset.classes)))
    return model, checkpoint_card(dataset, images.counts, loss.sigmoid, loss.scale), best


def _warn_if_lost(run: RunDirectory, chance: float) -> None:
    """Log a loss that ended well above its first epoch: finite, but diverged.

    A training of few steps is only called so if it ended above the loss of guessing, ``chance``.
    """
    history = open_run(run.path)["history"]
    first, last = (history[place]["train_loss"] for place in (0, -1))
    if last > first + _NOISE and (history[-1]["step"] >= _STEPS or last > chance):
        run.log(
            f"{run.path.name}: the training loss ended at {last:.3g}, above the {first:.3g} of the first epoch: the "
            f"training diverged; give a smaller learning rate (`lr`, in a recipe lr)"
        )


def checkpoint_card(dataset: ImageDataset, counts: NDArray[np.int64], sigmoid: bool, scale: float) -> dict[str, Any]:
    """What a checkpoint states of a classifier beside the network; ``counts`` (C,) are the training images read."""
    card = {"sigmoid": sigmoid, "scale": scale, "train_counts": counts.tolist(), "data": dataset.spec}
    return card if dataset.numbers is None else card | {"class_numbers": list(dataset.numbers)}


def _sample(dataset: ImageDataset) -> ImageDataset:
    """At most :data:`JUDGED` of the training images: without images that were held out, a rough figure is enough."""
    if len(dataset) <= JUDGED:
        return dataset
    drawn = np.sort(np.random.default_rng(0).permutation(len(dataset))[:JUDGED])
    return dataset.take(drawn, f"{JUDGED} training images of {dataset.spec}")
