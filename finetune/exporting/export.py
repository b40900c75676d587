"""Export of a trained classifier: checked against the classifier itself, and written completely or not at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.dataset_spec import DatasetSpec
from features.infrastructure.disk.files import atomic_file, atomic_folder, check_new, check_new_folder
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, located
from finetune.classifiers.kept_classes import ORIGIN
from finetune.exporting.format import FORMATS, Export, ExportFormat
from finetune.model import ImageClassifier

__all__ = ["Export", "Exported", "check_export", "export_classifier", "format_of", "metadata"]

#: Version of what :func:`metadata` returns.
SCHEMA = "transfer.exported-classifier 1"


@dataclass(frozen=True)
class Exported:
    """A written export.

    Attributes:
        path: The file or the folder.
        format: The name of its format.
        difference: The largest difference between its logits and the run's, on the images that it was checked with.
    """

    path: Location
    format: str
    difference: float

    def to_json(self) -> dict[str, Any]:
        return {"export": str(self.path), "format": self.format, "largest_difference": self.difference}


def format_of(name: str | None, out: str | Location) -> ExportFormat:
    """The format called ``name``; without a name, the one whose ending ``out`` has.

    Raises:
        InputError: There is no such format, or ``out`` has another ending than its files.
    """
    ending = located(out).suffix
    if name is None:
        of_ending = [row for row in FORMATS.values() if row.ending == ending]
        if not of_ending:
            endings = ", ".join(f"{row.ending or 'a folder'} ({row.name})" for row in FORMATS.values())
            raise InputError(f"`out` {out}: its ending says no format; give `format`, or one of {endings}")
        return of_ending[0]
    row = FORMATS.find(name)
    if row.ending and ending != row.ending:
        raise InputError(f"`out` {out}: expected a file name that ends in {row.ending}, for `format` {name}")
    return row


def check_export(
    row: ExportFormat, model: ImageClassifier, run: str, out: Location, *, overwrite: bool = False
) -> None:
    """Check that a classifier can be exported, before any work; ``run`` is where it was read from.

    Raises:
        InputError: The format cannot hold it, a package is missing, or ``out`` cannot be written.
    """
    missing = [name for name in row.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"`format` {row.name}: needs {', '.join(missing)}; install with: pip install "
            f'"transfer-toolkit[{row.extra}]"'
        )
    read = [path for path in (Path(run), Path(run).with_suffix(".json")) if path.is_file()]
    if row.ending:
        check_new({"`out`": out}, read=read, overwrite=overwrite)
    else:
        check_new_folder(out, row.holds, read=[Path(run), *read], overwrite=overwrite)
    obstacle = row.obstacle(model)
    if obstacle is not None:
        others = [other.name for other in FORMATS.values() if other is not row and other.obstacle(model) is None]
        advice = f"give `format` {' or '.join(others)}" if others else "no format holds it"
        raise InputError(f"`format` {row.name}: {run} cannot have it: {obstacle}; {advice}")


def export_classifier(row: ExportFormat, export: Export, out: Location) -> Exported:
    """Write an export, completely or not at all, once its logits are those of the classifier.

    Raises:
        InputError: They are not, or the network cannot be turned into this format.
    """
    with atomic_file(out) if row.ending else atomic_folder(out) as aside:
        difference = row.write(export, aside)
    return Exported(out, row.name, difference)


def metadata(model: ImageClassifier, card: Mapping[str, Any]) -> dict[str, Any]:
    """What every format says of a classifier: its input, its output, its classes and where its weights come from.

    ``card`` is that of its checkpoint. Nothing of it is a path of this machine.
    """
    preprocessing = model.backbone.preprocessing
    steps = preprocessing.to_json()
    return {
        "schema": SCHEMA,
        "input": {
            "name": "images",
            "shape": ["batch", 3, preprocessing.image_size, preprocessing.image_size],
            "type": "float32",
            "meaning": "RGB, resized and cropped as preprocessing says, pixels / 255, less the mean, over the std",
        },
        "output": {
            "name": "logits",
            "shape": ["batch", len(model.classes)],
            "type": "float32",
            "probabilities": "sigmoid" if card["sigmoid"] else "softmax",
        },
        "preprocessing": {**steps, "mean": list(steps["mean"]), "std": list(steps["std"])},
        "classes": list(published_classes(model, card)),
        "backbone": published_name(model.backbone.name),
        "weights_sha256": model.backbone.weights_sha256(),
    }


def published_classes(model: ImageClassifier, card: Mapping[str, Any]) -> tuple[str, ...]:
    """(C,) names of the classes. A name that two sources have follows its spec, which has no folders here."""
    if not card.get(ORIGIN):
        return model.classes
    return tuple(
        f"{DatasetSpec.parse(spec).without_folders()}/{name}" if called == f"{spec}/{name}" else called
        for called, (spec, name) in zip(model.classes, card[ORIGIN], strict=True)
    )


def published_name(backbone: str) -> str:
    """The name of a backbone without folders of this machine; names of the hub are public."""
    kind, colon, location = backbone.rpartition(":")
    local = kind == "local-dir" or location.startswith(("/", ".", "~")) or Path(location).exists()
    return f"{kind}{colon}{location.rstrip('/').rpartition('/')[2]}" if colon and local else backbone
