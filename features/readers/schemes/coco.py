"""``inat:FILE.json``: iNaturalist, and any JSON of ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.formats.json_lists import read_lists
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
from features.readers.class_names import distinct_names
from features.readers.scheme import Scheme

#: The fields that the entries of each list must have, and their types. An id is a number or a word.
_LISTS: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": (int, str), "file_name": (str,)},
    "annotations": {"image_id": (int, str), "category_id": (int, str)},
    "categories": {"id": (int, str), "name": (str, int)},
}
#: Fields that they may have.
_FURTHER = {"categories": ("supercategory",)}
#: Bytes of a file by which it is recognised; what comes before the lists is a few lines about the dataset.
_BEGINNING = 1 << 16


def open_coco(spec: DatasetSpec) -> ImageDataset:
    """Read ``inat:FILE.json[?root=DIR]`` (iNaturalist 2017, 2018, 2019, 2021, or COCO-style).

    Classes are the categories in the order of their ids; numbers come before words. A name that occurs twice becomes
    ``supercategory/name``; if that occurs twice too, the id is appended. Images without an annotation are left out. Ids
    are the file names, which start from the directory ``root``, by default that of the JSON file.

    Raises:
        InputError: The file or the root is missing, the JSON has another structure, an annotation names an image or a
            category that is not listed, or an image has annotations of several categories.
    """
    path = existing_file(spec, expanded(spec.location), "a JSON file with images, annotations and categories")
    check_split(spec, ())
    root = image_root(spec, path.parent)
    content = _parse(spec, path)
    file_of = _by_id(spec, path, content["images"], "images")
    category = _by_id(spec, path, content["categories"], "categories")
    category_of: dict[Any, Any] = {}
    for annotation in content["annotations"]:
        image, named = annotation["image_id"], annotation["category_id"]
        if category_of.setdefault(image, named) != named:
            raise spec.error(
                f"{path}: image {image!r} has annotations of several categories ({category_of[image]!r} and "
                f"{named!r}); expected one class an image"
            )
    for image, named in category_of.items():
        if image not in file_of:
            raise spec.error(f"{path}: an annotation names image {image!r}, which is not among the images")
        if named not in category:
            raise spec.error(f"{path}: the annotation of image {image!r} names category {named!r}, which is not listed")
    if not category_of:
        raise spec.error(f"{path} has no annotations, so no labels; name the file of a labelled split")
    order = sorted(category, key=lambda key: (isinstance(key, str), key))
    position = {key: i for i, key in enumerate(order)}
    images = [image for image in file_of if image in category_of]
    paths, source = images_below(spec, root, [file_of[image]["file_name"] for image in images], ROOT_REMEDY)
    labels = np.array([position[category_of[image]] for image in images])
    classes = _class_names([category[key] for key in order])
    return ImageDataset(str(spec), classes, labels, Texts.of(paths), source)


def _parse(spec: DatasetSpec, path: Location) -> dict[str, list[dict[str, Any]]]:
    """Read the three lists, with the fields of :data:`_LISTS` and the supercategories, and check them."""

    kept = {name: (*fields, *_FURTHER.get(name, ())) for name, fields in _LISTS.items()}

    def checked(name: str, number: int, entry: Any) -> dict[str, Any]:
        fields = _LISTS[name]
        if not isinstance(entry, dict) or not entry.keys() >= fields.keys():
            raise spec.error(f"{path}: entry {number} of {name} lacks one of {', '.join(sorted(fields))}")
        for field, types in fields.items():
            value = entry[field]
            if isinstance(value, types):
                continue
            whole = isinstance(value, float) and value.is_integer()  # as pandas writes them
            if not (whole and int in types):
                expected = "a number or a word" if int in types else "a path"
                raise spec.error(f"{path}: entry {number} of {name} has the {field} {value!r}; expected {expected}")
        return {field: entry[field] for field in kept[name] if field in entry}

    try:
        with path.open("rb") as file:
            content = read_lists(file.read(), {name: partial(checked, name) for name in _LISTS})
    except InputError:  # of an address, or of an entry
        raise
    except OSError as error:
        raise spec.error(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise spec.error(f"{path} is nested too deep for a file of images and labels; name another file") from error
    except ValueError as error:  # malformed JSON, or not text
        raise spec.error(f"{path} is not JSON: {error}") from error
    if missing := [name for name in _LISTS if name not in content]:
        raise spec.error(f"{path} has no list {missing[0]!r}; expected images, annotations and categories")
    return content


def _by_id(spec: DatasetSpec, path: Location, entries: list[dict[str, Any]], name: str) -> dict[Any, dict[str, Any]]:
    table = {entry["id"]: entry for entry in entries}
    if len(table) != len(entries):
        twice = Counter(entry["id"] for entry in entries).most_common(1)[0][0]
        raise spec.error(f"{path}: the id {twice!r} occurs twice among the {name}")
    return table


def _class_names(categories: list[Mapping[str, Any]]) -> tuple[str, ...]:
    plain = [str(category["name"]) for category in categories]
    times = Counter(plain)
    placed = [
        f"{category['supercategory']}/{name}" if times[name] > 1 and category.get("supercategory") else name
        for name, category in zip(plain, categories, strict=True)
    ]
    return distinct_names(placed, (category["id"] for category in categories))


_MEANING = "iNaturalist 2017 to 2021 and any COCO-style JSON; ?root=DIR says where the images are"


def _recognised(path: Path) -> DatasetSpec | None:
    """A JSON file of which one of the lists begins in the first part; other JSON has many uses."""
    if path.suffix != ".json" or not path.is_file():
        return None
    with path.open("rb") as file:
        begins = re.search(rb'"(%s)"\s*:\s*\[' % "|".join(_LISTS).encode(), file.read(_BEGINNING))
    return DatasetSpec("inat", str(path)) if begins else None


INAT = Scheme(
    "inat", _MEANING, "inat:FILE.json", open_coco, {"root": ROOT_OPTION}, addresses=True, recognises=_recognised
)
