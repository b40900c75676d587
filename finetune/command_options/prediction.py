"""The options of a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from features.infrastructure.disk.files import check_ending
from features.infrastructure.options import LARGEST_BATCH, Machine, Range, check_ranges
from features.unreadable import MAX_UNREADABLE, OnError
from finetune.prediction.files import CSV, FEATURES, PARQUET


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Machine):
    """Predict the classes of images with a trained model: one row an image, with probabilities.

    Attributes:
        run: Run directory of transfer finetune, fit-classifier or pretrain, or a checkpoint (.safetensors) in one.
        images: A folder with images anywhere below it, an image, a text file with the path of an image a line, or a
            dataset spec.
        out: File or address of the predictions (.csv or .parquet).
        top: Classes of each image, the most probable first; at most those of the model.
        views: Views of each image whose probabilities are averaged: 1 (the centre), 2 (and its mirror image), 5
            (centre and corners), 10 (and their mirror images).
        features: Write the features of each readable image, those of its centre, to this file too (.npz).
        on_error: For an unreadable image, skip writes a row with the reason in place of a class, and fail stops.
        max_unreadable: Largest share of the images, 0 to 1, that may be unreadable.
        overwrite: Replace existing files.
        batch_size: Images per forward pass.
    """

    run: str
    images: str
    out: str
    top: Annotated[int, Range(1)] = 5
    views: Literal[1, 2, 5, 10] = 1
    features: str | None = None
    on_error: OnError = "skip"
    max_unreadable: Annotated[float, Range(0, 1)] = MAX_UNREADABLE
    overwrite: bool = False
    batch_size: Annotated[int, Range(1, LARGEST_BATCH)] = 64

    def __post_init__(self) -> None:
        check_ranges(self)
        check_ending(self.out, (CSV, PARQUET))
        if self.features is not None:
            check_ending(self.features, (FEATURES,), "`features`")
