"""Intensities of more than 8 bits, or of real numbers: scaled to 8 bits by the range that they use.

Pillow clips such images at 255 where it converts them, so that most become white, or black if their values run from 0
to 1. The range is that of the file if it states one (TIFF's ``SMinSampleValue`` and ``SMaxSampleValue``, or a format
that always has the full range). Cameras and microscopes often keep 12 bits in files of 16 without saying so. Then the
least range that holds the largest value is taken, and :data:`NOTE` says so in the image's ``info``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from features.infrastructure.console import console

#: The key of ``Image.info`` for what was assumed about the intensities; no file can have such a key.
NOTE = (-1, -2)
#: Depths that integers usually have in a deeper file; beyond the last one, the depth is that of the largest value.
_DEPTHS = (8, 10, 12, 14, 16)
#: Sizes of an integer, without its sign, that say nothing about how many of its bits are used.
_CONTAINERS = (15, 16, 31, 32)
#: Largest values that real numbers usually have. A resampled picture may exceed the first two a little, so they hold up
#: to twice of it: a darker picture of the next range is taken for one of this range.
_PEAKS = (1.0, 255.0)
#: Most of a range that a value may lie below 0.
_BELOW = 0.05
#: The largest upper byte of 16 bits that images of 14 bits have.
_UPPER_BYTE_OF_14 = 63
#: More of an intensity of 8 bits than round-off takes away.
_ROUND_OFF = 0.01
#: Intensities that are scaled at a time.
_BAND = 1 << 20
#: Bands of transparency, by mode.
_ALPHA = {"LA": 1, "RGBA": 3, "PA": 1}
_SINGLE = ("I", "F")
_NEW_SUBFILE_TYPE = 254
_WHITE_IS_ZERO = 0
_SIGNED = 2


class UnknownRange(ValueError):
    """The range of the intensities cannot be told; the message says what was found and what to do."""


@dataclass(frozen=True)
class Encoding:
    """How a file states its intensities, known before they are decoded.

    Attributes:
        two_bytes: Whether each of several channels has two bytes, of which Pillow reads the upper one.
        low, high: The values of black and white, if the file states them.
        inverted: Whether 0 is white.
        bits: Bits of an integer without its sign, if the file states them.
        signed_bytes: Whether 8 bits are signed, which Pillow reads as unsigned.
        reduced: Whether the image is a reduced version of another one in the file, as in raw photos.
    """

    two_bytes: bool = False
    low: float | None = None
    high: float | None = None
    inverted: bool = False
    bits: int | None = None
    signed_bytes: bool = False
    reduced: bool = False


def encoding_of(image: Image.Image) -> Encoding:
    """What a file that is opened, and not yet decoded, states about its intensities."""
    deep = image.mode.startswith(_SINGLE)
    formats = (tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in getattr(image, "tile", ()))
    two_bytes = not deep and any(";16" in str(name) for name in formats)
    if image.format == "PPM" and image.mode == "I":
        return Encoding(high=65535)  # Pillow scales by the file's own largest value
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return Encoding(two_bytes)
    tags = image.tag_v2
    signed = _first(tags.get(TiffImagePlugin.SAMPLEFORMAT), 1) == _SIGNED
    return Encoding(
        two_bytes,
        low=_first(tags.get(340)),
        high=_first(tags.get(341)),
        inverted=deep and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO,
        bits=_first(tags.get(TiffImagePlugin.BITSPERSAMPLE), 8) - signed,
        signed_bytes=not deep and signed,
        reduced=bool((_first(tags.get(_NEW_SUBFILE_TYPE)) or 0) & 1),
    )


def eight_bits(image: Image.Image, encoding: Encoding) -> tuple[Image.Image, str]:
    """Return a decoded image with intensities of 8 bits, and what was assumed about them, empty if nothing was.

    Raises:
        UnknownRange: The intensities are negative, not finite, or so small that the bytes that hold them are not read;
            or the image is a thumbnail.
    """
    if encoding.reduced:
        raise UnknownRange("its first image is the thumbnail of a raw photo; convert it to a format of pictures")
    if encoding.signed_bytes:
        raise UnknownRange("its 8 bits are signed; save it with unsigned ones")
    if encoding.two_bytes:
        extrema = np.atleast_2d(image.getextrema()).tolist()
        peak = max(high for band, (_, high) in enumerate(extrema) if band != _ALPHA.get(image.mode))
        if peak <= _UPPER_BYTE_OF_14:
            raise UnknownRange(
                f"its values stay below a quarter of 16 bits a channel, of which only the upper 8 are read: it uses at "
                f"most {8 + int(peak).bit_length()} bits, or is dark; save it with 8 bits a channel"
            )
    if not image.mode.startswith(_SINGLE):
        return image, ""
    values = np.asarray(image)
    if encoding.bits == 32 and values.dtype.kind == "i":
        values = values.view(np.uint32)  # Pillow reads them as signed
    scaled, note = _scaled(values, encoding)
    return Image.fromarray(255 - scaled if encoding.inverted else scaled), note


def _scaled(values: NDArray[Any], encoding: Encoding) -> tuple[NDArray[np.uint8], str]:
    """Intensities (H, W) as uint8, and what was assumed."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():
        raise UnknownRange("its intensities are not all finite; save it with 8 bits")
    first, last = encoding.low or 0.0, encoding.high
    if last is not None and last > first and first <= low and high <= last:
        if (first, last) == (0, 65535):
            return _shifted(values, 8), ""
        stretched = (first, last) == (low, high)  # some writers state the image's extremes instead of black and white
        note = "the range of its own values, which the file states" if stretched else ""
        return _to_uint8(values, first, last), note
    if values.dtype.kind == "f":
        depth = next((depth for depth in _DEPTHS if high < 2**depth), None)
        peak = next((peak for peak in _PEAKS if high < 2 * peak), None) or (2**depth - 1 if depth else None)
        if peak is None or low < -_BELOW * peak:
            raise UnknownRange(f"its intensities run from {low:.4g} to {high:.4g}; save it with 8 bits")
        return _to_uint8(values, 0.0, peak), f"real numbers from 0 to {peak:g}"
    if low < 0:
        raise UnknownRange(f"its intensities run from {low:.0f} to {high:.0f}; save it with 8 bits")
    own = encoding.bits or 8 * values.dtype.itemsize
    depths = sorted({*_DEPTHS, own}) if own in _CONTAINERS else [own]
    depth = next((depth for depth in depths if high < 2**depth), int(high).bit_length())
    note = "" if depth == own else f"{depth} bits in {own}"
    return _shifted(values, depth - 8), note


