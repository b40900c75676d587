"""A survey of a dataset whose items have to be read to know their labels: one pass, in worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from features.decoding import fetched, in_order
from features.image_sources import UnreadableImage
from features.infrastructure.console import progress
from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, own_positions
from features.readers.items import Keys, digest_of, find_keys, image_of, label_of, read_item

#: Items that a worker process reads at a time, and that are tried before a dataset is given up.
_BATCH = 64


@dataclass(frozen=True)
class FirstItem:
    """What the first item of a dataset that can be read is like.

    Attributes:
        keys: Where its image and its label are.
        shape: Its shape if it is a tensor of floats; None if it is an image.
    """

    keys: Keys
    shape: tuple[int, ...] | None


class _Look(Dataset):
    """Maps a list of positions to the first item among them that can be read; raises `InputError` if none can."""

    def __init__(self, dataset: Any, image: Any, label: Any, labelled: bool) -> None:
        self.dataset, self.image, self.label, self.labelled = dataset, image, label, labelled

    def __getitem__(self, batch: Sequence[int]) -> FirstItem:
        reasons = []
        for position in batch:
            try:
                item = read_item(self.dataset, position)
                keys = find_keys(item, self.image, self.label, self.labelled)
                value = image_of(item, keys)
                if self.labelled:
                    label_of(item, keys)
            except UnreadableImage as error:
                reasons.append(str(error))
            else:
                return FirstItem(keys, tuple(value.shape) if isinstance(value, Tensor) else None)
        raise InputError(f"none of the first {len(batch)} items of the dataset can be read; the first is {reasons[0]}")


def first_item(dataset: Any, image: Any, label: Any, *, labelled: bool, workers: int) -> FirstItem:
    """Look at the first item that can be read.

    A worker process reads it if there are any: what a dataset opens when it is first read, such as an HDF5 file, must
    not be open already when the workers start.

    Args:
        dataset: Maps positions to items.
        image, label: As in :func:`features.readers.items.find_keys`.
        labelled: Whether the item must have a label.
        workers: Number of worker processes.

    Raises:
        InputError: No item can be read, or the keys of its image and its label are not known.
    """
    positions = range(min(_BATCH, len(dataset)))
    (found,) = fetched(_Look(dataset, image, label, labelled), [positions], min(workers, 1))
    return found


@dataclass
class Survey:
    """What one pass over items finds.

    Attributes:
        labels: The label of each item, a number or a word; None if it has none or cannot be read.
        digests: The SHA-256 of each item; empty if it was not hashed, or cannot be read.
        unreadable: Items that cannot be read, with the reason, by position.
    """

    labels: list[int | str | None] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)

    def add(self, other: Survey) -> None:
        """Append what was found in the items that follow."""
        self.labels += other.labels
        self.digests += other.digests
        self.unreadable |= other.unreadable

    def sha256(self) -> bytes:
        """Return the SHA-256 of all items in their order."""
        return hashlib.sha256(b"".join(digest or b"unreadable" for digest in self.digests)).digest()


class _Surveyor(Dataset):
    """Maps a list of positions to what is found there."""

    def __init__(self, dataset: Any, keys: Keys, labelled: bool, hashed: bool) -> None:
        self.dataset, self.keys, self.labelled, self.hashed = dataset, keys, labelled, hashed

    def __getitem__(self, batch: Sequence[int]) -> Survey:
        found = Survey()
        for position in batch:
            label, digest = None, b""
            try:
                item = read_item(self.dataset, position)
                label = label_of(item, self.keys) if self.labelled else None
                if self.hashed:
                    digest = digest_of(image_of(item, self.keys))
            except UnreadableImage as error:
                label, found.unreadable[position] = None, str(error)
            found.labels.append(label)
            found.digests.append(digest)
        return found


def survey(dataset: Any, keys: Keys, *, name: str, labelled: bool, hashed: bool, workers: int) -> Survey:
    """Read every item of a dataset once; of several processes each reads a part.

    Args:
        dataset: Maps positions to items.
        keys: Where the image and the label are in an item.
        name: What the progress bar calls the dataset.
        labelled, hashed: Whether labels are read, and whether items are hashed.
        workers: Number of worker processes.
    """
    positions, mine, whole = own_positions(range(len(dataset))), Survey(), Survey()
    batches = in_order(positions, _BATCH)
    with progress(f"read the labels of {name}", len(positions)) as advance:
        for part in fetched(_Surveyor(dataset, keys, labelled, hashed), batches, min(workers, len(batches))):
            mine.add(part)
            advance(len(part.labels))
    for part in gather(mine):
        whole.add(part)
    return whole
