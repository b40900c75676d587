"""``hf:NAME@split``: Hugging Face datasets, from the hub, a local folder, or ``save_to_disk`` (extra ``hf``)."""

from __future__ import annotations

import io
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.changes import last_change
from features.dataset import ImageDataset
from features.dataset_spec import IN_PYTHON, DatasetSpec
from features.image_sources import read_image
from features.infrastructure.suggestions import choice
from features.infrastructure.texts import Texts
from features.readers.checks import check_split, expanded, is_directory, is_file
from features.readers.class_names import numbered_names, sorted_classes
from features.readers.scheme import Scheme, SpecOption


class HubImages:
    """Images of N rows of a ``datasets.Dataset``, encoded as ``bytes`` or ``path`` in one of its columns."""

    def __init__(self, table: Any, column: str, indices: NDArray[np.int64]) -> None:
        self.table, self.column, self.indices = table, column, indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        image = self.table[int(self.indices[index])][self.column] or {}
        encoded = image.get("bytes")
        return read_image(image.get("path") or "" if encoded is None else io.BytesIO(encoded), min_side)

    def take(self, indices: NDArray[np.int64]) -> HubImages:
        return HubImages(self.table, self.column, self.indices[indices])

    def fingerprint(self) -> bytes:
        pc = import_module("pyarrow.compute")  # comes with datasets

        sizes = []
        for batch in self.table.with_format("arrow").iter(batch_size=1000):
            images = batch[self.column].combine_chunks()
            length = pc.fill_null(pc.binary_length(images.field("bytes")), -1).to_numpy(zero_copy_only=False)
            length = length.astype(np.int64)
            for row in np.flatnonzero(length < 0).tolist():  # the image is a file outside the table
                path = images.field("path")[row].as_py()
                length[row] = os.stat(path).st_size if path and Path(path).is_file() else -1
            sizes.append(length)
        return np.concatenate(sizes)[self.indices].tobytes()

    def modified(self) -> float:
        return last_change(os.path.getmtime(file["filename"]) for file in self.table.cache_files)


def open_hub(spec: DatasetSpec) -> ImageDataset:
    """Read ``hf:NAME@split[?config=NAME][&image=COLUMN][&label=COLUMN]``.

    NAME is a dataset of the hub (downloaded to its cache once), a folder that ``datasets`` reads, or a folder that
    ``save_to_disk`` wrote. The split may be a slice, such as ``train[:10%]``. The image column and the ``ClassLabel``
    column are found by their types; if there are several, the options ``image`` and ``label`` choose. The classes of a
    label column of numbers or words are its sorted values. Only the label column is read. Ids are ``split/row``.
    """
    return from_table(spec, _load(spec, _import_datasets(spec)))


def from_table(spec: DatasetSpec, table: Any) -> ImageDataset:
    """Read a ``datasets.Dataset``, whose columns of images and labels are found as :func:`open_hub` says."""
    image, label = _column(spec, table.features, "image", "Image"), _label_column(spec, table.features)
    column = table.select_columns([label])[:][label]
    kinds = {type(value) for value in column}
    if kinds == {bool}:
        column = list(map(str, column))
    elif not (kinds <= {int} or kinds <= {str}):
        held = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise spec.error(f"the column {label!r} is not one label an image, a number or a word; it holds {held}")
    if hasattr(table.features[label], "names"):
        classes, numbers = tuple(table.features[label].names), np.array(column).astype(np.int64)
        if len(numbers) and numbers.min() < 0:
            raise spec.error(f"{int((numbers < 0).sum())} images have no label (-1); choose a labelled split")
    else:
        if kinds <= {int}:
            found, numbers = np.unique(np.array(column), return_inverse=True)
            classes = numbered_names(found.tolist())
        else:
            classes, numbers = sorted_classes(column)
    encoded = table.select_columns([image]).cast_column(image, type(table.features[image])(decode=False))
    ids = [f"{spec.split}/{row}" if spec.split else str(row) for row in range(len(numbers))]
    return ImageDataset(str(spec), classes, numbers, Texts.of(ids), HubImages(encoded, image, np.arange(len(numbers))))


def _import_datasets(spec: DatasetSpec) -> ModuleType:
    try:
        package = import_module("datasets")
        package.load_dataset  # noqa: B018  # a folder called datasets is imported as an empty package
    except (ImportError, AttributeError) as error:
        raise spec.error("hf needs the package datasets; run pip install 'transfer-toolkit[hf]'") from error
    return package


def _load(spec: DatasetSpec, datasets: ModuleType) -> Any:
    """The split as a ``datasets.Dataset``."""
    path = expanded(spec.location)
    if is_file(path):
        raise spec.error(f"{path} is a file; expected a name of the hub, or a folder")
    if is_directory(path) and (path / f"{path.resolve().name}.py").exists():
        raise spec.error(f"{path} holds a loading script, which is not run; keep the data files alone, or save_to_disk")
    saved = is_file(path / "dataset_dict.json") or is_file(path / "state.json")
    name = str(path) if is_directory(path) else spec.location
    early = (
        int(getattr(datasets, "__version__", "4").partition(".")[0]) < 4
    )  # later versions run no loading scripts at all
    no_scripts = {"trust_remote_code": False} if early else {}
    try:
        if saved:
            loaded = datasets.load_from_disk(name)
            splits = list(loaded) if hasattr(loaded, "keys") else [str(loaded.split or "train")]
        elif spec.split is None:
            splits = datasets.get_dataset_split_names(name, spec.options.get("config"), **no_scripts)
        else:
            return datasets.load_dataset(name, spec.options.get("config"), split=spec.split, **no_scripts)
    except Exception as error:  # the hub, its cache and dataset builders raise errors of any type
        lines = str(error).strip().splitlines()
        raise spec.error(f"datasets cannot load it: {lines[0] if lines else type(error).__name__}") from error
    if spec.split is None:
        raise spec.error(f"say which split, such as hf:{spec.location}@{splits[0]}; there are {', '.join(splits)}")
    check_split(spec, splits)
    return loaded[spec.split] if hasattr(loaded, "keys") else loaded


def _label_column(spec: DatasetSpec, features: Any) -> str:
    if spec.options.get("label") in features:
        return spec.options["label"]
    return _column(spec, features, "label", "ClassLabel")


def _column(spec: DatasetSpec, features: Any, option: str, kind: str) -> str:
    """The column of a kind of feature that the option names, or the only one."""
    candidates = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if option in spec.options:
        wanted = spec.options[option]
        if wanted in candidates:
            return wanted
        if wanted in features:
            raise spec.error(
                f"the column {wanted!r} is no {option} column; there are {', '.join(candidates) or 'none'}"
            )
        raise spec.error(f"no column {wanted!r}; {choice(wanted, features)}")
    if len(candidates) == 1:
        return candidates[0]
    found = f"several {option} columns" if candidates else f"no {option} column"
    how = f"`{option}`" if spec.scheme == IN_PYTHON else f"?{option}=COLUMN"
    raise spec.error(f"{found}; say which with {how}; there are {', '.join(candidates or features)}")


_MEANING = "Hugging Face datasets, by name or saved on disk (extra hf)"
_OPTIONS = {
    "config": SpecOption("NAME", "the configuration, of a dataset that has several"),
    "image": SpecOption("COLUMN", "the column of images; found by itself where there is one"),
    "label": SpecOption("COLUMN", "the column of labels; found by itself where there is one"),
}
HUGGINGFACE = Scheme("hf", _MEANING, "hf:NAME@split", open_hub, _OPTIONS)
