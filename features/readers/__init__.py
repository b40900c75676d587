"""Dataset readers: one spec in, classes, labels, ids and counts out, with no image decoded.

Each scheme is one function ``(DatasetSpec) -> ImageDataset`` in a module of its own, imported when the
scheme is first used: opening a folder imports neither SciPy nor torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice
from features.readers.checks import wrong
from features.readers.exclusion import GENERIC_OPTIONS, part

__all__ = ["SCHEMES", "open_dataset"]


@dataclass(frozen=True)
class _Reader:
    """Where a scheme's reader is, and what it takes.

    Attributes:
        form: The spec to type, with placeholders.
        reads: What it reads, in one line.
        function: ``module:function`` below this package.
        options: The names it takes after ``?``; None where the reader itself checks them.
    """

    form: str
    reads: str
    function: str
    options: frozenset[str] | None = frozenset()

    @property
    def needs_location(self) -> bool:
        return not self.form.partition(":")[2].startswith("[")


_READERS = {
    "folder": _Reader(
        "folder:DIR[@split]",
        "one folder a class; ?names=FILE gives the folders readable names",
        "folder:open_folder",
        frozenset({"names"}),
    ),
    "cub": _Reader("cub:DIR[@train|@test]", "CUB-200-2011 in its official text files", "cub:open_cub"),
    "nabirds": _Reader("nabirds:DIR[@train|@test]", "NABirds in its official text files", "cub:open_cub"),
    "dogs": _Reader("dogs:DIR[@train|@test]", "Stanford Dogs: train_list.mat, test_list.mat", "matlab:open_dogs"),
    "cars": _Reader(
        "cars:DIR[@train|@test]", "Stanford Cars: the devkit's .mat files, or class folders", "matlab:open_cars"
    ),
    "inat": _Reader(
        "inat:FILE.json",
        "iNaturalist 2017 to 2021 and any COCO-style JSON; ?root=DIR says where the images are",
        "coco:open_coco",
        frozenset({"root"}),
    ),
    "list": _Reader(
        "list:FILE.txt[.gz]",
        "lines of 'relative/path label'; ?root=DIR says where the images are",
        "list_file:open_list",
        frozenset({"root"}),
    ),
    "torch": _Reader(
        "torch:NAME:DIR@split",
        "any labelled image class of torchvision.datasets, such as Flowers102 or CIFAR100",
        "torchvision_dataset:open_torchvision",
        None,
    ),
    "hf": _Reader(
        "hf:NAME@split",
        "Hugging Face datasets, by name or saved on disk (extra hf)",
        "hub:open_hub",
        frozenset({"config", "image", "label"}),
    ),
    "wds": _Reader(
        "wds:PATTERN",
        "WebDataset tar shards, such as data/train-{0000..0099}.tar",
        "shards:open_shards",
        frozenset({"names"}),
    ),
    "images": _Reader(
        "images:DIR", "images without labels, anywhere below a folder: one class", "unlabelled:open_images"
    ),
    "clusters": _Reader(
        "clusters:FILE.csv", "another dataset by the clusters that transfer cluster found", "clusters:open_clusters"
    ),
    "glyphs": _Reader(
        "glyphs:[SCRIPT,...]",
        "printed characters, embedded: the demo's source",
        "embedded:open_glyphs",
        frozenset({"min_faces"}),
    ),
    "digits": _Reader(
        "digits:[@train|@test]", "handwritten digits, embedded: the demo's target", "embedded:open_digits"
    ),
}

#: What each scheme reads, one line each: ``{"folder": "folder:DIR[@split]: one folder a class …", …}``.
SCHEMES: Mapping[str, str] = MappingProxyType({name: f"{r.form}: {r.reads}" for name, r in _READERS.items()})


def open_dataset(spec: str | DatasetSpec) -> ImageDataset:
    """Open the dataset that ``spec`` names; no image is decoded.

    Every scheme takes these options after ``?``:

    * ``per_class=K``: K images of each class, drawn at random; a class with fewer keeps all.
    * ``imbalance=F``: a long tail, from the largest class down to 1/F of it in the order of the
      labels (Cui et al., CVPR 2019; see :func:`features.readers.subsampling.long_tail_counts`).
    * ``seed=S``: the seed of these draws, default 0.
    * ``exclude=FILE.csv[,FILE.csv…]``: without the images whose ids the files list, such as those that ``transfer
      duplicates`` writes. Before ``per_class`` or ``imbalance`` it is what they draw from, behind them it
      takes images out of what was drawn; see :mod:`features.readers.exclusion`.

    Args:
        spec: ``scheme:location[@split][?option=value&…]``, see :data:`SCHEMES`.

    Raises:
        InputError: The spec cannot be read; the message says what was expected, what was found and
            what to type.
    """
    spec = DatasetSpec.parse(spec) if isinstance(spec, str) else spec
    reader = _READERS.get(spec.scheme)
    if reader is None:
        raise InputError(f"dataset spec {str(spec)!r}: unknown scheme {spec.scheme!r}; {choice(spec.scheme, _READERS)}")
    if reader.needs_location and not spec.location:
        raise wrong(spec, f"{spec.scheme} needs a location; type {reader.form}")
    if reader.options is not None:
        takes = [*sorted(reader.options), *GENERIC_OPTIONS]
        for name in spec.options:
            if name not in takes:
                raise wrong(spec, f"{spec.scheme} has no option {name!r}; {choice(name, takes)}")
    module, _, function = reader.function.partition(":")
    read = cast(Callable[[DatasetSpec], ImageDataset], getattr(import_module(f"features.readers.{module}"), function))
    dataset = read(spec)
    if not len(dataset):
        raise wrong(spec, f"the dataset is empty; expected {reader.reads}")
    return part(dataset, spec)
