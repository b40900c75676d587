"""The schemes of dataset specs: one :class:`Scheme` row each, in the modules of :mod:`features.readers.schemes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.catalogue import Catalogue


@dataclass(frozen=True)
class SpecOption:
    """An option of a dataset spec, which is typed after ``?`` as ``name=value``.

    Attributes:
        value: What stands for the value, such as ``FILE``.
        meaning: What it does, in one line.
        default: The value of a spec without the option; None if this is not a value that could be typed.
    """

    value: str
    meaning: str
    default: str | None = None


@dataclass(frozen=True)
class Scheme:
    """A scheme and its reader.

    Attributes:
        name: The scheme, such as ``folder``.
        meaning: What it reads, in one line.
        form: The spec to type, with placeholders; what is in brackets can be left out.
        open: Opens a dataset without decoding an image. Called with the spec, and with the opened base dataset if the
            scheme has a ``base``. Raises `InputError` if the split or an option is invalid, a file is missing or
            malformed (the message names it, and the line), or an image has no label.
        options: The options that it takes after ``?`` by name, or a function of the spec that returns them.
        base: Returns the spec of the dataset that this one re-labels. None if the scheme reads images of its own.
        unlabelled: Whether the images have no labels, or a function of the spec that says it.
        holds_images: Whether there are images; without them there are features that were computed elsewhere.
        addresses: Whether the location, and the files and directories of its own options, may be addresses such as
            ``s3://bucket/birds`` (:mod:`features.infrastructure.storage.addresses`).
        recognises: Returns the spec of a path on the disk that has this scheme's layout, by the names of the files
            there or the beginning of the file; None for another path. It is asked for a path that was given without a
            scheme.
    """

    name: str
    meaning: str
    form: str
    open: Callable[..., ImageDataset]
    options: Mapping[str, SpecOption] | Callable[[DatasetSpec], Mapping[str, SpecOption]] = field(default_factory=dict)
    base: Callable[[DatasetSpec], DatasetSpec] | None = None
    unlabelled: bool | Callable[[DatasetSpec], bool] = False
    holds_images: bool = True
    addresses: bool = False
    recognises: Callable[[Path], DatasetSpec | None] = lambda path: None

    @property
    def needs_location(self) -> bool:
        """Whether a spec without a location is invalid."""
        return not self.form.partition(":")[2].startswith("[")


class _Schemes(Catalogue[Scheme]):
    def meanings(self, describe: Callable[[Scheme], str] = lambda row: f"{row.form}: {row.meaning}") -> dict[str, str]:
        """Return the form and the meaning of every scheme by its name, or what ``describe`` says."""
        return super().meanings(describe)


SCHEMES = _Schemes("scheme", Scheme, "features.readers.schemes", "transfer.schemes")


def base_of(spec: DatasetSpec) -> DatasetSpec | None:
    """Return the spec of the dataset that ``spec`` re-labels, as :attr:`Scheme.base` does; None if it has none."""
    scheme = SCHEMES.get(spec.scheme)
    return scheme.base(spec) if scheme is not None and scheme.base is not None else None


def is_unlabelled(spec: str) -> bool:
    """Return whether the images of a dataset spec have no labels; other names of a bank count as labelled."""
    scheme = SCHEMES.get(spec.partition(":")[0])
    if scheme is None:
        return False
    return scheme.unlabelled(DatasetSpec.parse(spec)) if callable(scheme.unlabelled) else scheme.unlabelled


def holds_images(spec: DatasetSpec) -> bool:
    """Return whether there are images behind a dataset spec, or behind the one that it re-labels."""
    scheme = SCHEMES.get(spec.scheme)
    if scheme is None or scheme.base is None:
        return scheme is None or scheme.holds_images
    return holds_images(scheme.base(spec))
