"""Evaluation of a trained classifier on a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from features.dataset import ImageDataset
from features.errors import InputError
from features.forward import forward_pass
from features.preprocessing import Preprocessing
from features.progress import console
from features.readers import open_dataset
from finetune.metrics import Metrics, evaluate_scores
from finetune.model import ImageClassifier, as_scores


class ForwardOptions(Protocol):
    """The options of a pass without training."""

    @property
    def batch_size(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def workers(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Evaluate a trained model: top-1, top-5, macro, many-, medium- and few-shot accuracy.

    Attributes:
        run: Run directory of transfer finetune or pretrain.
        dataset: Dataset spec to evaluate on; its classes are matched by name.
        batch_size: Images a forward pass.
        device: auto, cpu, cuda, mps.
        precision: auto takes bfloat16 where the hardware has it.
        workers: Decoding processes; by default one a core.
    """

    run: str
    dataset: str
    batch_size: int = 64
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"--workers {self.workers}: expected at least 0")


def evaluate(config: EvaluateConfig) -> Metrics:
    """Evaluate the model of a run on a dataset.

    Raises:
        InputError: There is no model, or the dataset has a class that the model lacks.
    """
    model, card = ImageClassifier.open(config.run)
    return evaluate_model(model, open_dataset(config.dataset), card, config)


def evaluate_model(
    model: ImageClassifier, dataset: ImageDataset, card: Mapping[str, Any], options: ForwardOptions
) -> Metrics:
    """Evaluate a model in memory.

    Args:
        model: The classifier.
        dataset: The images; its classes are matched by name.
        card: ``sigmoid`` and ``scale`` (how logits become probabilities), and ``train_counts`` (C,),
            behind many/medium/few.
        options: Batch size, device, precision, workers.
    """
    position = align_classes(dataset, model.classes)
    logits, labels, unreadable = score_images(model, dataset, model.backbone.preprocessing, options)
    for id_, reason in unreadable:
        console.print(f"not evaluated, unreadable: {id_} ({reason})", markup=False, emoji=False)
    scores = as_scores(torch.from_numpy(logits) * card["scale"], card["sigmoid"]).numpy()
    return evaluate_scores(scores, position[labels], np.asarray(card["train_counts"]), probabilities=True)


def align_classes(dataset: ImageDataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(C′,) position in ``classes`` of each class of ``dataset``.

    Raises:
        InputError: The dataset has a class that is not among them.
    """
    position = {name: i for i, name in enumerate(classes)}
    unknown = [name for name in dataset.classes if name not in position]
    if unknown:
        raise InputError(
            f"{dataset.spec}: class {unknown[0]!r} is not one of the model's {len(classes)} classes "
            f"({len(unknown)} of {len(dataset.classes)} are not); evaluate on the classes that it was trained on"
        )
    return np.array([position[name] for name in dataset.classes], dtype=np.int64)


def score_images(
    network: nn.Module, dataset: ImageDataset, preprocessing: Preprocessing, options: ForwardOptions
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[tuple[str, str]]]:
    """Every readable image through a network, in the dataset's order.

    Returns:
        Outputs (N, K) float32, labels (N,) int64, and what could not be read as (id, reason).
    """
    outputs, labels = [], []
    unreadable: list[tuple[str, str]] = []
    passes = forward_pass(
        network,
        dataset,
        preprocessing,
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
        precision=options.precision,
        description="evaluate",
    )
    for batch in passes:
        unreadable += batch.unreadable
        if len(batch.indices):
            outputs.append(batch.outputs.cpu().numpy())
            labels.append(batch.labels.numpy())
    if not outputs:
        raise InputError(f"{dataset.spec}: no image can be read")
    return np.concatenate(outputs), np.concatenate(labels), unreadable
