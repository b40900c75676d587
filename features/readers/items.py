"""Images of a map-style dataset of PyTorch, whose items are (image, label) or dicts, one item at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from features.image_sources import UnreadableImage, to_rgb
from features.infrastructure.errors import InputError


class Keys(NamedTuple):
    """Where the image and the label are in an item that is a dict; both are None for tuples, and for images alone."""

    image: Any = None
    label: Any = None


class Items:
    """The images of N items of a dataset.

    Args:
        dataset: Maps positions to items.
        keys: Where the image is in an item.
        indices: (N,) positions in the dataset.
        unreadable: Items that could not be read when the labels were, with the reason. They have no label, and are not
            read again.
        digest: Bytes that change if an item of the dataset changes.
    """

    def __init__(
        self, dataset: Any, keys: Keys, indices: NDArray[np.int64], unreadable: Mapping[int, str], digest: bytes
    ) -> None:
        self.dataset, self.keys, self.indices = dataset, keys, indices
        self.unreadable, self.digest = unreadable, digest

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int, min_side: int | None = None) -> Any:
        """Return item ``index`` as an RGB image, or a tensor of floats as it is."""
        position = int(self.indices[index])
        if position in self.unreadable:
            raise UnreadableImage(self.unreadable[position])
        return image_of(read_item(self.dataset, position), self.keys)

    def take(self, indices: NDArray[np.int64]) -> Items:
        return Items(self.dataset, self.keys, self.indices[indices], self.unreadable, self.digest)

    def fingerprint(self) -> bytes:
        return self.digest + self.indices.tobytes()

    def modified(self) -> float:
        return 0.0


def read_item(dataset: Any, position: int) -> Any:
    """Read an item; an error of the dataset's code is the reason why it is unreadable."""
    try:
        return dataset[position]
    except Exception as error:  # the code of the user may raise anything
        raise UnreadableImage(f"{type(error).__name__}: {error}") from error


def image_of(item: Any, keys: Keys) -> Image.Image | Tensor:
    """Return the image of an item, upright and RGB; a tensor of floats as it is.

    Raises:
        UnreadableImage: It is neither a Pillow image, nor uint8 pixels, nor a tensor of floats.
    """
    value = item[keys.image] if keys.image is not None else item[0] if isinstance(item, (tuple, list)) else item
    if isinstance(value, Tensor):
        if value.is_floating_point():
            return value
        value = value.permute(1, 2, 0) if value.ndim == 3 and value.shape[0] in (1, 3) else value
        value = value.numpy()
    if isinstance(value, np.ndarray):
        value = value[..., 0] if value.ndim == 3 and value.shape[2] == 1 else value
        if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)):
            found = f"an array {value.shape} of {value.dtype}"
            raise UnreadableImage(f"{found}; expected uint8 (H, W), (H, W, 3) or, of a tensor, (3, H, W)")
        value = Image.fromarray(np.ascontiguousarray(value))
    if not isinstance(value, Image.Image):
        raise UnreadableImage(f"a {type(value).__name__}; expected a Pillow image, an array or a tensor")
    try:
        return to_rgb(value)
    except Exception as error:  # a damaged file, which is decoded only here
        raise UnreadableImage(str(error) or type(error).__name__) from error


def label_of(item: Any, keys: Keys) -> int | str:
    """Return the label of an item, a number or a word; raise :class:`UnreadableImage` if it has none."""
    if keys.label is None and not (isinstance(item, (tuple, list)) and len(item) > 1):
        raise UnreadableImage("an item without a label; give `labels`")
    value = item[1] if keys.label is None else item[keys.label]
    if not _is_label(value):
        raise UnreadableImage(f"a label that is a {type(value).__name__}; expected a number or a word")
    if isinstance(value, str):
        return str(value)
    value = value.item() if isinstance(value, (np.ndarray, Tensor)) else value
    if float(value) != int(value):
        raise UnreadableImage(f"the label {float(value)}; expected a whole number or a word")
    return int(value)


def digest_of(image: Image.Image | Tensor) -> bytes:
    """Return the SHA-256 of the shape and the content of what :func:`image_of` returns."""
    if isinstance(image, Tensor):
        head, body = f"{image.dtype}{tuple(image.shape)}", image.detach().cpu().float().numpy().tobytes()
    else:
        head, body = f"{image.size}", image.tobytes()
    return hashlib.sha256(head.encode() + body).digest()


def find_keys(item: Any, image: Any, label: Any, labelled: bool) -> Keys:
    """Return where the image and, if ``labelled``, the label are in an item of a dataset.

    ``image`` and ``label`` are keys that the user gave, or None to find the only value that looks like one.

    Raises:
        InputError: A key is missing, or is not given and not the only one that may be it.
    """
    if not isinstance(item, Mapping):
        if image is not None or label is not None:
            raise InputError(f"`image` and `label`: are keys of items that are dicts; these are {type(item).__name__}s")
        return Keys()
    pictures = [key for key, value in item.items() if _is_picture(value)]
    words = [key for key, value in item.items() if _is_label(value)]
    return Keys(_key(item, "image", image, pictures), _key(item, "label", label, words) if labelled else None)


def _key(item: Mapping[Any, Any], argument: str, given: Any, candidates: Sequence[Any]) -> Any:
    known = ", ".join(map(str, item))
    if given is not None:
        if given not in item:
            raise InputError(f"`{argument}` {given}: the items of the dataset have no such key; they have {known}")
        return given
    if len(candidates) != 1:
        which = f"{', '.join(map(str, candidates))} may each be" if candidates else "none looks like"
        raise InputError(f"the items of the dataset have the keys {known}; {which} the {argument}: give `{argument}`")
    return candidates[0]


def _is_picture(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, (np.ndarray, Tensor)) and value.ndim >= 2)


def _is_label(value: Any) -> bool:
    if isinstance(value, (np.ndarray, Tensor)):
        return value.ndim <= 1 and int(np.prod(value.shape)) == 1
    return isinstance(value, (int, str, np.integer))
