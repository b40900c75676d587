"""Validation: images that judge a training while it runs; it never sees them, and the test does not use them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from features.address_images import AddressImages
from features.dataset import ImageDataset
from features.decoding import ImageBatch, in_order, pixel_batches
from features.image_sources import ChainedImages, FileImages
from features.infrastructure.devices import autocast
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, own_positions
from features.readers import open_dataset
from finetune.classifiers import balanced_split
from finetune.evaluation.class_matching import align_classes
from finetune.evaluation.metrics import Metrics, evaluate_predictions
from finetune.evaluation.predictions import Predictions
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier, as_scores
from finetune.run_directory import open_run
from finetune.training.batches import fit_in_memory


@dataclass(frozen=True)
class Split:
    """The training images, and the validation images of the same classes in the same order, or None."""

    training: ImageDataset
    validation: ImageDataset | None


def split_off(
    dataset: ImageDataset, validation: int | str | None, seed: int, test: ImageDataset | None = None
) -> Split:
    """Hold ``validation`` images of each class out of the training images, or open those of a dataset spec.

    ``seed`` is that of the draw, ``test`` the images of the final evaluation. Raises ``InputError`` if a class has too
    few images, or as :func:`open_validation`.
    """
    if validation is None:
        return Split(dataset, None)
    if isinstance(validation, int):
        try:
            kept, held = balanced_split(dataset.labels, validation, seed, dataset.classes)
        except InputError as error:
            raise InputError(f"`validation` {validation}: {error}") from error
        name = f"{validation} images a class held out of {dataset.spec}"
        return Split(dataset.take(kept, f"{dataset.spec} less {name}"), dataset.take(held, name))
    return Split(dataset, open_validation(validation, dataset, test))


def open_validation(spec: str, training: ImageDataset, test: ImageDataset | None = None) -> ImageDataset:
    """Open validation images and label them as the training images are; a class may have none.

    Raises ``InputError`` if a class is missing from the training, or an image is one of the training's or the test's.
    """
    other = open_dataset(spec)
    position = align_classes(other, training.classes, training.numbers)
    advice = "give images that are neither trained on nor tested on"
    require_apart(other, f"`validation` {spec}", advice, training=training, test=test)
    return replace(other, classes=training.classes, labels=position[other.labels], numbers=training.numbers)


def require_apart(images: ImageDataset, option: str, advice: str, **others: ImageDataset | None) -> None:
    """Raise ``InputError`` if an image that an option gives is one of the others', which go by their use."""
    mine = _images_of(images)
    for use, dataset in others.items():
        shared = 0 if dataset is None else len(mine & _images_of(dataset))
        if shared:
            raise InputError(f"{option}: {shared} of its {len(images)} images are {use} images too; {advice}")


def check_validation(validation: int | str | None, test: str | None, dataset: ImageDataset) -> ImageDataset | None:
    """The images of a `validation` that is a dataset spec, opened to refuse a wrong one early; else None."""
    if not isinstance(validation, str):
        return None
    return open_validation(validation, dataset, open_dataset(test) if test else None)


def held_out_of(location: str, dataset: ImageDataset, per_class: int) -> ImageDataset:
    """The images that a finished run with `validation` ``per_class`` held out of its training images.

    Raises:
        InputError: There is no run, it was given another dataset or number, or it starts from a run that was trained on
            the whole dataset.
    """
    run = open_run(location)
    trained = run["config"].get("validation"), run["environment"]["inputs"].get("training data")
    if trained != (per_class, dataset.manifest_sha256):
        if isinstance(trained[0], int) and trained[1] == dataset.manifest_sha256:
            raise InputError(
                f"`validation` {per_class}: {location} was trained with `validation` {trained[0]}; give that"
            )
        raise InputError(
            f"`validation` {per_class}: {location} was not trained on {dataset.spec} with it, so that it may have seen "
            f"any of these images; give the spec of a dataset"
        )
    before = run["config"].get("init") or run["config"].get("backbone") or ""
    while (Path(before) / "config.yaml").is_file():
        earlier = open_run(before)
        if earlier["environment"]["inputs"].get("training data") == dataset.manifest_sha256:
            raise InputError(
                f"`validation` {per_class}: {location} starts from {before}, which was trained on all of "
                f"{dataset.spec}; give the spec of a dataset"
            )
        before = earlier["config"].get("init") or earlier["config"].get("backbone") or ""
    seed = run["config"].get("seed")
    if not isinstance(seed, int):
        raise InputError(f"`validation` {per_class}: {location}/config.yaml has no `seed`; give the spec of a dataset")
    held = split_off(dataset, per_class, seed).validation
    assert held is not None  # for a number was given
    return held


