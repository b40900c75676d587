"""``features:FILE[@split]``: features that were computed elsewhere, with labels; it has no images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.suggestions import choice
from features.infrastructure.texts import Texts
from features.precomputed.class_means import MEANS_OPTIONS, MODEL_OPTION, holds_class_means
from features.precomputed.columns import feature_column, label_column, values_of
from features.precomputed.feature_file import FORMATS, FeatureFile, open_feature_file
from features.precomputed.labels import Labels, classes_of
from features.precomputed.provenance import check_model
from features.precomputed.rows import FeatureRows
from features.readers.scheme import Scheme, SpecOption

#: The value of the option ``label`` for rows without labels.
NO_LABEL = "none"
#: Options of a file of one row an image.
ROW_OPTIONS = {
    "feature": SpecOption("NAME", "the column or array of features; found by itself where only one can be meant"),
    "label": SpecOption("NAME", f"that of labels, or a second file; {NO_LABEL} for rows without labels"),
    "id": SpecOption("NAME", "that of ids, or a second file; by default the numbers of the rows"),
    "names": SpecOption("NAME", "the names of the classes: an array, or a text file with one a line"),
    "model": MODEL_OPTION,
}


def open_features(spec: DatasetSpec) -> ImageDataset:
    """Read ``features:FILE[@split][?feature=NAME][&label=NAME][&id=NAME][&names=NAME][&model=NAME]``.

    A row of the file is the feature of one image. ``feature``, ``label`` and ``id`` name its columns or arrays; labels
    and ids may also be a second file (``.npy``, or text with one a line). The features and the labels are found without
    an option where only one column can be meant; ``label=none`` makes one class, ``unlabelled``. Ids are the numbers of
    the rows, from 0, if no column is named. A split is the rows that have its name in the column ``split``. ``model``
    says which model made the features: see :meth:`features.FeatureBank.require_comparable`.

    No feature is read. The source of the dataset is a :class:`features.precomputed.rows.FeatureRows`.
    """
    file = open_feature_file(spec)
    if holds_class_means(spec, file):
        raise spec.error("it holds class means, not one row an image; of these, transfer extract makes a bank")
    feature = feature_column(spec, file)
    check_model(spec, file, feature)
    rows = file.columns[feature].rows
    kept = _of_split(spec, file, rows)
    ids = _ids(spec, file, rows)
    taken = ("split", spec.options.get("id"), _own_id(file))
    label = spec.options.get("label") or label_column(spec, file, rows, taken)
    if label is None:
        raise spec.error(
            f"{file.path} has no column of labels; name one with ?label=NAME, or a second file with one a row, or "
            f"give label={NO_LABEL}; it holds {file.listed()}"
        )
    if label == NO_LABEL:
        found: Labels = ("unlabelled",), np.zeros(rows, dtype=np.int64), None
    else:
        found = classes_of(spec, file, values_of(spec, file, "label", label, rows))
    classes, labels, numbers = found
    source = FeatureRows(file, feature, kept, spec.options.get("model"))
    return ImageDataset(str(spec), classes, labels[kept], ids.take(kept), source, numbers)


def _of_split(spec: DatasetSpec, file: FeatureFile, rows: int) -> NDArray[np.int64]:
    """The numbers of the rows of the split; of all rows without one."""
    if spec.split is None:
        return np.arange(rows)
    if "split" not in file.columns:
        raise spec.error(f"{file.path} has no column split; leave @{spec.split} out")
    of_row = np.array(values_of(spec, file, "split", "split", rows), dtype=str)
    kept = np.flatnonzero(of_row == spec.split)
    if not len(kept):
        raise spec.error(f"unknown split {spec.split!r}; {choice(spec.split, np.unique(of_row).tolist())}")
    return kept


def _own_id(file: FeatureFile) -> str | None:
    """The column of ids of a file that was written from a bank."""
    return "id" if file.provenance and "id" in file.columns else None


def _ids(spec: DatasetSpec, file: FeatureFile, rows: int) -> Texts:
    """The id of each row; raise `InputError` if two are equal."""
    name = spec.options.get("id") or _own_id(file)
    if name is None:
        return Texts.of(map(str, range(rows)))
    ids = Texts.of(map(str, values_of(spec, file, "id", name, rows)))
    if twice := ids.repeated():
        raise spec.error(
            f"the id {ids[twice[1]]!r} stands in the rows {twice[0]} and {twice[1]}; give each row its own, or leave "
            f"id=… out"
        )
    return ids


def _recognised(path: Path) -> DatasetSpec | None:
    known = {suffix for row in FORMATS.values() for suffix in row.suffixes}
    return DatasetSpec("features", str(path)) if path.suffix in known else None


FEATURES = Scheme(
    "features",
    f"features computed elsewhere ({', '.join(FORMATS)}), or class means with ?means=NAME",
    "features:FILE[@split]",
    open_features,
    ROW_OPTIONS | MEANS_OPTIONS,
    unlabelled=lambda spec: spec.options.get("label") == NO_LABEL,
    holds_images=False,
    addresses=True,
    recognises=_recognised,
)
