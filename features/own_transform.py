"""A transform of one's own: any function from an image to the input of a network, in the place of `Preprocessing`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from features.decoding import fetched
from features.image_sources import ImageSource, UnreadableImage
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

#: Width and height of the picture that tells what a transform does.
_PICTURE = (360, 300)
#: Calls on the same picture that must agree. A mirror image that is drawn half of the time agrees in 1 of 128 cases.
_CALLS = 8
#: Images that are tried until one can be read.
_TRIED = 64
#: Digits of a hash.
_DIGITS = 16
#: How Python prints objects that say nothing but where they are in memory.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class OwnTransform(Preprocessing):
    """A function from an image to the input of a network.

    Attributes:
        function: Takes an RGB image, or a tensor of a dataset that gives tensors; returns (C, H, W) floats. None if the
            tensors of the dataset are the input already.
        shape: (C, H, W).
        text: What identifies the transform in a bank.
    """

    function: Callable[[Any], Any] | None = None
    shape: tuple[int, int, int] = (3, 1, 1)
    text: str = ""

    @property
    def side_needed(self) -> None:
        """None: the function sees every image at its own size."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one image in the network's input."""
        return self.shape

    def describe(self) -> str:
        """Return one line that identifies the transform, as banks store it."""
        return self.text

    def pixels(self, image: Image.Image | Tensor) -> Tensor:
        """Map one image to (C, H, W) floats; an error of the function is the reason why the image is left out."""
        output = self.output(image)
        if output.shape != self.shape:
            found = f"is {tuple(output.shape)} after the transform, and others are {self.shape}"
            raise UnreadableImage(f"{found}; crop all to one size")
        return output

    def output(self, image: Image.Image | Tensor) -> Tensor:
        """Return what the function makes of one image, of any shape."""
        try:
            return _checked(image if self.function is None else self.function(image))
        except UnreadableImage:
            raise
        except Exception as error:  # a function of the user may raise anything
            raise UnreadableImage(f"`transform` raises {type(error).__name__}: {error}") from error

    def normalize(self, pixels: Tensor) -> Tensor:
        """Return the floats (B, C, H, W) of :meth:`pixels` as float32."""
        return pixels.float()


def own_transform(function: Callable[[Any], Any], given: tuple[int, int, int] | None = None) -> OwnTransform:
    """Try a function on a picture, which gives its identity and, for a picture of that size, the shape of its output.

    The identity is what Python prints of the function, and the hash of its output for the picture: what is printed does
    not say all, even of the transforms of torchvision.

    Args:
        function: See :class:`OwnTransform`.
        given: The shape of the tensors of a dataset that gives tensors; None if it gives images.

    Raises:
        InputError: The function fails, returns something else than (C, H, W) floats, or draws at random.
    """
    generator = np.random.default_rng(0)
    picture: Image.Image | Tensor
    if given is None:
        picture = Image.fromarray(generator.integers(0, 256, (*_PICTURE[::-1], 3), dtype=np.uint8))
    else:
        picture = torch.from_numpy(generator.random(given, dtype=np.float32))
    try:
        outputs = [_checked(function(_copy(picture))) for _ in range(_CALLS)]
    except UnreadableImage as error:
        raise InputError(f"`transform`: {error}") from error
    except Exception as error:  # a function of the user may raise anything
        what = "an RGB image" if given is None else f"a tensor {given} of the dataset"
        raise InputError(f"`transform`: raises {type(error).__name__} for {what}: {error}") from error
    if any(not torch.equal(outputs[0], output) for output in outputs[1:]):
        raise InputError(
            "`transform`: draws at random, since one image has different outputs; give the transform of the test, so "
            "that each image has one feature"
        )
    digest = hashlib.sha256(f"{outputs[0].dtype}".encode() + outputs[0].float().numpy().tobytes()).hexdigest()
    return _of_shape(outputs[0].shape, function=function, text=f"{_printed(function)} sha256 {digest[:_DIGITS]}")


class _Outputs(Dataset):
    """Maps a list of positions to the shape of the first image that can be read and transformed, or to the reason."""

    def __init__(self, source: ImageSource, transform: OwnTransform) -> None:
        self.source, self.transform = source, transform

    def __getitem__(self, batch: Sequence[int]) -> tuple[int, ...] | str:
        reasons = []
        for index in batch:
            try:
                return tuple(self.transform.output(self.source.read(index)).shape)
            except UnreadableImage as error:
                reasons.append(str(error))
        return reasons[0]


def fitted(transform: OwnTransform, source: ImageSource, workers: int) -> OwnTransform:
    """Return a transform with the shape of its output for some images, by the first one that can be read.

    A worker process reads it if there are any: see :func:`features.readers.survey.first_item`.

    Raises:
        InputError: None of the first images can be read and transformed.
    """
    tried = range(min(_TRIED, len(source)))
    (found,) = fetched(_Outputs(source, transform), [tried], min(workers, 1))
    if isinstance(found, str):
        raise InputError(f"`transform`: none of the first {len(tried)} images can be transformed; the first is {found}")
    side = max(found[1:])
    return replace(transform, image_size=side, resize=side, shape=tuple(found))  # the loader makes lists of tuples


def as_given(shape: tuple[int, int, int], dataset: Any) -> OwnTransform:
    """Return the transform of a dataset that gives the input of the network itself, (C, H, W) tensors.

    Its identity is what Python prints of the dataset's own ``transform``, if it has one.
    """
    own = getattr(dataset, "transform", None)
    return _of_shape(shape, text="of the dataset" + ("" if own is None else f": {_printed(own)}"))


def _printed(function: Any) -> str:
    """What Python prints of a function, in one line and without addresses in memory."""
    return _ADDRESS.sub("", " ".join(repr(function).split()))


def _of_shape(shape: Any, **fields: Any) -> OwnTransform:
    side = max(shape[1:])
    return OwnTransform(side, side, shape=tuple(shape), **fields)


def _checked(output: Any) -> Tensor:
    """The output of a function, on the CPU; raises :class:`UnreadableImage` if it is not (C, H, W) floats."""
    if not isinstance(output, Tensor) or output.ndim != 3 or not output.is_floating_point():
        is_tensor = isinstance(output, Tensor)
        found = f"{output.dtype} of shape {tuple(output.shape)}" if is_tensor else f"a {type(output).__name__}"
        raise UnreadableImage(f"gives {found}; expected a tensor (C, H, W) of floats")
    return output.detach().cpu()


def _copy(picture: Image.Image | Tensor) -> Image.Image | Tensor:
    """A copy for a function that changes what it is given."""
    return picture.clone() if isinstance(picture, Tensor) else picture.copy()
