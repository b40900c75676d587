"""``?holdout=0.2``: a dataset without a random share of its images, and the share by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.console import say_once
from features.infrastructure.formats.tables import read_rows
from features.infrastructure.storage.addresses import Location
from features.infrastructure.texts import Texts
from features.readers.checks import existing_file, expanded
from features.readers.copies import equal_images
from features.readers.rules import with_images
from features.readers.scheme import SpecOption

#: Columns of the file of the option ``groups``.
GROUP_COLUMNS = ("id", "group")
#: Values of ``part``; the first is the default.
KEPT, HELD_OUT = "kept", "held-out"
#: The options of :func:`hold_out`, which reads the option ``seed`` too.
HOLDOUT_OPTIONS = {
    "holdout": SpecOption("SHARE", "without this share of the images of each class; copies of an image stay together"),
    "part": SpecOption("PART", f"with `holdout`: `{HELD_OUT}` for the share that is held out", KEPT),
    "groups": SpecOption(
        "FILE.csv", f"with `holdout`: a table with the columns {' and '.join(GROUP_COLUMNS)}; a group stays together"
    ),
}


def held_out(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int, classes: int | None = None
) -> NDArray[np.bool_]:
    """Choose the images to hold out: a share of each class, and whole groups only.

    A class of n images has at most ``share``·n of them held out, rounded, at least one and at most n − 1. Each group of
    several images is held out with probability ``share`` if every class has room for it. Single images fill the room.
    Of a class that has nothing held out then, the smallest group is, also if it is more than the share.

    Args:
        labels: (N,) class of each image.
        groups: (N,) group of each image, from 0; images of one group are held out together or not at all.
        share: Above 0, below 1.
        seed: Seed of the draw.
        classes: Number of classes; by default the largest label + 1.

    Returns:
        (N,) which images are held out. A class with one group has none.
    """
    counts = np.bincount(labels, minlength=classes or 0)
    quota = np.clip(
        np.floor(share * counts + 0.5).astype(np.int64), np.minimum(1, counts - 1), np.maximum(counts - 1, 0)
    )
    room, held = quota.copy(), np.zeros(len(labels), dtype=bool)
    drawn = np.random.default_rng(seed).random(len(labels))
    sizes = np.bincount(groups)
    several = _members(groups, sizes)
    several.sort(key=lambda members: drawn[members[0]])

    def hold(members: NDArray[np.int64], room: NDArray[np.int64]) -> bool:
        of, needed = np.unique(labels[members], return_counts=True)
        fits = bool((room[of] >= needed).all())
        if fits:
            held[members] = True
            room[of] -= needed
        return fits

    for members in several:
        if drawn[members[0]] < share:
            hold(members, room)
    single = np.flatnonzero(sizes[groups] == 1)
    order = single[np.lexsort((drawn[single], labels[single]))]
    first = np.searchsorted(labels[order], labels[order], side="left")
    held[order[np.arange(len(order)) - first < room[labels[order]]]] = True
    # A class of groups alone may have none yet: its smallest group that leaves every class an image.
    kept = counts - np.bincount(labels[held], minlength=len(counts))
    if ((kept == counts) & (quota > 0)).any():
        for members in sorted(several, key=len):
            without = (kept == counts) & (quota > 0)
            if not held[members[0]] and without[labels[members]].any() and hold(members, kept - 1):
                kept -= np.bincount(labels[members], minlength=len(counts))
    return held


def hold_out(dataset: ImageDataset, spec: DatasetSpec) -> ImageDataset:
    """Apply :data:`HOLDOUT_OPTIONS`: the kept part of a dataset, or the held-out one.

    Equal images are one group, and so are the images that the file of ``groups`` gives one group. A line on the console
    says how many images are kept together.

    Raises:
        InputError: An option is malformed, or the file does not fit the dataset.
    """
    if "holdout" not in spec.options:
        for name in HOLDOUT_OPTIONS:
            if name in spec.options:
                raise spec.error(f"{name}={spec.options[name]} is an option of holdout=…; give a share, such as 0.2")
        return dataset
    part = spec.options.get("part", KEPT)
    if part not in (KEPT, HELD_OUT):
        raise spec.error(f"part={part} is neither {KEPT} nor {HELD_OUT}; type one of them")
    groups = equal_images(dataset.source)
    if "groups" in spec.options:
        path = existing_file(spec, expanded(spec.options["groups"]), f"a table with columns {','.join(GROUP_COLUMNS)}")
        groups = _joined(groups, _read_groups(dataset, spec, path))
    together = int((np.bincount(groups)[groups] > 1).sum())
    if together:
        whole = replace(spec, options={name: value for name, value in spec.options.items() if name != "part"})
        say_once(f"{whole}: {together:,} images are in groups of copies; each group is held out or kept as a whole")
    held = held_out(dataset.labels, groups, _share(spec), spec.integer("seed", 0) or 0, len(dataset.classes))
    if not held.any():
        raise spec.error(
            "no image can be held out: every class has a single image or a single group; give more of them"
        )
    return with_images(dataset.take(np.flatnonzero(held if part == HELD_OUT else ~held)))


def _share(spec: DatasetSpec) -> float:
    try:
        share = float(spec.options["holdout"])
    except ValueError:
        share = math.nan
    if not 0 < share < 1:  # false for nan too
        raise spec.error(f"holdout={spec.options['holdout']} is not a share between 0 and 1, such as 0.2")
    return share


def _read_groups(dataset: ImageDataset, spec: DatasetSpec, path: Location) -> NDArray[np.int64]:
    """(N,) the group of each image in a file; an image that is not listed is a group of its own."""
    groups = np.arange(len(dataset))
    number_of: dict[str, int] = {}
    lines, ids, numbers = [], [], []
    for line, row in read_rows(path, GROUP_COLUMNS, kind="table of groups"):
        lines.append(line)
        ids.append(row["id"])
        numbers.append(number_of.setdefault(row["group"], len(dataset) + len(number_of)))
    places = dataset.ids.positions(Texts.of(ids))
    if len(unknown := np.flatnonzero(places < 0)):
        line, id_ = lines[unknown[0]], ids[unknown[0]]
        raise spec.error(f"{path}, line {line}: {id_!r} is no image of the dataset; remove the line")
    groups[places] = numbers
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the groups of images that are together in either grouping, directly or through other images."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = int(one.max()) + int(other.max()) + 2
    links = coo_array((np.ones(len(one), dtype=bool), (one, other + int(one.max()) + 1)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return np.unique(component[one], return_inverse=True)[1].astype(np.int64)


def _members(groups: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The positions of the images of each group that has several."""
    order = np.argsort(groups, kind="stable")
    order = order[sizes[groups[order]] > 1]
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, cuts) if len(order) else []