def _images_of(dataset: ImageDataset) -> set[str]:
    """A key of each image that no other image has: its file, or for one without a file its dataset, split and id."""
    parts = dataset.source.sources if isinstance(dataset.source, ChainedImages) else [dataset.source]
    specs = dataset.spec.split(" + ") if len(parts) > 1 else [dataset.spec]
    found: set[str] = set()
    start = 0
    for part, spec in zip(parts, specs if len(specs) == len(parts) else [dataset.spec] * len(parts), strict=True):
        ids, start = dataset.ids[start : start + len(part)], start + len(part)
        if isinstance(part, FileImages):
            root = os.path.realpath(part.root)
            found.update(os.path.join(root, path) for path in part.paths)
        elif isinstance(part, AddressImages):
            found.update(str(part.address(i)) for i in range(len(part)))
        else:
            found.update(f"{spec.partition('?')[0]} {id_}" for id_ in ids)
    return found


class Validator:
    """Judges a model by the mean accuracy over the classes, with the input transform and the classes of ``model``.

    The images are decoded once if they fit in memory, else at each validation. Each process judges its share of them.
    ``loss`` says how logits become scores. Images that cannot be read are ``unreadable``, as (id, reason), and count
    nowhere; if the images do not fit in memory, there is none until the first validation. Raises ``InputError`` if no
    image can be read, here or in the first validation.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        model: ImageClassifier,
        loss: LongTailLoss,
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self.spec, self.loss, self.preprocessing = dataset.spec, loss, model.backbone.preprocessing
        own = own_positions(range(len(dataset)))
        reader = pixel_batches(dataset, self.preprocessing, in_order(own, batch_size), workers)
        self.unreadable: Sequence[tuple[str, str]] = ()
        self.batches: Iterable[ImageBatch] = reader
        if fit_in_memory(len(own), self.preprocessing.image_size):
            self.batches = decoded = list(reader)
            unreadable = [one for batch in decoded for one in batch.unreadable]
            self._require_readable(unreadable, any(len(batch.labels) for batch in decoded))

    def _require_readable(self, unreadable: Sequence[tuple[str, str]], readable: bool) -> None:
        every = gather((unreadable, readable))
        self.unreadable = [one for of_process, _ in every for one in of_process]
        if not any(of_process for _, of_process in every):
            raise InputError(f"`validation` {self.spec}: no image can be read")

    @torch.inference_mode()
    def __call__(
        self, model: ImageClassifier, state: dict[str, Tensor], device: torch.device, precision: str
    ) -> Metrics:
        """The figures of a model with these weights; the model itself is not changed."""
        judged = copy.deepcopy(model)
        judged.load_state_dict(state)
        judged.to(device).to(memory_format=torch.channels_last).eval()
        found: list[Predictions] = []
        unreadable: list[tuple[str, str]] = []
        for batch in self.batches:
            unreadable += batch.unreadable
            if not len(batch.labels):
                continue
            images = self.preprocessing.normalize(batch.values.to(device)).contiguous(memory_format=torch.channels_last)
            with autocast(device, precision):
                logits = judged(images)
            scores = as_scores(logits.float() * self.loss.scale, self.loss.sigmoid).cpu().numpy()
            found.append(Predictions.of(scores, batch.labels.numpy()))
        self._require_readable(unreadable, bool(found))
        every = [part for of_process in gather(found) for part in of_process]
        return evaluate_predictions(Predictions.concatenate(every), len(model.classes))
