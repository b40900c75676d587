"""Validation: images that judge a training while it runs; it never sees them, and the test does not use them."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

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
from finetune.evaluation.class_matching import align_classes
from finetune.evaluation.metrics import Metrics, evaluate_predictions
from finetune.evaluation.predictions import Predictions
from finetune.losses import LongTailLoss
from finetune.model import ImageClassifier, as_scores
from finetune.training.batches import fit_in_memory


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
    mine = set(identities(images))
    for use, dataset in others.items():
        shared = 0 if dataset is None else len(mine.intersection(identities(dataset)))
        if shared:
            raise InputError(f"{option}: {shared} of its {len(images)} images are {use} images too; {advice}")


def check_validation(validation: int | str | None, test: str | None, dataset: ImageDataset) -> ImageDataset | None:
    """The images of a `validation` that is a dataset spec, opened to refuse a wrong one early; else None."""
    if not isinstance(validation, str):
        return None
    return open_validation(validation, dataset, open_dataset(test) if test else None)


def identities(dataset: ImageDataset) -> list[str]:
    """(N,) a name of each image that no other image has: its file, or of one without a file its dataset, split and id.

    Images of a dataset, and those of a subset of its classes, have the same names.
    """
    parts = dataset.source.sources if isinstance(dataset.source, ChainedImages) else [dataset.source]
    specs = dataset.spec.split(" + ") if len(parts) > 1 else [dataset.spec]
    found: list[str] = []
    start = 0
    for part, spec in zip(parts, specs if len(specs) == len(parts) else [dataset.spec] * len(parts), strict=True):
        ids, start = dataset.ids[start : start + len(part)], start + len(part)
        if isinstance(part, FileImages):
            root = os.path.realpath(part.root)
            found.extend(os.path.join(root, path) for path in part.paths)
        elif isinstance(part, AddressImages):
            found.extend(str(part.address(i)) for i in range(len(part)))
        else:
            found.extend(f"{spec.partition('?')[0]} {id_}" for id_ in ids)
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
