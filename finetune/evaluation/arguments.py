"""Checks of a run and a dataset that are given together, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from features.checkpoint import is_trained_model, open_checkpoint
from features.dataset_spec import DatasetSpec
from features.infrastructure.disk.files import check_new
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import on_disk
from features.readers import SCHEMES
from features.readers.spec_options import files_of


def check_run(run: str, dataset: str) -> None:
    """Raise ``InputError`` if the run is an address or a dataset, or has no trained model, or the dataset is a run."""
    on_disk(run, "`run`")
    scheme, colon, _ = run.partition(":")
    if colon and scheme in SCHEMES and not Path(run).exists():
        raise InputError(f"`run` {run}: is a dataset; give the run first, then the dataset")
    if is_trained_model(dataset):
        raise InputError(f"{dataset}: is a trained model, not a dataset; give the run first, then the dataset")
    open_checkpoint(run)


def check_outputs(run: str, dataset: DatasetSpec, files: Mapping[str, str | None], *, overwrite: bool = False) -> None:
    """Check that ``files``, by what messages call them, can be written, and are none of the run's or the dataset's.

    See :func:`features.infrastructure.disk.files.check_new`.
    """
    check_new(files, read=[*_files_of_model(Path(run)), *files_of(dataset)], overwrite=overwrite)


def _files_of_model(run: Path) -> Iterator[Path]:
    """The files of a run directory, or of a checkpoint, whose card is beside it."""
    yield from (run, run.with_suffix(".json"), *run.rglob("*"))
