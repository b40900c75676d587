"""Images held out of a training, which neither it nor the runs that it starts from have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from features.readers.subsampling import draw_indices
from finetune.classifiers import balanced_split
from finetune.run_directory import open_run
from finetune.source_classes import open_sources
from finetune.training.validation import identities, open_validation


@dataclass(frozen=True)
class Split:
    """The training images, and the validation images of the same classes in the same order, or None."""

    training: ImageDataset
    validation: ImageDataset | None


def split_off(
    dataset: ImageDataset, validation: int | str | None, seed: int, test: ImageDataset | None = None, start: str = ""
) -> Split:
    """Hold ``validation`` images of each class out of the training images, or open those of a dataset spec.

    ``seed`` is that of the draw, ``test`` the images of the final evaluation. Images that are held out are none that
    the run ``start``, or one that it starts from, was trained on: a run continued on some of its own classes holds out
    what it held out before. Raises ``InputError`` if a class has too few such images, or as :func:`open_validation`.
    """
    if validation is None:
        return Split(dataset, None)
    if isinstance(validation, int):
        try:
            kept, held = _positions(dataset, validation, seed, start)
        except InputError as error:
            raise InputError(f"`validation` {validation}: {error}") from error
        name = f"{validation} images a class held out of {dataset.spec}"
        return Split(dataset.take(kept, f"{dataset.spec} less {name}"), dataset.take(held, name))
    return Split(dataset, open_validation(validation, dataset, test))


def held_out_of(location: str, dataset: ImageDataset, per_class: int) -> ImageDataset:
    """The images that a finished run with `validation` ``per_class`` held out of its training images.

    Raises:
        InputError: There is no run, it was given another dataset or number, or it starts from a run that was trained on
            these images.
    """
    run = open_run(location)
    trained = run["config"].get("validation"), run["environment"]["inputs"].get("training data")
    if trained != (per_class, dataset.manifest_sha256):
        if isinstance(trained[0], int) and trained[1] == dataset.manifest_sha256:
            raise InputError(
                f"`validation` {per_class}: {location} was trained with `validation` {trained[0]}; give that"
            )
        raise InputError(
            f"`validation` {per_class}: {location} was not trained on {dataset.spec} with it, so that it may have seen "
            f"any of these images; give the spec of a dataset"
        )
    seed = run["config"].get("seed")
    if not isinstance(seed, int):
        raise InputError(f"`validation` {per_class}: {location}/config.yaml has no `seed`; give the spec of a dataset")
    held = split_off(dataset, per_class, seed, start=_start_of(run["config"])).validation
    assert held is not None  # for a number was given
    return held


def _positions(
    dataset: ImageDataset, per_class: int, seed: int, start: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions to train on, and those of ``per_class`` images of each class to hold out, both ascending."""
    kept, held = balanced_split(dataset.labels, per_class, seed, dataset.classes)
    seen = _seen(start, dataset)
    if not seen.any():
        return kept, held
    unseen = np.flatnonzero(~seen)
    left = np.bincount(dataset.labels[unseen], minlength=len(dataset.classes))
    least = int(left.argmin())
    if left[least] < per_class:
        raise InputError(
            f"{start}, or a run that it starts from, was trained on {seen.sum()} of the {len(dataset)} images, and has "
            f"not seen {left[least]} of class {dataset.classes[least]!r}; give the spec of a dataset that it has not "
            f"seen"
        )
    held = unseen[draw_indices(dataset.labels[unseen], np.full(len(left), per_class), seed)]
    return np.setdiff1d(np.arange(len(dataset)), held), held


def _seen(start: str, dataset: ImageDataset) -> NDArray[np.bool_]:
    """(N,) whether the run ``start``, or one that it starts from, was trained on each image."""
    seen, mine = np.zeros(len(dataset), dtype=bool), identities(dataset)
    while (directory := _directory(start)) is not None:
        run = open_run(directory)
        for trained in _trained_on(run, dataset):
            seen |= np.fromiter((one in trained for one in mine), dtype=bool, count=len(mine))
        start = _start_of(run["config"])
        if _directory(start) == directory:
            break
    return seen


def _trained_on(run: Mapping[str, Any], dataset: ImageDataset) -> Iterator[set[str]]:
    """Identities of the images that a run was trained on, opened again.

    Of images that have changed or are not there, nothing is known; they are taken for others than those of ``dataset``.
    """
    config, inputs = run["config"], run["environment"]["inputs"]
    if inputs.get("training data") == dataset.manifest_sha256:
        own: ImageDataset | None = dataset
    else:
        own = _unchanged(config, inputs.get("training data"))
    if own is not None:
        names, held = identities(own), None
        if isinstance(config.get("validation"), int):
            held = _held_out_before(own, config, inputs.get("validation data"))
        yield set(names) if held is None else set(names) - {names[i] for i in held.tolist()}
    if config.get("with_"):
        source = _unchanged({"subset": config["with_"]}, inputs.get("co-training data"))
        if source is not None:
            yield set(identities(source))


def _unchanged(config: Mapping[str, Any], manifest: str | None) -> ImageDataset | None:
    """The training images of a configuration; None if they cannot be opened, or are not those of ``manifest``."""
    try:
        if config.get("dataset"):
            found = open_dataset(config["dataset"])
        else:
            found = open_sources(config.get("sources") or [], config.get("subset")).images
    except InputError:
        return None
    return found if found.manifest_sha256 == manifest else None


def _held_out_before(own: ImageDataset, config: Mapping[str, Any], manifest: str | None) -> NDArray[np.int64] | None:
    """Positions of the images that a run held out of its own; None if they cannot be told, as of earlier versions."""
    try:
        _, held = _positions(own, int(config["validation"]), int(config["seed"]), _start_of(config))
    except InputError:
        return None
    return held if own.take(held).manifest_sha256 == manifest else None


def _start_of(config: Mapping[str, Any]) -> str:
    """What a run starts from, by its configuration; empty if nothing is stated."""
    return str(config.get("init") or config.get("backbone") or "")


def _directory(location: str) -> Path | None:
    """The run directory of a run or of a checkpoint in one; None for another start."""
    path = Path(location)
    directory = path if path.is_dir() else path.parent.parent
    return directory.resolve() if location and (directory / "config.yaml").is_file() else None
