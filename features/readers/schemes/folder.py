"""``folder:DIR[@split]``: one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.names import class_name
from features.infrastructure.storage.addresses import Location
from features.readers.checks import check_split, existing_directory, existing_file, expanded, numbered_lines
from features.readers.class_folders import read_class_folders
from features.readers.class_names import distinct_names
from features.readers.folders import folders_at
from features.readers.rules import with_images
from features.readers.scheme import Scheme, SpecOption


def open_folder(spec: DatasetSpec) -> ImageDataset:
    """Read ``folder:DIR[@split][?names=FILE]``; a split is a folder below DIR.

    Class folders are sorted by name, and the images below each of them by path; see
    :meth:`features.readers.folders.Folders.images_below`. Images beside the class folders are not in the dataset, and
    a line on the console names them. Ids are POSIX paths below DIR, including the split's folder.

    The option ``names`` is a file below DIR with lines such as ``n01443537<TAB>goldfish, Carassius auratus``
    (Tiny ImageNet's ``words.txt``). It names that class ``n01443537 goldfish``.
    """
    root = existing_directory(spec, expanded(spec.location), "a directory with one folder a class")
    folders = folders_at(spec, root)
    if spec.split is not None:
        check_split(spec, folders.subfolders(""))
    dataset = with_images(read_class_folders(spec, root, [spec.split or ""], folders))
    if "names" not in spec.options:
        return dataset
    return replace(dataset, classes=_readable_names(spec, root, dataset.classes))


def _readable_names(spec: DatasetSpec, root: Location, folders: Sequence[str]) -> tuple[str, ...]:
    """``<folder> <first synonym>`` for each folder, from the file of the option ``names``."""
    expected = "lines of 'folder<TAB>name' for the option names"
    path = existing_file(spec, root / expanded(spec.options["names"]), expected)
    name_of: dict[str, str] = {}
    for number, line in numbered_lines(spec, path):
        folder, separator, synonyms = line.partition("\t" if "\t" in line else " ")
        first = synonyms.partition(",")[0].strip()
        if not separator or not first:
            raise spec.error(f"{path}, line {number}: {line!r} is not 'folder<TAB>name'")
        name_of[class_name(folder.strip())] = first
    known = [class_name(folder) for folder in folders]
    for folder in known:
        if folder not in name_of:
            raise spec.error(f"{path} has no line for the class folder {folder!r}")
    return distinct_names([f"{folder} {name_of[folder]}" for folder in known], known)


_MEANING = "one folder a class; ?names=FILE gives the folders readable names"
_NAMES = SpecOption("FILE", "lines of `folder<TAB>name` in a file below DIR, such as words.txt: readable class names")
FOLDER = Scheme("folder", _MEANING, "folder:DIR[@split]", open_folder, {"names": _NAMES}, addresses=True)
