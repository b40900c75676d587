"""The images of source classes: all of several sources, or those of a subset file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from features.dataset import ImageDataset, concatenate
from features.infrastructure.console import console, say_once
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from features.readers.plain_paths import labelled_spec
from similarity.selection.subset import DIRECTORY, Subset


@dataclass(frozen=True, eq=False)
class SourceClasses:
    """Images of source classes.

    Attributes:
        images: The images of all classes, as one dataset.
        origin: (C,) dataset spec of each class, and its name there. In ``images``, equal names of two sources differ.
        all_classes: The sources with all of their classes.
    """

    images: ImageDataset
    origin: tuple[tuple[str, str], ...]
    all_classes: tuple[ImageDataset, ...]


def open_sources(sources: Sequence[str], subset_file: str | None, option: str = "subset") -> SourceClasses:
    """The images of all classes of the sources, or of those in the subset file, which ``option`` names.

    Without ``sources``, they are those that the subset names. The order of the classes of a subset follows from their
    names alone, so that equal choices train equally. Relative paths of ``sources`` start from the working directory.
    Those of sources that only the subset names start from the directory in which the classes were chosen or, if they do
    not lead to the source there, from the working directory.

    Raises:
        InputError: The subset names a source that is not given, or a class that the source lacks; or a source or the
            file cannot be read.
    """
    if subset_file is None:
        whole = [open_dataset(spec) for spec in sources]
        return _joined(whole, whole)
    subset = Subset.read(subset_file)
    given = {str(labelled_spec(spec)): spec for spec in sources}  # no file has the secrets of an address
    named = check_sources(subset, list(given), f"`{option}` {subset_file}")
    chosen_in = subset.provenance.get(DIRECTORY)
    try:
        opened = [open_dataset(given[spec]) if spec in given else _opened(spec, chosen_in) for spec in sorted(named)]
        chosen = [_restricted(dataset, subset) for dataset in opened]
    except InputError as error:
        raise InputError(f"`{option}` {subset_file}: {error}") from error
    check_unchanged(opened, subset, f"`{option}` {subset_file}")
    return _joined(chosen, opened)


def check_unchanged(datasets: Sequence[ImageDataset], subset: Subset, where: str) -> None:
    """Raise `InputError` if a source has other images or labels than when its classes were chosen."""
    then = {source["dataset"]: source.get("manifest_sha256") for source in subset.provenance.get("sources", [])}
    for dataset in datasets:
        if not then.get(dataset.spec):
            say_once(f"{where}: does not say of which images of {dataset.spec} its classes are; they are not compared")
        if then.get(dataset.spec) and then[dataset.spec] != dataset.manifest_sha256:
            raise InputError(
                f"{where}: {dataset.spec} has changed since its classes were chosen (other images, labels or file "
                f"sizes); extract its bank and choose again, or remove the file's first line to use it as it is"
            )


def _opened(spec: str, directory: object) -> ImageDataset:
    """Open a source from another directory or, if it is not there, from the working directory."""
    here = os.getcwd()
    if isinstance(directory, str) and directory != here and os.path.isdir(directory):
        os.chdir(directory)  # a spec may hold several relative paths
        try:
            found = open_dataset(spec)
            console.print(f"{spec}: opened in {directory}, where its classes were chosen")
            return found
        except InputError:
            pass  # what is wrong here says more
        finally:
            os.chdir(here)
    return open_dataset(spec)


def check_sources(subset: Subset, sources: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the sources of a subset; raise `InputError` for one that is not given, if any is."""
    for spec in subset.sources:
        if sources and spec not in sources:
            raise InputError(f"{where}: names the source {spec!r}, which is not given; given: {', '.join(sources)}")
    return subset.sources


def _joined(datasets: Sequence[ImageDataset], whole: Sequence[ImageDataset]) -> SourceClasses:
    origin = tuple((dataset.spec, name) for dataset in datasets for name in dataset.classes)
    return SourceClasses(concatenate(datasets), origin, tuple(whole))


def _restricted(dataset: ImageDataset, subset: Subset) -> ImageDataset:
    """The chosen classes in the dataset's own order, whatever their ranks."""
    position = {name: i for i, name in enumerate(dataset.classes)}
    chosen = subset.classes_of(dataset.spec)
    return dataset.restrict(sorted(chosen, key=lambda name: position.get(name, len(position))))
