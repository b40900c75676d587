"""Images that a training does not see and is judged by while it runs: never those of the test."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from features.dataset import ImageDataset
from features.decoding import in_order, pixel_batches
from features.image_sources import ChainedImages, FileImages
from features.infrastructure.devices import autocast
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, share
from features.readers import open_dataset
from finetune.classifiers import balanced_split
from finetune.configuration import TrainingConfig
from finetune.evaluation.evaluator import align_classes
from finetune.evaluation.metrics import Metrics, evaluate_predictions
from finetune.evaluation.predictions import Predictions
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier, as_scores
from finetune.run_directory import open_run


@dataclass(frozen=True)
class Split:
    """What a training learns from, and what it is judged by.

    Attributes:
        training: The images to learn from.
        validation: The images to judge by, of the same classes in the same order; None for none.
    """

    training: ImageDataset
    validation: ImageDataset | None


def split_off(
    dataset: ImageDataset, validation: int | str | None, seed: int, test: ImageDataset | None = None
) -> Split:
    """Hold images out of a training, or take those of another dataset.

    Args:
        dataset: The training images.
        validation: None; a number: so many images of each class are held out; or a dataset spec.
        seed: Which ones are held out.
        test: The images that the model is evaluated on in the end.

    Raises:
        InputError: A class has too few images, or the other dataset does not fit: see :func:`open_validation`.
    """
    if validation is None:
        return Split(dataset, None)
    if isinstance(validation, int):
        try:
            kept, held = balanced_split(dataset.labels, validation, seed, dataset.classes)
        except InputError as error:
            raise InputError(f"--validation {validation}: {error}") from error
        name = f"{validation} images a class held out of {dataset.spec}"
        return Split(dataset.take(kept, f"{dataset.spec} less {name}"), dataset.take(held, name))
    return Split(dataset, open_validation(validation, dataset, test))


def open_validation(spec: str, training: ImageDataset, test: ImageDataset | None = None) -> ImageDataset:
    """Images to judge a training by, labelled as its own; some of its classes may have none.

    Raises:
        InputError: There is a class that the training lacks, or an image that is also one of the training's or the
            test's.
    """
    other = open_dataset(spec)
    position = align_classes(other, training.classes)
    mine = _images_of(other)
    for use, dataset in (("training", training), ("test", test)):
        shared = 0 if dataset is None else len(mine & _images_of(dataset))
        if shared:
            raise InputError(
                f"--validation {spec}: {shared} of its {len(other)} images are {use} images too; give images that are "
                f"neither trained on nor tested on"
            )
    return replace(other, classes=training.classes, labels=position[other.labels])


def check_validation(config: TrainingConfig, dataset: ImageDataset) -> ImageDataset | None:
    """The images of a validation that is named by its spec, else None: refused here, before any work is done."""
    if not isinstance(config.validation, str):
        return None
    return open_validation(config.validation, dataset, open_dataset(config.test) if config.test else None)


def held_out_of(location: str, dataset: ImageDataset, per_class: int) -> ImageDataset:
    """The images that a finished run with ``--validation N`` held out of this dataset.

    Args:
        location: The run directory.
        dataset: The training images that it was given.
        per_class: N.

    Raises:
        InputError: There is no run, or it was trained on other images.
    """
    run = open_run(location)
    trained = run["config"].get("validation"), run["environment"]["inputs"].get("training data")
    if trained != (per_class, dataset.manifest_sha256):
        if isinstance(trained[0], int) and trained[1] == dataset.manifest_sha256:
            raise InputError(
                f"--validation {per_class}: {location} was trained with --validation {trained[0]}; give that"
            )
        raise InputError(
            f"--validation {per_class}: {location} was not trained on {dataset.spec} with it, so that it may have seen "
            f"any of these images; give the spec of a dataset"
        )
    before = run["config"].get("init") or run["config"].get("backbone") or ""
    while (Path(before) / "config.yaml").is_file():
        earlier = open_run(before)
        if earlier["environment"]["inputs"].get("training data") == dataset.manifest_sha256:
            raise InputError(
                f"--validation {per_class}: {location} starts from {before}, which was trained on all of "
                f"{dataset.spec}; give the spec of a dataset"
            )
        before = earlier["config"].get("init") or earlier["config"].get("backbone") or ""
    held = split_off(dataset, per_class, run["config"]["seed"]).validation
    assert held is not None  # for a number was given
    return held


def _images_of(dataset: ImageDataset) -> set[str]:
    """What tells each image from all others: its file, or where it has none its name in its dataset and split."""
    parts = dataset.source.sources if isinstance(dataset.source, ChainedImages) else [dataset.source]
    specs = dataset.spec.split(" + ") if len(parts) > 1 else [dataset.spec]
    found: set[str] = set()
    start = 0
    for part, spec in zip(parts, specs if len(specs) == len(parts) else [dataset.spec] * len(parts), strict=True):
        ids, start = dataset.ids[start : start + len(part)], start + len(part)
        if isinstance(part, FileImages):
            root = os.path.realpath(part.root)
            found.update(os.path.join(root, path) for path in part.paths)
        else:
            found.update(f"{spec.partition('?')[0]} {id_}" for id_ in ids)
    return found


class Validator:
    """Judges a model by the mean accuracy over the classes, the images decoded once.

    Of several processes each judges its share of the images.

    Args:
        dataset: The images.
        model: Its input transform and its classes.
        loss: How its logits become scores.
        batch_size: Images a pass.
        workers: Decoding processes; None for one a core.

    Attributes:
        unreadable: Images that count nowhere, as (id, reason).

    Raises:
        InputError: No image can be read.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        model: ImageClassifier,
        loss: LongTailLoss,
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self.loss, self.preprocessing = loss, model.backbone.preprocessing
        batches = in_order(share(range(len(dataset))), batch_size)
        decoded = list(pixel_batches(dataset, self.preprocessing, batches, workers))
        self.batches = [batch for batch in decoded if len(batch.labels)]
        every = gather(([one for batch in decoded for one in batch.unreadable], bool(self.batches)))
        self.unreadable = [one for unreadable, _ in every for one in unreadable]
        if not any(readable for _, readable in every):
            raise InputError(f"--validation {dataset.spec}: no image can be read")

    @torch.inference_mode()
    def __call__(
        self, model: ImageClassifier, state: dict[str, Tensor], device: torch.device, precision: str
    ) -> Metrics:
        """The figures of a model with these weights; the model itself is left as it is."""
        judged = copy.deepcopy(model)
        judged.load_state_dict(state)
        judged.to(device).to(memory_format=torch.channels_last).eval()
        found: list[Predictions] = []
        for batch in self.batches:
            images = self.preprocessing.normalize(batch.pixels.to(device)).contiguous(memory_format=torch.channels_last)
            with autocast(device, precision):
                logits = judged(images)
            scores = as_scores(logits.float() * self.loss.scale, self.loss.sigmoid).cpu().numpy()
            found.append(Predictions.of(scores, batch.labels.numpy()))
        every = [part for of_process in gather(found) for part in of_process]
        return evaluate_predictions(Predictions.concatenate(every), len(model.classes))