def _to_uint8(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale to uint8, rounding down as a shift of bits does.

    0.01 is added first so that float error does not lower a value.
    """
    found = np.empty(values.shape, dtype=np.uint8)
    for rows in _bands(values):
        scaled = (values[rows].astype(np.float64) - low) * (255 / (high - low)) + _ROUND_OFF
        found[rows] = scaled.clip(0, 255)
    return found


def _shifted(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Integers without their lower bits, as uint8."""
    found = np.empty(values.shape, dtype=np.uint8)
    for rows in _bands(values):
        found[rows] = values[rows].astype(np.int64) >> bits
    return found


def _bands(values: NDArray[Any]) -> Iterator[slice]:
    """Rows that are worked on at a time, so that a large picture needs little memory beside its own."""
    step = max(1, _BAND // max(values.shape[1], 1))
    return (slice(start, start + step) for start in range(0, len(values), step))


def _first(value: Any, default: Any = None) -> Any:
    """The first of several values of a tag, or its value."""
    if isinstance(value, (tuple, list)):
        return value[0] if value else default
    return default if value is None else value


def say_assumed(dataset: str, assumed: Mapping[str, int], images: int, recorded: str = "") -> None:
    """Say what was assumed about the intensities of a dataset's images.

    Args:
        dataset: The dataset in the lines.
        assumed: Number of images by what was assumed of them, which is their :data:`NOTE`.
        images: Number of images that were read.
        recorded: The end of a sentence that says where this is recorded.
    """
    for what, number in assumed.items():
        console.print(f"{dataset}: {number} images were scaled as {what}, judged by their largest values{recorded}")
    if len(assumed) > 1 or 0 < sum(assumed.values()) < images:
        console.print(
            f"{dataset}: its images were scaled by different ranges; if they are of one kind, save them with 8 bits"
        )
