"""Prediction: a trained model and images in, a table of their classes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.processes import rank
from features.infrastructure.provenance import versions
from features.infrastructure.storage.addresses import located
from features.intensities import say_assumed
from features.readers import open_dataset
from features.readers.plain_paths import spec_of
from features.readers.scheme import is_unlabelled
from features.unreadable import check_unreadable
from finetune.command_options.prediction import PredictConfig
from finetune.evaluation.arguments import check_outputs, check_run
from finetune.evaluation.class_matching import match_classes
from finetune.prediction.files import check_parquet, kept_features, write_kept, write_predictions

if TYPE_CHECKING:
    from features.decoding import ImageBatch
    from finetune.model import ImageClassifier
    from finetune.prediction.prediction import Prediction
    from finetune.prediction.ranked_classes import RankedClasses


def predict(config: PredictConfig) -> Prediction:
    """Predict the classes of images, and write them to ``config.out``, in the dataset's order.

    Under torchrun each process takes its share of the images, and the first writes the files. Their probabilities and
    features agree with those of one process up to the last digit or two of float32, the rest is the same.

    Raises:
        InputError: There is no model or no image, a file exists, too many images are unreadable, the model gives
            values that are not numbers, or 5 or 10 views would all be the same.
    """
    check_run(config.run, config.images)
    spec = spec_of(config.images)
    files = {"`out`": config.out, "`features`": config.features}
    check_outputs(config.run, spec, files, overwrite=config.overwrite)
    check_parquet(config.out)
    from finetune.evaluation.image_pass import pass_over  # these import PyTorch
    from finetune.evaluation.test_time_augmentation import Views
    from finetune.model import ImageClassifier
    from finetune.prediction.prediction import Prediction
    from finetune.prediction.ranked_classes import RankedClasses

    model, card = ImageClassifier.open(config.run)
    dataset = open_dataset(spec)
    n_classes, path = len(model.classes), None if config.features is None else located(config.features)
    if config.top > n_classes:
        console.print(f"{config.run}: has {n_classes} classes; a row lists all of them")
    network = Views(model, config.views, sigmoid=card["sigmoid"], scale=card["scale"], features=path is not None)

    def check(unreadable: Sequence[tuple[str, str]]) -> None:
        check_unreadable(dataset.spec, unreadable, len(dataset), config.max_unreadable, config.on_error)

    with kept_features(path, model.backbone.dim) as kept:

        def ranked(batch: ImageBatch) -> RankedClasses:
            values = batch.values if batch.values.is_cuda else batch.values.cpu()
            spoilt = (~values.isfinite()).any(dim=1).cpu()
            if spoilt.any():
                image = dataset.ids[int(batch.indices[spoilt][0])]
                raise InputError(
                    f"{config.run}: gives the image {image} a NaN or infinite value; check its training, or give "
                    f"`precision` fp32"
                )
            if kept is not None:
                kept.append(values[:, n_classes:].cpu().numpy())
            return RankedClasses.of(values[:, :n_classes], batch.indices.numpy(), config.top)

        done = pass_over(dataset, network, network.preprocessing, config, ranked, "predict", check)
        found = Prediction.of(
            RankedClasses.concatenate(done.parts),
            dataset,
            out=located(config.out),
            features=path,
            names=np.array(model.classes, dtype=object),
            labels=None if is_unlabelled(str(spec)) else _labels(dataset, model, card),
            unreadable=tuple(done.unreadable),
        )
        say_assumed(dataset.spec, done.assumed, len(found) - len(found.unreadable))
        provenance = _provenance(config, dataset, model, card) if rank() == 0 else {}
        if kept is not None:
            write_kept(found, kept, provenance)
    if rank() == 0:
        write_predictions(found, provenance)
    return found


def _labels(dataset: ImageDataset, model: ImageClassifier, card: Mapping[str, Any]) -> NDArray[np.object_]:
    """(N,) the true class of each image, called as the model calls it if that knows the class."""
    position = match_classes(dataset, model.classes, card.get("class_numbers"))
    names = [name if i < 0 else model.classes[i] for name, i in zip(dataset.classes, position, strict=True)]
    return np.array(names, dtype=object)[dataset.labels]


def _provenance(
    config: PredictConfig, dataset: ImageDataset, model: ImageClassifier, card: Mapping[str, Any]
) -> dict[str, Any]:
    """What the files were made of."""
    from features.infrastructure.devices import pick_device, pick_precision  # imports PyTorch

    backbone = model.backbone
    return {
        "run": config.run,
        "dataset": dataset.spec,
        "manifest_sha256": dataset.manifest_sha256,
        "views": config.views,
        "attributes": {  # as the bank has them that transfer extract makes with the run
            "backbone": backbone.name,
            "weights": backbone.weights,
            "weights_sha256": card["weights_sha256"],
            "image_size": backbone.preprocessing.image_size,
            "transform": backbone.preprocessing.describe(),
            "pooling": backbone.pooling,
            "precision": pick_precision(config.precision, pick_device(config.device)),
        },
        "versions": versions(),
        "created": datetime.now(timezone.utc).isoformat(),
    }
