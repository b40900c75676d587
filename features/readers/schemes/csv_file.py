"""``csv:FILE.csv[@split]``: a table with a column of image paths and a column of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.formats.tables import read_columns, read_rows
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import (
    ROOT_OPTION,
    ROOT_REMEDY,
    check_split,
    existing_file,
    expanded,
    image_root,
    images_below,
)
from features.readers.class_names import sorted_classes
from features.readers.scheme import Scheme, SpecOption

#: Columns that are taken where the options ``image`` and ``label`` name none, by their names in lower case.
IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath", "image_path", "image_id", "img")
LABEL_COLUMNS = ("label", "class", "category", "species", "target", "class_name")
#: The column of the part that an image belongs to.
SPLIT_COLUMN = "split"


def open_csv(spec: DatasetSpec) -> ImageDataset:
    """Read ``csv:FILE.csv[@split][?image=COLUMN&label=COLUMN&root=DIR&ending=.jpg]``.

    Paths start from the directory ``root``, by default that of the table; ``ending`` is added to them. Labels are the
    names of the classes, in sorted order. A split is a value of the column ``split``. Ids are the paths.

    Raises:
        InputError: The file is no table, a column is missing or may be meant by two, or a row has no path or no label.
    """
    path = existing_file(spec, expanded(spec.location), "a table with a column of image paths and a column of labels")
    columns = read_columns(path, kind=_KIND)
    image = _column(spec, path, columns, "image", IMAGE_COLUMNS)
    label = _column(spec, path, columns, "label", LABEL_COLUMNS)
    needed = [image, label] if spec.split is None else [image, label, SPLIT_COLUMN]
    paths: list[str] = []
    names: list[str] = []
    splits: list[str] = []
    for line, row in read_rows(path, list(dict.fromkeys(needed)), kind=_KIND):
        for column in (image, label):
            if not row[column]:
                raise spec.error(f"{path}, line {line}: has no value in the column {column!r}")
        paths.append(row[image] + spec.options.get("ending", ""))
        names.append(row[label])
        splits.append(row.get(SPLIT_COLUMN, ""))
    if spec.split is not None:
        check_split(spec, list(dict.fromkeys(splits)))
    kept = [i for i, split in enumerate(splits) if spec.split in (None, split)]
    classes, labels = sorted_classes([names[i] for i in kept])
    root = image_root(spec, path.parent)
    ids, images = images_below(spec, root, [paths[i] for i in kept], ROOT_REMEDY)
    return ImageDataset(str(spec), classes, labels, Texts.of(ids), images)


def splits_in(path: str) -> list[str]:
    """Return the values of the column ``split`` of a table, in their order; empty if there is no such column."""
    if SPLIT_COLUMN not in read_columns(path, kind=_KIND):
        return []
    return list(dict.fromkeys(row[SPLIT_COLUMN] for _, row in read_rows(path, [SPLIT_COLUMN], kind=_KIND)))


def _column(spec: DatasetSpec, path: Location, columns: Sequence[str], option: str, usual: Collection[str]) -> str:
    """The column that an option names, or the only one with a usual name."""
    asked = spec.options.get(option)
    found = [name for name in columns if (name == asked if asked else name.lower() in usual)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(columns) or "none"
    if asked:
        raise spec.error(f"{path} has no column {asked!r}; its columns are {there}")
    fault = f"may have its {option}s in the columns {' and '.join(found)}" if found else f"has no column {option!r}"
    raise spec.error(f"{path} {fault}; name one with ?{option}=COLUMN (its columns are {there})")


_KIND = "table of images"
_MEANING = "a table with a column of image paths and one of labels; ?image=, ?label= name them, ?ending=.jpg is added"


def _recognised(path: Path) -> DatasetSpec | None:
    return DatasetSpec("csv", str(path)) if path.suffix == ".csv" else None


_OPTIONS = {
    "image": SpecOption("COLUMN", f"the column of image paths; by default one called {', '.join(IMAGE_COLUMNS)}"),
    "label": SpecOption("COLUMN", f"the column of class names; by default one called {', '.join(LABEL_COLUMNS)}"),
    "root": ROOT_OPTION,
    "ending": SpecOption("ENDING", "what is added to each path, such as .jpg, where the table leaves it out"),
}
CSV = Scheme("csv", _MEANING, "csv:FILE.csv[@split]", open_csv, _OPTIONS, addresses=True, recognises=_recognised)
