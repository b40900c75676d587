"""Intensities of more than 8 bits: the same picture in every depth, order of bytes and container gives one result."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from features.image_sources import UnreadableImage, read_image
from features.intensities import NOTE

#: A picture of 8 bits whose values fill most of the range.
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 250, (24, 20)).astype(np.uint8)
GREY[0, :2] = 0, 249
COLOUR = RNG.integers(0, 250, (24, 20, 3)).astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(values, photometric=1, extra=()):
    """An uncompressed TIFF of any type: values (H, W) or (H, W, C), with further tags of one float or short."""
    order = {">": ">", "<": "<", "=": "<", "|": "<"}[values.dtype.byteorder]
    values = values.astype(values.dtype.newbyteorder(order))
    height, width, *rest = values.shape
    channels = rest[0] if rest else 1
    sample = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    data = values.tobytes()
    tags = [(256, "I", width), (257, "I", height), (259, "H", 1), (262, "H", photometric), (277, "H", channels)]
    tags += [(278, "I", height), (279, "I", len(data)), (339, "H", sample), *extra]
    head = 8 + 2 + 12 * (len(tags) + 2) + 4
    bits = struct.pack(f"{order}{channels}H", *[8 * values.dtype.itemsize] * channels)
    tags += [(273, "I", head + len(bits))]
    entries = {tag: struct.pack(f"{order}HHI{form}", tag, {"H": 3, "I": 4, "f": 11}[form], 1, value).ljust(12, b"\0")
               for tag, form, value in tags}  # fmt: skip
    where = bits.ljust(4, b"\0") if channels < 3 else struct.pack(f"{order}I", head)
    entries[258] = struct.pack(f"{order}HHI", 258, 3, channels) + where
    ifd = struct.pack(f"{order}H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + ifd + bits + data


def png(values, colour):
    """A PNG of 16 bits a channel, of a colour type of the format."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bits(depth, picture=GREY, dtype=np.uint16):
    """The picture with another number of bits, as a camera would have it: its white is 2^depth − 1."""
    return np.round(picture.astype(np.float64) * ((2**depth - 1) / 255)).astype(dtype)


def shifted(depth, dtype=np.uint16):
    """The picture with zeros below its 8 bits."""
    return GREY.astype(dtype) << (depth - 8)


