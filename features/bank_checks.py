"""What holds for the class statistics and the attributes of every bank, whoever made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location

#: Attributes that are text. That of the image size is text too where there was no image.
_TEXTS = frozenset(
    {
        *("schema", "dataset", "origin", "split", "manifest_sha256", "created", "torch", "shard", "assumed", "unknown"),
        *("backbone", "weights", "weights_sha256", "transform", "pooling", "precision"),
    }
)
#: Attributes that are numbers, or texts in files of earlier releases.
_NUMBERS = frozenset({"complete", "image_size", "of_class_means", "first", "last", "position", "features_crc32"})
#: Characters of a value that a message shows.
_LONGEST = 60
#: Largest deviation of a covariance from what every covariance is, relative to its largest value: by rounding.
_ROUND_OFF = 1e-4
#: More images than any dataset has; the sum of more could overflow.
_MOST_IMAGES = 2**53


def check_schema(
    path: Location, kind: str, attributes: Mapping[str, Any], schema: str, version: int, *, advice: str
) -> None:
    """Raise `InputError` if a file has another schema, for which there is ``advice``, or another version of it."""
    is_ = attributes.get("schema")  # anything, of another program
    if not (isinstance(is_, str) and is_ == schema):
        fault = f"an HDF5 file, but not a {kind} (schema is {_shown(is_)})"
        raise InputError(f"{path}: {fault}; {advice}")
    found = attributes.get("schema_version")
    if str(found) != str(version):
        newer = isinstance(found, int) and found > version
        raise InputError(
            f"{path}: a {kind} of schema version {_shown(found)}, and this release reads version {version}; extract it "
            f"again{', or install a newer release' if newer else ''}"
        )


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are texts or numbers, which all are that this release writes.

    Raises:
        ValueError: One that is needed is something else.
    """
    for name, value in attributes.items():
        if name in _TEXTS and not isinstance(value, str):
            raise ValueError(f"its attribute {name} is {_shown(value)}; expected a text")
        if name in _NUMBERS and not isinstance(value, (str, bool, int, float)):
            raise ValueError(f"its attribute {name} is {_shown(value)}; expected a text or a number")
    return {name: value for name, value in attributes.items() if isinstance(value, (str, bool, int, float))}


def _shown(value: Any) -> str:
    """A value of an attribute in a message of one line."""
    if not isinstance(value, (str, bool, int, float, complex, type(None))):
        return "no text and no number"
    text = ascii(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def check_statistics(
    where: str, classes: Sequence[str], counts: NDArray[Any], known: Mapping[str, NDArray[Any] | None]
) -> None:
    """Raise `InputError`, about ``where``, if class statistics are not what statistics of images can be.

    ``known`` holds the ``means``, ``variances`` and ``within_covariance``, or None for what is not known.
    """
    means = known["means"]
    assert means is not None
    n_classes, width = len(classes), means.shape[-1] if means.ndim else 0
    shapes = {"within_covariance": (width, width), "counts": (n_classes,)}
    held = {"counts": counts, **{name: array for name, array in known.items() if array is not None}}
    for name, array in held.items():
        expected = shapes.get(name, (n_classes, width))
        if array.shape != expected:
            raise InputError(f"{where}: {name} has shape {array.shape}, expected {expected}")
    if n_classes == 0:
        raise InputError(f"{where}: the bank has no class")
    if len(set(classes)) != n_classes:
        twice = Counter(classes).most_common(1)[0][0]
        raise InputError(f"{where}: the class name {twice!r} occurs twice")
    for name, array in held.items():
        if not np.isfinite(array).all():
            raise InputError(f"{where}: {name} holds NaN or infinity; extract the bank again")
    check_counts(where, classes, counts, least=1)
    variances = held.get("variances")
    if variances is not None and (variances < 0).any():
        worst = classes[int(np.argmin(variances.min(axis=1)))]
        raise InputError(f"{where}: variances holds a negative value for class {worst!r}; extract the bank again")


def check_counts(where: str, classes: Sequence[str], counts: NDArray[Any], least: int) -> None:
    """Raise `InputError`, about ``where``, if the number of images of a class is no whole number, or too small."""
    wrong = (counts < least) | (counts > _MOST_IMAGES) | (counts != np.rint(counts))
    if wrong.any():
        worst = int(np.argmax(wrong))
        expected = "every count must be positive" if least else "no count can be negative"
        fault = f"class {classes[worst]!r} has count {counts[worst]}"
        raise InputError(f"{where}: {fault}; {expected if counts[worst] < least else 'counts are whole numbers'}")
    if counts.sum(dtype=np.float64) > _MOST_IMAGES:
        raise InputError(f"{where}: counts of {counts.sum(dtype=np.float64):.0f} images in all; extract the bank again")


def fault_of_covariance(covariance: NDArray[Any]) -> str:
    """Say what is wrong with a square matrix (D, D) that shall be a covariance; an empty text if nothing is."""
    scale = np.abs(covariance).max(initial=0)
    tolerance = _ROUND_OFF * scale
    diagonal = covariance.diagonal().astype(np.float64)
    if np.abs(covariance - covariance.T).max(initial=0) > tolerance:
        return "is not symmetric"
    if (diagonal < -tolerance).any():
        return "holds a negative variance"
    # No two features vary together by more than they vary.
    bound = np.sqrt(diagonal.clip(min=0))
    if (np.abs(covariance) > np.multiply.outer(bound, bound) + tolerance).any():
        return "holds a covariance that is larger than its variances"
    return ""
