"""From a backbone and labelled images to a finished run: what pre-training and fine-tuning share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from features.backbones.loading import Backbone, check_image_size
from features.dataset import ImageDataset
from features.infrastructure.devices import pick_device
from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank, wait_for_all, world_size
from features.readers import open_dataset
from finetune.classifiers.second_stage import FrozenFit, TrainedClassifier
from finetune.configuration import TrainingConfig
from finetune.evaluation.evaluator import align_classes, evaluate_model
from finetune.losses import automatic_beta, build_loss, prior_bias
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory, open_run
from finetune.training.batches import TrainingImages
from finetune.training.validation import Split, Validator, split_off

if TYPE_CHECKING:
    from finetune.training.callbacks import Best

#: Without a test set, so many of the training images are evaluated at the end.
JUDGED = 2000


@dataclass(frozen=True)
class TrainingResult:
    """A finished run.

    Attributes:
        run: The run directory.
        metrics: Its final figures.
        reused: It was finished before.
    """

    run: Path
    metrics: dict[str, Any]
    reused: bool

    def to_json(self) -> dict[str, Any]:
        return {"run": str(self.run), "reused": self.reused, **self.metrics}


def fit(
    backbone: Backbone,
    dataset: ImageDataset,
    config: TrainingConfig,
    frozen: Callable[[], FrozenFit] | None = None,
    inputs: Mapping[str, str] | None = None,
    head: Callable[[ImageDataset], TrainedClassifier] | None = None,
    interpolate: float = 1.0,
    seen: NDArray[np.int64] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train a classifier on a backbone, evaluate it, and write the run directory.

    Args:
        backbone: Where to start from; changed in place.
        dataset: The training images.
        config: The options.
        frozen: What fits a classifier to the frozen features instead, as
            :func:`finetune.classifiers.second_stage.fit_frozen`.
        inputs: What else the run depends on, by name: hashes.
        head: The images that are trained on to the linear classifier to start from; by default a new one.
        interpolate: How far from the start to the trained weights lies what is kept, above 0 to 1.
        seen: (C,) images of each class that the start was trained on; many, medium and few go by the larger count.
        overrides: What the checkpoint says of the classifier instead of what this training would, by name.

    Raises:
        features.InputError: ``config.out`` holds another run, the test set has other classes, or there is
            only one class.
    """
    if config.batch_size % world_size():
        raise InputError(
            f"--batch-size {config.batch_size}: cannot be shared out evenly among {world_size()} processes; "
            f"give a multiple of {world_size()}"
        )
    if len(dataset.classes) < 2:
        raise InputError(f"{dataset.spec}: training needs at least 2 classes, and there is only {dataset.classes[0]!r}")
    pick_device(config.device)  # one that is not there is refused before any work
    if config.small_size is not None:
        _check_small_size(backbone, config.small_size)
    inputs = {
        "training data": dataset.manifest_sha256,
        "initial weights": backbone.weights_sha256(),
        **(inputs or {}),
    }
    test = open_dataset(config.test) if config.test else None
    if test is not None:
        align_classes(test, dataset.classes)
        inputs["test data"] = test.manifest_sha256
    split = split_off(dataset, config.validation if frozen is None else None, config.seed, test)
    if split.validation is not None:
        inputs["validation data"] = split.validation.manifest_sha256
    run = RunDirectory(config.out, config, inputs, config.without_effect())
    if run.metrics is not None:
        run.log(f"{run.path}: already finished, reused")
        return TrainingResult(run.path, run.metrics, reused=True)
    with run.held():
        best: Best | None = None
        if frozen is not None:
            model, card = _frozen_model(frozen, dataset, run)
        else:
            model, card, best = _trained_model(backbone, split, config, run, head, interpolate)
        card |= {"balanced_by": config.balanced_by(), "classifier_counts": card["train_counts"], **(overrides or {})}
        counts = card["train_counts"] + (dataset.counts - split.training.counts)  # many and few: held-out ones or not
        card["train_counts"] = (counts if seen is None else np.maximum(counts, seen)).tolist()
        last = {name: value.clone() for name, value in model.state_dict().items()}
        if best is not None:
            model.load_state_dict(best.state)
        judged = _sample(split.training) if test is None else test
        found = evaluate_model(model, judged, card, config)
        final = {"evaluated_on": judged.spec, "evaluated_on_sha256": judged.manifest_sha256, **found.to_json()}
        if card.get("fit"):
            final["fit"] = card["fit"]
        if best is not None:
            final["validation"] = {"epoch": best.epoch, **best.metrics}
        if rank() == 0:
            model.save(run.checkpoints / f"{'last' if best is None else 'best'}.safetensors", card | {"metrics": final})
            if best is not None:  # after the best one, which is the run's model
                model.load_state_dict(last)
                model.save(run.checkpoints / "last.safetensors", card)
            found.write_per_class(run.path / "per_class.csv", {"evaluated_on": judged.spec})
            run.finish(final)
        wait_for_all()
    metrics = found.metrics
    if best is not None:
        run.log(f"{run.path.name}: epoch {best.epoch} is kept, the best by the validation")
    run.log(f"{run.path.name}: top-1 {metrics.top1:.4f} on {metrics.images} images of {final['evaluated_on']}")
    return TrainingResult(run.path, final, reused=False)