OPAQUE = np.full_like(GREY, 255)
RGBA = np.dstack([COLOUR, OPAQUE])
#: Name → the encoded picture, what it shows, the largest difference allowed, and what is assumed about it.
KINDS = {
    "png 1 bit": (encoded(Image.fromarray(GREY > 99), "PNG"), 255 * (GREY > 99), 0, ""),
    "png 8": (encoded(Image.fromarray(GREY), "PNG"), GREY, 0, ""),
    "png 8 rgb": (encoded(Image.fromarray(COLOUR), "PNG"), COLOUR, 0, ""),
    "png 8 rgba": (encoded(Image.fromarray(RGBA), "PNG"), COLOUR, 0, ""),
    "png 8 la": (encoded(Image.fromarray(GREY).convert("LA"), "PNG"), GREY, 0, ""),
    "png palette": (encoded(Image.fromarray(GREY).convert("P"), "PNG"), GREY, 0, ""),
    "png 16": (png(bits(16), 0), GREY, 0, ""),
    "png 16 shifted": (png(shifted(16), 0), GREY, 0, ""),
    "png 16 rgb": (png(bits(16, COLOUR), 2), COLOUR, 0, ""),
    "png 16 rgba": (png(bits(16, RGBA), 6), COLOUR, 0, ""),
    "png 16 la": (png(np.dstack([bits(16), bits(16, OPAQUE)]), 4), GREY, 0, ""),
    "png 8 in 16": (png(GREY.astype(np.uint16), 0), GREY, 0, "8 bits in 16"),
    "png 10 in 16": (png(bits(10), 0), GREY, 0, "10 bits in 16"),
    "png 12 in 16": (png(bits(12), 0), GREY, 0, "12 bits in 16"),
    "png 14 in 16": (png(bits(14), 0), GREY, 0, "14 bits in 16"),
    "tiff 8": (tiff(GREY), GREY, 0, ""),
    "tiff 8 lzw": (encoded(Image.fromarray(GREY), "TIFF", compression="tiff_lzw"), GREY, 0, ""),
    "tiff 8 white is zero": (tiff(255 - GREY, photometric=0), GREY, 0, ""),
    "tiff 16 little": (tiff(bits(16).astype("<u2")), GREY, 0, ""),
    "tiff 16 big": (tiff(bits(16).astype(">u2")), GREY, 0, ""),
    "tiff 16 deflate": (encoded(Image.fromarray(bits(16)), "TIFF", compression="tiff_adobe_deflate"), GREY, 0, ""),
    "tiff 16 white is zero": (tiff(65535 - bits(16), photometric=0), GREY, 0, ""),
    "tiff 16 rgb little": (tiff(bits(16, COLOUR).astype("<u2"), photometric=2), COLOUR, 0, ""),
    "tiff 16 rgb big": (tiff(bits(16, COLOUR).astype(">u2"), photometric=2), COLOUR, 0, ""),
    "tiff 12 in 16 little": (tiff(bits(12).astype("<u2")), GREY, 0, "12 bits in 16"),
    "tiff 12 in 16 big": (tiff(bits(12).astype(">u2")), GREY, 0, "12 bits in 16"),
    "tiff 16 signed": (tiff(bits(15, dtype=np.int16)), GREY, 1, ""),
    "tiff 32 unsigned": (tiff(bits(32, dtype=np.uint32)), GREY, 0, ""),
    "tiff 32 signed": (tiff(bits(31, dtype=np.int32)), GREY, 0, ""),
    "tiff 8 in 32": (tiff(GREY.astype(np.int32)), GREY, 0, "8 bits in 31"),
    "tiff 16 in 32": (tiff(bits(16, dtype=np.int32)), GREY, 0, "16 bits in 31"),
    "tiff real to 1": (tiff((GREY / 255).astype("<f4")), GREY, 0, "real numbers from 0 to 1"),
    "tiff real to 1 big": (tiff((GREY / 255).astype(">f4")), GREY, 0, "real numbers from 0 to 1"),
    "tiff real to 255": (tiff(GREY.astype("<f4")), GREY, 0, "real numbers from 0 to 255"),
    "tiff real to 4095": (tiff((GREY * 16.0).astype("<f4")), GREY, 1, "real numbers from 0 to 4095"),
    "tiff real to 65535": (tiff((GREY * 257.0).astype("<f4")), GREY, 0, "real numbers from 0 to 65535"),
    "tiff real beyond 1": (
        tiff((GREY / 200).astype("<f4")),
        (GREY * (255 / 200)).clip(0, 255),
        1,
        "real numbers from 0 to 1",
    ),
    "tiff states 1020": (tiff(GREY.astype(np.uint16) * 4, extra=[(340, "H", 0), (341, "H", 1020)]), GREY, 0, ""),
    "tiff states 100 to 610": (
        tiff(GREY.astype(np.uint16) * 2 + 100, extra=[(340, "H", 100), (341, "H", 610)]),
        GREY,
        0,
        "",
    ),
    "tiff states its extremes": (
        tiff(GREY.astype(np.uint16), extra=[(340, "H", 0), (341, "H", 249)]),
        GREY * (255 / 249),
        1,
        "the range of its own values, which the file states",
    ),
    "tiff states −1 to 1": (
        tiff((GREY / 127.5 - 1).astype("<f4"), extra=[(340, "f", -1.0), (341, "f", 1.0)]),
        GREY,
        0,
        "",
    ),
    "pgm 8": (encoded(Image.fromarray(GREY), "PPM"), GREY, 0, ""),
    "ppm 8": (encoded(Image.fromarray(COLOUR), "PPM"), COLOUR, 0, ""),
    "pgm 16": (b"P5 20 24 65535\n" + bits(16).astype(">u2").tobytes(), GREY, 0, ""),
    "pgm 12": (b"P5 20 24 4095\n" + bits(12).astype(">u2").tobytes(), GREY, 1, ""),
    "ppm 16": (b"P6 20 24 65535\n" + bits(16, COLOUR).astype(">u2").tobytes(), COLOUR, 1, ""),
    "pfm": (
        b"Pf\n20 24\n-1.0\n" + (GREY / 255).astype("<f4")[::-1].tobytes(),
        GREY,
        0,
        "real numbers from 0 to 1",
    ),
    "jpeg 2000, 12 in 16": (encoded(Image.fromarray(bits(12)), "JPEG2000"), GREY, 0, "12 bits in 16"),
    "jpeg 2000, 16": (encoded(Image.fromarray(bits(16)), "JPEG2000"), GREY, 0, ""),
    "jpeg 2000": (encoded(Image.fromarray(COLOUR), "JPEG2000"), COLOUR, 0, ""),
    "webp": (encoded(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR, 0, ""),
    "bmp": (encoded(Image.fromarray(COLOUR), "BMP"), COLOUR, 0, ""),
    "gif": (encoded(Image.fromarray(GREY), "GIF"), GREY, 0, ""),
    "tga": (encoded(Image.fromarray(COLOUR), "TGA"), COLOUR, 0, ""),
    "pcx": (encoded(Image.fromarray(COLOUR), "PCX"), COLOUR, 0, ""),
    "sgi": (encoded(Image.fromarray(COLOUR), "SGI"), COLOUR, 0, ""),
    "im": (encoded(Image.fromarray(GREY), "IM"), GREY, 0, ""),
    "dds": (encoded(Image.fromarray(RGBA), "DDS"), COLOUR, 0, ""),
    "qoi": (encoded(Image.fromarray(COLOUR), "QOI"), COLOUR, 0, ""),
    "ico": (encoded(Image.fromarray(RGBA[:16, :16]), "ICO", sizes=[(16, 16)]), COLOUR[:16, :16], 0, ""),
    "tiff cmyk": (
        encoded(Image.fromarray(np.dstack([255 - COLOUR, 0 * GREY]), "CMYK"), "TIFF"),
        COLOUR,
        1,
        "",
    ),
    "tiff lab": (encoded(Image.new("LAB", (20, 24), (255, 128, 128)), "TIFF"), np.full_like(COLOUR, 255), 2, ""),
    "jpeg": (encoded(Image.fromarray(np.full_like(COLOUR, 99)), "JPEG"), np.full_like(COLOUR, 99), 1, ""),
    "jpeg ycck": (encoded(Image.new("CMYK", (20, 24), (0, 0, 0, 0)), "JPEG"), np.full_like(COLOUR, 255), 2, ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_is_the_same_in_every_kind(kind):
    content, picture, tolerance, note = KINDS[kind]
    found = read_image(io.BytesIO(content))
    expected = np.asarray(picture, dtype=np.int64)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found, dtype=np.int64) - expected).max() <= tolerance
    assert found.info.get(NOTE, "") == note


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(bits(12, COLOUR), 2), "only the upper 8 are read: it uses at most 12 bits"),
        (png(COLOUR.astype(np.uint16), 2), "save it with 8 bits a channel"),
        (tiff(bits(12, COLOUR).astype(">u2"), photometric=2), "it uses at most 12 bits, or is dark"),
        (tiff((GREY / 255 - 0.5).astype("<f4")), "intensities run from -0.5 to 0.4765; save it with 8 bits"),
        (tiff(GREY.astype(np.int16) - 100), "intensities run from -100 to 149; save it with 8 bits"),
        (tiff((GREY * 1e6).astype("<f4")), "intensities run from 0 to 2.49e"),
        (tiff(np.where(GREY > 9, GREY, np.nan).astype("<f4")), "intensities are not all finite"),
        (tiff((GREY // 2).astype(np.int8)), "its 8 bits are signed"),
        (png(np.dstack([bits(12, COLOUR), bits(16, OPAQUE)]), 6), "it uses at most 12 bits"),
        (png(np.dstack([bits(12), bits(16, OPAQUE)]), 4), "it uses at most 12 bits"),
        (png(0 * bits(16, COLOUR), 2), "it uses at most 8 bits, or is dark"),
        (tiff(GREY, extra=[(254, "I", 1)]), "the thumbnail of a raw photo"),
    ],
)
def test_a_range_that_cannot_be_told_is_unreadable(content, reason):
    with pytest.raises(UnreadableImage, match=reason):
        read_image(io.BytesIO(content))
