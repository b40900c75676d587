"""Image sources: files, arrays, or several sources in sequence, decoded to RGB."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import warnings
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from features.changes import last_change
from features.intensities import NOTE, eight_bits, encoding_of

#: The transposition that makes an image upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: The key of ``Image.info`` for an extent that is not the size; no file can have such a key.
_EXTENT = (-1, -1)


#: Formats of Pillow that are read; the first two are tried first. Not among them are those that another program would
#: draw (EPS, WMF), one that holds a file of any format, which Pillow would open (IPTC), those that hold no picture, and
#: FITS, whose offset Pillow does not apply.
_READ = (
    "JPEG", "PNG", "AVIF", "BMP", "CUR", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG2000", "JXL", "MPO", "PCX",
    "PPM", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
)  # fmt: skip


class UnreadableImage(Exception):
    """An image cannot be decoded; the message is the reason. No other image takes its place."""


class ImageSource(Protocol):
    """N images by position. Sources are pickled to worker processes."""

    def __len__(self) -> int: ...

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        """Decode image ``index`` as RGB; see :meth:`features.ImageDataset.image`."""

    def take(self, indices: NDArray[np.int64]) -> ImageSource:
        """Return the source of the images at ``indices``, in that order."""

    def fingerprint(self) -> bytes:
        """Return bytes that change if the images change, found without decoding."""

    def modified(self) -> float:
        """Return the last change of an image, in seconds since the epoch; 0 if the fingerprint covers the pixels.

        Dates in the future are passed over.
        """


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to upright 8-bit RGB, with transparency over white.

    What was assumed about deeper intensities is in its ``info`` under :data:`features.intensities.NOTE`.
    """
    encoding = encoding_of(image)  # before it is decoded
    image, note = eight_bits(_upright(image), encoding)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if note:
        image.info[NOTE] = note
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says."""
    image.load()  # raises if the image is damaged; errors below are about its EXIF block alone
    try:
        turn = _TURNS.get(image.getexif()[ExifTags.Base.Orientation])
    except Exception:  # no orientation, or a broken EXIF block, on which Pillow raises various errors
        return image
    if turn is None:
        return image
    upright = image.transpose(turn)
    if upright.size != image.size and _EXTENT in image.info:
        upright.info[_EXTENT] = image.info[_EXTENT][::-1]
    return upright


def picture_size(image: Image.Image) -> tuple[float, float]:
    """Return the width and the height of the picture, in pixels of the image.

    They are the size of the image, unless a JPEG was decoded at a reduced scale that does not divide its size: then a
    part of the last column or row lies outside of the picture.
    """
    width, height = image.info.get(_EXTENT, image.size)
    return width, height


def read_image(path: str | Path | IO[bytes], min_side: int | None = None) -> Image.Image:
    """Decode one image file, or its content, to RGB; see :meth:`features.ImageDataset.image` for ``min_side``.

    Raises:
        UnreadableImage: The file is missing, is not an image, is damaged, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    if isinstance(path, (str, Path)):
        _require_file(path)
    try:
        with warnings.catch_warnings():
            # Pillow raises at twice its limit and warns above the limit; here both are errors.
            # Of damaged metadata, which are not used, it warns in lines of its own for every image.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as image:
                if min_side is not None and image.format == "JPEG":
                    reduced = image.draft(None, (min_side, min_side))
                    if reduced is not None:
                        image.info[_EXTENT] = reduced[1][2:]
                return to_rgb(image)
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image, or of an unknown format such as HEIC") from error
    except Exception as error:  # on a damaged file, decoders raise various errors
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableImage(reason or type(error).__name__) from error


def _require_file(path: str | Path) -> None:
    """Raise :class:`UnreadableImage` for what is no file: a pipe or a device may have no end."""
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError as error:
        raise UnreadableImage(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # the latter for a path that no file can have
        raise UnreadableImage(getattr(error, "strerror", None) or str(error)) from error
    if not is_file:
        raise UnreadableImage(os.strerror(errno.EISDIR) if os.path.isdir(path) else "a pipe or a device, not a file")


@cache
def _formats() -> tuple[str, ...]:
    """The formats that are read: those of Pillow itself, and those that another package has added to it."""
    Image.init()
    added = (name for name in Image.ID if not Image.OPEN[name][0].__module__.startswith("PIL."))
    return (*(name for name in _READ if name in Image.OPEN), *added)


class FileImages:
    """Images in files, at N paths below the directory ``root``."""

    def __init__(self, root: str | Path, paths: Sequence[str]) -> None:
        self.root = os.path.abspath(root)  # the working directory may change before an image is read
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        return read_image(os.path.join(self.root, self.paths[index]), min_side)

    def take(self, indices: NDArray[np.int64]) -> FileImages:
        return FileImages(self.root, [self.paths[i] for i in indices])

    def fingerprint(self) -> bytes:
        return self.sizes().tobytes()

    def sizes(self) -> NDArray[np.int64]:
        """Return the (N,) sizes of the files in bytes; −1 if a file is missing."""
        return self._on_disk[0].astype(np.int64)

    def modified(self) -> float:
        return last_change(self._on_disk[1])

    @cached_property
    def _on_disk(self) -> NDArray[np.float64]:
        """(2, N) sizes in bytes and times of change; −1 if a file is missing, which reading it reports."""

        def look(path: str) -> tuple[float, float]:
            try:
                status = os.stat(os.path.join(self.root, path))
            except (OSError, ValueError):  # the latter for a path that no file can have
                return -1, -1
            return status.st_size, status.st_mtime

        return np.array([look(path) for path in self.paths], dtype=np.float64).reshape(-1, 2).T


class ArrayImages:
    """Images in memory: pixels (N, H, W) grey or (N, H, W, 3) RGB, uint8."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
            raise ValueError(f"pixels must be (N, H, W) or (N, H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        return to_rgb(Image.fromarray(self.pixels[index]))

    def take(self, indices: NDArray[np.int64]) -> ArrayImages:
        return ArrayImages(self.pixels[indices])

    def fingerprint(self) -> bytes:
        return hashlib.sha256(np.ascontiguousarray(self.pixels).data).digest()

    def modified(self) -> float:
        return 0.0


class ChainedImages:
    """Several sources in sequence."""

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        self.sources = list(sources)
        self.starts = np.cumsum([0, *(len(source) for source in self.sources)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.sources[part].read(index - int(self.starts[part]), min_side)

    def take(self, indices: NDArray[np.int64]) -> ImageSource:
        parts = np.searchsorted(self.starts, indices, side="right") - 1
        if len(parts) and (np.diff(parts) < 0).any():
            raise ValueError("indices into chained images must keep the order of the parts")
        taken = (source.take(indices[parts == i] - self.starts[i]) for i, source in enumerate(self.sources))
        return ChainedImages(list(taken))

    def fingerprint(self) -> bytes:
        return b"".join(source.fingerprint() for source in self.sources)

    def modified(self) -> float:
        return max((source.modified() for source in self.sources), default=0.0)
