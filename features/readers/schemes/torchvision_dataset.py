"""``torch:NAME:DIR@split``: the labelled image datasets of torchvision, without downloads.

torchvision's classes share ``__getitem__``, which decodes an image, and little else. This module takes labels and files
from the attributes that hold them.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import ArrayImages, FileImages
from features.infrastructure.disk.regular_files import only_regular_files
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice, did_you_mean
from features.infrastructure.texts import Texts
from features.readers.checks import existing_directory
from features.readers.class_names import distinct_names, numbered_names
from features.readers.scheme import Scheme, SpecOption

#: Constructor arguments that choose a split, in order of preference.
_SELECTORS = ("split", "train", "version", "image_set")
#: Attributes that hold (image, label) pairs, images, and labels, in order of preference.
_PAIRS = ("samples", "_samples", "imgs")
_IMAGES = ("_image_files", "_images", "data")
_LABELS = ("_labels", "targets", "labels")

#: Classes that load a pickle whose content is not known beforehand, which could run code. (CIFAR's are compared with
#: the published digest first.)
_PICKLED = frozenset({"LSUN"})
#: What to do about missing files of datasets that ``download=True`` cannot fetch.
_INSTEAD = {
    "ImageNet": "put ILSVRC2012_devkit_t12.tar.gz and the archive of the split there, "
    "or read class folders with folder:{root}@{split}",
    "StanfordCars": "its download address is dead; put devkit/, cars_train/ and cars_test/ into {root}/stanford_cars, "
    "or use cars:DIR",
}


@dataclass(frozen=True)
class _Part:
    """One split: paths below the root, or pixels; labels; class names, or None."""

    images: list[str] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None


def open_torchvision(spec: DatasetSpec) -> ImageDataset:
    """Read ``torch:NAME:DIR@split``, such as ``torch:Flowers102:data@train+val``.

    DIR is the ``root`` of the class. The split is passed to the constructor as ``split``, ``train`` (``train`` or
    ``test``), ``version`` or ``image_set``; splits joined by ``+`` are concatenated. Other arguments that are words or
    numbers are options (``?annotation_level=family``). torchvision may unpack archives in DIR (ImageNet's), but
    downloads nothing. Files are sorted by path, and their ids are the paths below DIR; images in memory have ids
    ``split/position``. Classes with several names are called ``<wnid> <first name>``, those without a name
    ``class_<label>``.
    """
    name, _, directory = spec.location.partition(":")
    kind = _find(spec, name)
    if not directory:
        raise spec.error(f"{spec.scheme} needs a directory; type {spec.scheme}:{name}:DIR@split")
    path = Path(os.path.abspath(os.path.expanduser(directory)))
    root = existing_directory(spec, path, f"the root of torchvision.datasets.{name}")
    arguments = _parameters(kind)
    options = _options(spec, arguments)
    selector = next((word for word in _SELECTORS if word in arguments and word not in options), None)
    if selector is None and spec.split is not None:
        raise spec.error(f"{name} has no splits; leave @{spec.split} out")
    parts = []
    splits = [""] if selector is None or spec.split is None else spec.split.split("+")
    for split in splits:
        chosen = {} if selector is None else {selector: _choice(spec, name, selector, split)}
        opened = _construct(spec, kind, root, arguments, options | chosen, split)
        parts.append(_part(spec, name, opened, str(root) + os.sep))
    return _assemble(spec, root, splits, parts)


def from_torchvision(spec: DatasetSpec, dataset: Any) -> ImageDataset | None:
    """Read an instance of a class of torchvision in the order of its items; ids are as in :func:`open_torchvision`.

    None if its items are not the images in its files or in memory, because a function changes them or it has a loader
    of its own, or if their labels are not known without decoding.
    """
    from torchvision.datasets.folder import default_loader

    changed = any(getattr(dataset, name, None) for name in ("transform", "target_transform", "transforms"))
    loader = getattr(dataset, "loader", default_loader)
    ours = type(dataset).__module__.partition(".")[0] == "torchvision"
    if not ours or changed or loader is not default_loader:
        return None
    root = Path(os.path.abspath(dataset.root))
    try:
        part = _part(spec, type(dataset).__name__, dataset, str(root) + os.sep, in_order=True)
    except InputError:
        return None
    return _assemble(spec, root, [""], [part])


def _assemble(spec: DatasetSpec, root: Path, splits: Sequence[str], parts: Sequence[_Part]) -> ImageDataset:
    """Concatenate the parts."""
    labels = np.concatenate([part.labels for part in parts])
    classes = parts[0].classes
    if any(part.classes != classes for part in parts):
        raise spec.error(f"the splits {' and '.join(splits)} have different classes; open them one by one")
    if classes is None:
        values, labels = np.unique(labels, return_inverse=True)
        classes = numbered_names(values.tolist())
    pixels = [part.images for part in parts if isinstance(part.images, np.ndarray)]
    if pixels:
        ids = [
            f"{split}/{i}" if split else str(i)
            for split, part in zip(splits, parts, strict=True)
            for i in range(len(part.labels))
        ]
        return ImageDataset(str(spec), classes, labels, Texts.of(ids), ArrayImages(np.concatenate(pixels)))
    paths = [path for part in parts for path in part.images]
    return ImageDataset(str(spec), classes, labels, Texts.of(paths), FileImages(root, paths))


def _find(spec: DatasetSpec, name: str) -> type:
    """The class of torchvision.datasets called ``name``."""
    from torchvision import datasets

    known = [word for word in datasets.__all__ if inspect.isclass(getattr(datasets, word, None))]
    if name not in known:
        raise spec.error(f"torchvision.datasets has no class {name!r}{did_you_mean(name, known)}")
    if name in _PICKLED:
        raise spec.error(f"torchvision.datasets.{name} loads a pickle, which can run code; make class folders of it")
    kind = getattr(datasets, name)
    arguments = _parameters(kind)
    if "root" not in arguments:
        raise spec.error(f"torchvision.datasets.{name} does not read from a directory")
    for word, parameter in arguments.items():
        if parameter.default is parameter.empty and word not in ("root", *_SELECTORS):
            raise spec.error(f"torchvision.datasets.{name} needs the argument {word!r}, which a spec cannot give")
    return kind


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """The arguments of the constructor, and of the base class's one if it passes ``**kwargs`` on."""
    found: dict[str, inspect.Parameter] = {}
    for owner in kind.__mro__:
        if "__init__" not in vars(owner):
            continue
        signature = inspect.signature(owner.__init__).parameters  # type: ignore[misc]
        for word, parameter in signature.items():
            if word != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(word, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values()):
            break
    return found


def _simple(arguments: dict[str, inspect.Parameter]) -> dict[str, Any]:
    """The defaults of the constructor's arguments that are words or numbers, by name."""
    return {
        word: parameter.default
        for word, parameter in arguments.items()
        if word not in ("root", "download")
        and (isinstance(parameter.default, (str, int)) or (word in _SELECTORS and parameter.default is parameter.empty))
    }


def _options(spec: DatasetSpec, arguments: dict[str, inspect.Parameter]) -> dict[str, Any]:
    """The options that are constructor arguments, converted to the type of their default."""
    converted: dict[str, Any] = {}
    for word, default in _simple(arguments).items():
        if word not in spec.options:
            continue
        text = spec.options[word]
        if isinstance(default, bool):
            if text not in ("true", "false"):
                raise spec.error(f"{word}={text} is neither true nor false")
            converted[word] = text == "true"
        else:
            converted[word] = spec.integer(word) if isinstance(default, int) else text
    return converted


def _choice(spec: DatasetSpec, name: str, selector: str, split: str) -> str | bool:
    """The value of the argument ``selector`` for a split."""
    if selector == "version" and split in ("2017", "2018", "2019"):
        raise spec.error(
            f"torchvision merges train and val of iNaturalist {split}; read its JSON instead, with "
            f"inat:train{split}.json?root=DIR"
        )
    if selector != "train":
        return split
    if split not in ("train", "test"):
        raise _unknown_split(spec, name, split, ["train", "test"])
    return split == "train"


def _unknown_split(spec: DatasetSpec, name: str, split: str, available: Sequence[str]) -> InputError:
    if spec.split is None:
        return spec.error(
            f"say which split, such as torch:{spec.location}@{available[0]}; {name} has {', '.join(available)}"
        )
    return spec.error(f"{name} has no split {split!r}; {choice(split, available)}")


def _construct(
    spec: DatasetSpec, kind: type, root: Path, arguments: Iterable[str], chosen: dict[str, Any], split: str
) -> Any:
    """The torchvision dataset; any error that it raises becomes an `InputError`."""
    name = kind.__name__
    download = {"download": False} if "download" in arguments else {}
    message = ""
    try:
        # Caltech101 and Caltech256 create their folder before they look for files in it.
        if not (name.startswith("Caltech") and not (root / name.lower()).is_dir()):
            with only_regular_files():
                return kind(root=str(root), **chosen, **download)
        cause: Exception | None = None
    except InputError as error:
        raise spec.error(str(error)) from error
    except Exception as error:  # torchvision raises errors of any type on files that it cannot read
        valid = re.search(r"for argument (?:split|version|image_set)\. Valid values are \{(.*)\}", str(error))
        if valid:
            raise _unknown_split(spec, name, split, re.findall(r"'([^']*)'", valid[1])) from error
        cause = error
        message = str(error).partition(" You can ")[0].strip().partition("\n")[0] or type(error).__name__
    what = f"torchvision.datasets.{name} cannot be read from {root}: {message or 'Dataset not found.'}"
    unpacked = split.partition("_")[2]  # the archives of INaturalist 2021 hold a folder without the year
    if name == "INaturalist" and unpacked and (root / unpacked).is_dir():
        remedy = f"{root / unpacked} is there: read it with folder:{root}@{unpacked}, or rename it to {split}"
    elif name in _INSTEAD:
        remedy = _INSTEAD[name].format(root=root, split=split)
    elif download:
        words = "".join(f", {word}={value!r}" for word, value in chosen.items() if value != "")
        call = f"torchvision.datasets.{name}({str(root)!r}{words}, download=True)"
        remedy = f'to download it there, run python -c "import torchvision; {call}"'
    else:
        remedy = f"see the documentation of torchvision.datasets.{name} for its layout"
    raise spec.error(f"{what.rstrip('.')}; {remedy}") from cause


def _part(spec: DatasetSpec, name: str, dataset: Any, below: str, in_order: bool = False) -> _Part:
    """The files, sorted unless ``in_order``, and labels of a torchvision dataset, without decoding an image."""
    images, targets = _listing(spec, name, dataset)
    labels = np.asarray(targets)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(images):
        raise spec.error(f"torchvision.datasets.{name} does not give one class an image in this split")
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise spec.error(f"{int((labels < 0).sum())} images have no label (-1); choose a labelled split")
    if not len(images) or isinstance(images[0], (str, os.PathLike)):
        # Some classes list a directory in the order of the disk. Sorting makes ids and labels stable.
        paths = [os.path.abspath(path).removeprefix(below).replace(os.sep, "/") for path in images]
        order = list(range(len(paths))) if in_order else sorted(range(len(paths)), key=paths.__getitem__)
        return _Part([paths[i] for i in order], labels[order], _class_names(dataset))
    pixels = np.asarray(images) if isinstance(images, np.ndarray) else np.stack([np.asarray(image) for image in images])
    if pixels.ndim == 4 and pixels.shape[-1] != 3 and pixels.shape[1] == 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    return _Part(pixels, labels, _class_names(dataset))


def _listing(spec: DatasetSpec, name: str, dataset: Any) -> tuple[Any, Any]:
    """Images (paths or arrays) and labels, as the dataset stores them."""
    if name == "INaturalist":
        folders = [os.path.join(dataset.root, folder) for folder in dataset.all_categories]
        return [os.path.join(folders[i], file) for i, file in dataset.index], [i for i, _ in dataset.index]
    if name in ("Caltech101", "Caltech256"):
        form = ("image_{1:04d}.jpg", "{0:03d}_{1:04d}.jpg")[name == "Caltech256"]
        folder = os.path.join(dataset.root, f"{name.removeprefix('Caltech')}_ObjectCategories")
        return [
            os.path.join(folder, dataset.categories[y], form.format(y + 1, i))
            for y, i in zip(dataset.y, dataset.index, strict=True)
        ], dataset.y
    for word in _PAIRS:
        if pairs := getattr(dataset, word, None):
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    held = [next((word for word in words if hasattr(dataset, word)), None) for words in (_IMAGES, _LABELS)]
    if held[0] is None or held[1] is None:
        raise spec.error(
            f"torchvision.datasets.{name} has no attribute with its images and labels ({', '.join(_LABELS)}), "
            f"so they are not known without decoding; make class folders and use folder:DIR"
        )
    return getattr(dataset, held[0]), getattr(dataset, held[1])


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    """The class names in the order of the labels; None if the dataset has none."""
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    names = names or getattr(dataset, "all_categories", None)
    if names is None and getattr(dataset, "class_to_idx", None):
        names = sorted(dataset.class_to_idx, key=dataset.class_to_idx.__getitem__)
    if not names:
        return None
    if not isinstance(names[0], str):  # ImageNet, Imagenette: the synonyms of each WordNet id
        names = [f"{wnid} {synonyms[0]}" for wnid, synonyms in zip(dataset.wnids, names, strict=True)]
    return distinct_names(list(names), range(len(names)))


def _arguments(spec: DatasetSpec) -> dict[str, SpecOption]:
    """The arguments of the dataset's constructor that are words or numbers, such as `annotation_level=family`."""
    of_class = _simple(_parameters(_find(spec, spec.location.partition(":")[0])))
    return {
        word: SpecOption("VALUE", f"`{word}` of the constructor", str(default)) for word, default in of_class.items()
    }


_MEANING = "any labelled image class of torchvision.datasets, such as Flowers102 or CIFAR100"
TORCHVISION = Scheme(
    "torch",
    _MEANING,
    "torch:NAME:DIR@split",
    open_torchvision,
    _arguments,
)
