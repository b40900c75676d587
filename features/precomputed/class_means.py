"""Files of class means: one row a class, as far as its statistics are known; no image stands behind them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bank import OF_MEANS, FeatureBank
from features.bank_checks import fault_of_covariance
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.precomputed.columns import feature_column, values_of
from features.precomputed.feature_file import FeatureFile, open_feature_file
from features.precomputed.provenance import attributes_of, check_model, written_from_bank
from features.precomputed.rows import FeatureRows
from features.readers.class_names import distinct_names, numbered_names
from features.readers.rules import named_classes
from features.readers.scheme import SpecOption

#: Options of a file of one row a class, with the column that each is in a file that was written from a bank.
USUAL = {"means": "mean", "names": "name", "counts": "count", "variances": "variance", "covariance": "covariance"}
MODEL_OPTION = SpecOption("NAME", "the model that made the features; features of two models are not compared")
MEANS_OPTIONS = {
    "means": SpecOption("NAME", "for a file of class means: the array of means, one row a class"),
    "names": SpecOption("NAME", "the names of the classes: an array, or a text file with one a line"),
    "counts": SpecOption("NAME", "with `means`: the number of images of each class"),
    "variances": SpecOption("NAME", "with `means`: the variances of each class"),
    "covariance": SpecOption("NAME", "with `means`: the covariance within classes"),
    "model": MODEL_OPTION,
}


def holds_class_means(spec: DatasetSpec, file: FeatureFile) -> bool:
    """Return whether a ``features:`` spec means class means: it names them, or the file was written from a bank."""
    return "means" in spec.options or ("feature" not in spec.options and file.provenance.get("column") == "mean")


def read_class_means(spec: DatasetSpec) -> FeatureBank | None:
    """Read ``features:FILE?means=NAME[&names=NAME][&counts=NAME][&variances=NAME][&covariance=NAME][&model=NAME]``.

    The options name columns or arrays: class means (C, D), a name and the number of images of each class, the variances
    (C, D) and the pooled within-class covariance (D, D). Names and numbers may also be a second file. Without names,
    classes are called ``class_0``, ``class_1``, …; what is not named is not known. A file that was written from a bank
    needs no option.

    Returns:
        The bank, in memory; None if the spec means one row an image.

    Raises:
        InputError: An array is missing or of another shape, holds NaN or infinity, or a count is not positive; or an
            option is for one row an image.
    """
    file = open_feature_file(spec)
    try:
        file.check_seal()
    except InputError as error:
        raise spec.error(str(error)) from error
    if not holds_class_means(spec, file):
        return None
    others = [name for name in spec.options if name not in MEANS_OPTIONS]
    if others or spec.split is not None:
        fault = f"{others[0]}=…" if others else f"@{spec.split}"
        raise spec.error(f"{fault} is for files of one row an image, and this one holds class means; leave it out")
    named = dict(spec.options)
    if file.provenance.get("column") == "mean":
        named = {option: name for option, name in USUAL.items() if name in file.columns} | named
    spec_of_means = DatasetSpec(spec.scheme, spec.location, None, named)
    column = feature_column(spec_of_means, file, "means")
    check_model(spec, file, column)
    means = _matrix(file, column)
    counts = _counts(spec, file, named["counts"], len(means)) if "counts" in named else None
    variances = _matrix(file, feature_column(spec_of_means, file, "variances")) if "variances" in named else None
    covariance = _covariance(spec_of_means, file, means.shape[1])
    if counts is None and (variances is not None or covariance is not None):
        raise spec.error("variances and covariance need counts=NAME: the number of images of each class")
    if variances is not None and (variances.shape != means.shape or (variances < 0).any()):
        raise spec.error(f"variances={named['variances']}: expected {means.shape} numbers of at least 0")
    names = _names(spec, file, named.get("names"), len(means))
    parts = [np.array(names), means, *(part for part in (counts, variances, covariance) if part is not None)]
    manifest = hashlib.sha256(b"\0".join(hashlib.sha256(part.tobytes()).digest() for part in parts)).hexdigest()
    attrs = attributes_of(file, column, spec.options.get("model")) | {
        "dataset": str(spec),
        "split": "",
        OF_MEANS: True,
        "manifest_sha256": manifest,
        "created": datetime.now(timezone.utc).isoformat(),
    }
    known = counts is not None
    counted = np.ones(len(means), dtype=np.int64) if counts is None else counts
    return FeatureBank(names, counted, means, variances, covariance, attrs, counts_known=known)


def _matrix(file: FeatureFile, column: str) -> NDArray[np.float32]:
    """All rows of a column, as float32; raise `InputError` if a number is not finite."""
    rows = file.columns[column].rows
    return np.concatenate(list(FeatureRows(file, column, np.arange(rows), None).blocks(range(rows))))


def _covariance(spec: DatasetSpec, file: FeatureFile, width: int) -> NDArray[np.float32] | None:
    """The covariance that an option names, or that a file which was written from a bank has beside its columns."""
    if "covariance" not in spec.options:
        found = file.covariance() if written_from_bank(file, spec.options["means"]) else None
    else:
        found = _matrix(file, feature_column(spec, file, "covariance"))
    if found is not None:
        if found.shape != (width, width):
            raise spec.error(f"the covariance has the shape {found.shape}; expected {(width, width)}, symmetric")
        if fault := fault_of_covariance(found):
            raise spec.error(f"the covariance {fault}; save it again")
    return found


def _counts(spec: DatasetSpec, file: FeatureFile, name: str, rows: int) -> NDArray[np.int64]:
    """The number of images of each class."""
    found = values_of(spec, file, "counts", name, rows)
    if isinstance(found, list) or (found < 1).any():
        at_fault = found[0] if isinstance(found, list) else found[int(np.argmax(found < 1))]
        raise spec.error(f"counts={name} holds {at_fault}; expected whole numbers of at least 1")
    return found.astype(np.int64)


def _names(spec: DatasetSpec, file: FeatureFile, name: str | None, rows: int) -> tuple[str, ...]:
    """The names of the classes; those that occur twice have their row behind them."""
    if name is None:
        return numbered_names(range(rows))
    found: Any = values_of(spec, file, "names", name, rows)
    return named_classes(spec, distinct_names(list(map(str, found)), range(rows)))