def _check_small_size(backbone: Backbone, small: int) -> None:
    size = backbone.preprocessing.image_size
    if small >= size:
        raise InputError(f"--small-size {small}: expected less than the image size, {size}")
    check_image_size(backbone, small, "`small_size`")


def _trained_model(
    backbone: Backbone,
    split: Split,
    config: TrainingConfig,
    run: RunDirectory,
    head: Callable[[ImageDataset], TrainedClassifier] | None,
    interpolate: float,
) -> tuple[ImageClassifier, dict[str, Any], Best | None]:
    """A classifier trained on the images, what a checkpoint says of it, and its best epoch."""
    from finetune.training.engine import train  # Lightning takes seconds to import: only where it is used

    dataset = split.training
    images = TrainingImages(dataset, backbone.preprocessing, config.workers)
    loss = build_loss(
        config.loss,
        images.counts,
        beta=config.beta,
        gamma=config.gamma,
        tau=1.0 if config.tau is None else config.tau,
        normalization=config.normalization,
        margin=config.margin,
        scale=config.scale,
        deferred=config.deferred,
        classes=dataset.classes,
    )
    started = None if head is None else head(dataset)
    torch.manual_seed(config.seed)  # reading the images took random numbers, and how many depends on the way
    model = ImageClassifier(backbone, dataset.classes, "cosine" if loss.cosine_classifier else "linear")
    if loss.sigmoid and model.head.bias is not None:
        nn.init.constant_(model.head.bias, prior_bias(len(dataset.classes)))
    if started is not None:
        started.into(model)
    validator = None
    if split.validation is not None:
        validator = Validator(split.validation, model, loss, config.batch_size, config.workers)
    for id_, reason in (*images.unreadable, *(validator.unreadable if validator else ())):
        run.log(f"left out, unreadable: {id_} ({reason})")
    run.log(f"{run.path.name}: {len(images.labels)} images, {len(dataset.classes)} classes, {config.summary()}")
    if config.beta == "auto" and hasattr(loss, "weight"):
        run.log(f"{run.path.name}: β = {automatic_beta(images.counts):.6g}")
    if loss.deferred:
        run.log(f"{run.path.name}: class weights count after {loss.deferred:.0%} of the steps, which moves the loss")
    if config.balances_twice:
        run.log(f"{run.path.name}: loss and sampler both make up for the sizes of the classes: rare ones count twice")
    best = train(model, images, loss, config, run, validator, interpolate)
    moves = loss.deferred or config.deferred or config.sampler == "progressive"  # what the loss is taken over
    if rank() == 0 and not moves:
        _warn_if_lost(run)
    return model, _card(dataset, images.counts, loss.sigmoid, loss.scale), best


def _warn_if_lost(run: RunDirectory) -> None:
    """Say where the loss ended above its beginning: finite, but diverged."""
    losses = [epoch["train_loss"] for epoch in open_run(run.path)["history"]]
    if losses[-1] > losses[0]:
        run.log(
            f"{run.path.name}: the training loss ended at {losses[-1]:.3g}, above the {losses[0]:.3g} of the first "
            f"epoch: nothing was learned, or it was lost again; try a smaller --lr"
        )


def _frozen_model(
    frozen: Callable[[], FrozenFit], dataset: ImageDataset, run: RunDirectory
) -> tuple[ImageClassifier, dict[str, Any]]:
    """A classifier on the backbone as it is, and what a checkpoint says of it."""
    fitted = frozen()
    for id_, reason in fitted.unreadable:
        run.log(f"left out, unreadable: {id_} ({reason})")
    if fitted.said:
        run.log(f"{run.path.name}: {fitted.said}")
    return fitted.model, _card(dataset, dataset.counts, fitted.sigmoid, fitted.scale) | {"fit": fitted.said}


def _card(
    dataset: ImageDataset, counts: NDArray[np.int64], sigmoid: bool = False, scale: float = 1.0
) -> dict[str, Any]:
    return {"sigmoid": sigmoid, "scale": scale, "train_counts": counts.tolist(), "data": dataset.spec}


def _sample(dataset: ImageDataset) -> ImageDataset:
    """The training images themselves, or some of them: without a test set a rough figure is enough."""
    if len(dataset) <= JUDGED:
        return dataset
    drawn = np.sort(np.random.default_rng(0).permutation(len(dataset))[:JUDGED])
    return dataset.take(drawn, f"{JUDGED} training images of {dataset.spec}")
