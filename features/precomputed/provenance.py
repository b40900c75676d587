"""What is known about the model that made the features of a file."""

from __future__ import annotations

import hashlib
from typing import Any

from features.bank import UNKNOWN_MODEL
from features.dataset_spec import DatasetSpec
from features.precomputed.feature_file import FeatureFile

#: Attributes of a bank that say how its features were made: a file that is written from the bank keeps them.
HOW = ("backbone", "weights", "weights_sha256", "image_size", "transform", "pooling", "precision")


def written_from_bank(file: FeatureFile, column: str) -> bool:
    """Return whether a column was written from a bank, so that the provenance of the file is about it."""
    return file.provenance.get("column") == column


def check_model(spec: DatasetSpec, file: FeatureFile, column: str) -> None:
    """Raise `InputError` if the option ``model`` contradicts the file, or the file was changed since it was written."""
    if not written_from_bank(file, column):
        return
    known, model = file.provenance["attributes"].get("backbone"), spec.options.get("model")
    if model is not None and model != known:
        raise spec.error(f"model={model}: {file.path} was written from a bank of the model {known}; leave model out")
    if file.provenance.get("width") != file.width(column):
        raise spec.error(
            f"{file.path} was written from a bank with features of width {file.provenance.get('width')}, and now has "
            f"{file.width(column)}; save the changed features as a new column"
        )


def attributes_of(file: FeatureFile, column: str, model: str | None) -> dict[str, Any]:
    """Return the attributes of a bank that say how the features of a column were made.

    A file that was written from a bank says it. Of others a name is known at most. Without a name, banks of one column
    of one content are comparable, and no others: the content takes the place of the name.
    """
    if written_from_bank(file, column):
        return {name: file.provenance["attributes"].get(name, "") for name in HOW} | {
            "origin": file.provenance["dataset"]
        }
    content = hashlib.sha256(f"{file.sha256} {column}".encode()).hexdigest()
    dtype = file.columns[column].about.partition(",")[0]
    known = {"backbone": model or f"{UNKNOWN_MODEL}{content[:12]}", "precision": dtype}
    return dict.fromkeys(HOW, "") | known
