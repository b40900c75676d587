"""Images that a training does not see and is judged by while it runs: never those of the test."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from features.dataset import ImageDataset
from features.decoding import in_order, pixel_batches
from features.devices import autocast
from features.distributed import gather, share
from features.errors import InputError
from features.readers import open_dataset
from finetune.classifiers import balanced_split
from finetune.evaluation import align_classes
from finetune.losses import LongTailLoss
from finetune.metrics import Metrics, evaluate_predictions
from finetune.model import ImageClassifier, as_scores
from finetune.predictions import Predictions


@dataclass(frozen=True)
class Split:
    """What a training learns from, and what it is judged by.

    Attributes:
        training: The images to learn from.
        validation: The images to judge by, of the same classes in the same order; None for none.
    """

    training: ImageDataset
    validation: ImageDataset | None


def split_off(dataset: ImageDataset, validation: int | str | None, seed: int) -> Split:
    """Hold images out of a training, or take those of another dataset.

    Args:
        dataset: The training images.
        validation: None; a number: so many images of each class are held out; or a dataset spec.
        seed: Which ones are held out.

    Raises:
        InputError: A class has too few images, or the other dataset has a class that this one lacks.
    """
    if validation is None:
        return Split(dataset, None)
    if isinstance(validation, int):
        try:
            kept, held = balanced_split(dataset.labels, validation, seed)
        except InputError as error:
            raise InputError(f"--validation {validation}: {error}") from error
        name = f"{validation} images a class held out of {dataset.spec}"
        return Split(dataset.take(kept, f"{dataset.spec} less {name}"), dataset.take(held, name))
    other = open_dataset(validation)
    align_classes(other, dataset.classes)
    return Split(dataset, other.restrict(dataset.classes))


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
