"""Images that other programs would draw, that are far larger than they seem, or that are damaged."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from hostile.case import IMAGE_COMMANDS, Case, Cases, written
from layouts import PNG
from PIL import Image

_SMALL = Image.new("RGB", (8, 8), (9, 20, 30))


def saved(kind: str, image: Image.Image = _SMALL, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *further: bytes, depth: int = 8, kind: int = 2, data: bytes | None = None) -> bytes:
    """A PNG of a stated size; by default its pixels are missing."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    pixels = zlib.compress(b"\0" * 200 if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(further) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def whole_png(*further: bytes) -> bytes:
    return png(4, 4, *further, data=(b"\0" + b"\x09\x14\x1e" * 4) * 4)


def tiff(*tags: tuple[int, int, int, int], following: int = 0, content: bytes = b"") -> bytes:
    """A TIFF of one page: (tag, type, count, value) each, and the place of the page that follows."""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", following) + content


def _tags(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The tags of an uncompressed grey picture whose pixels begin at byte 200."""
    own = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: width * height}
    given = {tag for tag, *_ in more}
    return [(tag, 4, 1, value & 0xFFFFFFFF) for tag, value in own.items() if tag not in given] + list(more)


def _small_tiff(*more: tuple[int, int, int, int], following: int = 0) -> bytes:
    whole = tiff(*_tags(4, 4, *more), following=following)
    return whole.ljust(200, b"\0") + b"\x09" * 16


def iptc(content: bytes) -> bytes:
    """An IPTC file, whose image Pillow would open in any format."""

    def field(record: int, tag: int, value: bytes) -> bytes:
        return bytes([0x1C, record, tag]) + struct.pack(">H", len(value)) + value

    head = field(3, 60, b"\x01\0") + field(3, 20, struct.pack(">H", 8)) + field(3, 30, struct.pack(">H", 8))
    return head + field(3, 120, b"\x05") + field(8, 10, content)


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(written-by-ghostscript) (w) file closefile\n"
    b"showpage\n%%EOF\n"
)
_WMF = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhHI", 0, 0, 8, 8, 72, 0) + b"\0\0" + b"\x01\0\t\0" + b"\0" * 40
_EMF = b"\x01\0\0\0" + struct.pack("<I4i4i", 108, 0, 0, 8, 8, 0, 0, 8, 8) + b" EMF" + b"\0" * 80
#: Files of kinds that another program would draw, or that hold no picture.
FOREIGN = {
    "EPS": EPS,
    "EPS behind a DOS header": b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, len(EPS), 0, 0, 0, 0, 0) + EPS,
    "EPS within IPTC": iptc(EPS),
    "PNG within IPTC": iptc(PNG),
    "PostScript": b"%!PS-Adobe-3.0\nshowpage\n",
    "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "WMF": _WMF,
    "EMF": _EMF,
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "MVG for ImageMagick": b"push graphic-context\nimage over 0,0 0,0 'https://x/\"|touch written'\n",
    "HTML": b"<html><script>alert(1)</script></html>",
    "MPEG": b"\x00\x00\x01\xb3" + struct.pack(">I", 8 << 20 | 8 << 8) + b"\0" * 20,
    "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
    "GRIB": b"GRIB\0\0\0\x01" + b"\0" * 100,
    "BUFR": b"BUFR" + b"\0" * 100,
    "FITS": b"SIMPLE  =                    T" + b" " * 3000,
    "a pickle": b"cos\nsystem\n(S'touch written'\ntR.",
    "a ZIP archive": b"PK\x03\x04" + b"\0" * 100,
    "gzip": b"\x1f\x8b\x08\0" + b"\0" * 20,
    "nothing": b"",
    "a byte": b"\0",
    "zeros": b"\0" * 4096,
    "text": b"no image\n",
    "half a PNG": PNG[: len(PNG) // 2],
}
_JP2_SIZE = struct.pack(">HIIIIIIIIH", 0, 100_000, 100_000, 0, 0, 100_000, 100_000, 0, 0, 1) + b"\x07\x01\x01"
#: Files that state more pixels than are decoded; the picture itself is not in most of them.
BOMBS = {
    "PNG of 3.6 Gpx": png(60_000, 60_000),
    "PNG of 90 Mpx": png(30_000, 3_000),
    "PNG of 100 Mpx that are there": png(10_000, 10_000, depth=1, kind=0, data=bytes(1251 * 10_000)),
    "PNG of 2^31 columns": png(2**31 - 1, 1),
    "PNG of 2^31 rows": png(1, 2**31 - 1),
    "GIF of 4.3 Gpx": saved("GIF")[:6] + struct.pack("<HH", 65535, 65535) + saved("GIF")[10:],
    "GIF with a frame of 4.3 Gpx": saved("GIF").replace(
        struct.pack("<HHHH", 0, 0, 8, 8), struct.pack("<4H", 0, 0, 65535, 65535)
    ),
    "BMP of 3.6 Gpx": saved("BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + saved("BMP")[26:],
    "BMP of 3.6 Gpx upside down": saved("BMP")[:18] + struct.pack("<ii", 60_000, -60_000) + saved("BMP")[26:],
    "TIFF of 2.5 Gpx": tiff(*_tags(50_000, 50_000)),
    "TIFF of 2^32 columns": tiff(*_tags(2**32 - 1, 1)),
    "JPEG of 4.3 Gpx": saved("JPEG").replace(struct.pack(">BHH", 8, 8, 8), struct.pack(">BHH", 8, 65500, 65500), 1),
    "JPEG 2000 of 10 Gpx": b"\xff\x4f\xff\x51" + struct.pack(">H", len(_JP2_SIZE) + 2) + _JP2_SIZE + b"\0" * 40,
    "WebP of 268 Mpx": b"RIFF"
    + struct.pack("<I", 30)
    + b"WEBPVP8X\x0a\0\0\0\0\0\0\0"
    + b"\xfe\x3f\0" * 2
    + b"VP8 \0\0\0\0",
    "PPM of 3.6 Gpx": b"P6 60000 60000 255\n" + b"\0" * 100,
    "plain PPM of 3.6 Gpx": b"P3 60000 60000 255\n0 0 0\n",
    "PFM of 3.6 Gpx": b"Pf 60000 60000 -1.0\n" + b"\0" * 100,
    "PGM with a number of 5,000 digits": b"P5 " + b"9" * 5000 + b" 1 255\n\0",
    "TGA of 4.3 Gpx": b"\0\0\2" + b"\0" * 9 + struct.pack("<HHBB", 65535, 65535, 24, 0) + b"\0" * 100,
    "PSD of 900 Mpx": b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + b"\0" * 100,
    "SGI of 4.3 Gpx": b"\x01\xda\0\1\0\3" + struct.pack(">HHH", 65535, 65535, 3) + b"\0" * 600,
    "PCX of 4.3 Gpx": b"\x0a\x05\x01\x08"
    + struct.pack("<4H", 0, 0, 65534, 65534)
    + b"\0" * 53
    + b"\x03\xff\xff"
    + b"\0" * 70,
    "DDS of 3.6 Gpx": saved("DDS")[:12] + struct.pack("<II", 60_000, 60_000) + saved("DDS")[20:],
    "QOI of 3.6 Gpx": b"qoif" + struct.pack(">IIBB", 60_000, 60_000, 3, 0) + b"\xfd" * 100,
    "XBM of 3.6 Gpx": b"#define a_width 60000\n#define a_height 60000\nstatic char a_bits[] = {\n0x00 };\n",
    "XPM of 10^12 colours": b'/* XPM */\nstatic char *a[] = {\n"8 8 1000000000000 1",\n"a c #000000",\n',
    "XPM of 3.6 Gpx": b'/* XPM */\nstatic char *a[] = {\n"60000 60000 1 1",\n"a c #000000",\n"a"};\n',
    "Sun raster of 3.6 Gpx": struct.pack(">8I", 0x59A66A95, 60_000, 60_000, 24, 100, 1, 0, 0) + b"\0" * 100,
    "ICO with a PNG of 3.6 Gpx": struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, 400, 22) + png(60_000, 60_000),
    "ICNS with a PNG of 3.6 Gpx": b"icns"
    + struct.pack(">I", 500)
    + b"ic10"
    + struct.pack(">I", 400)
    + png(60_000, 60_000).ljust(400, b"\0"),
    "PNG with a negative count": b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR" + b"\0" * 40,
    "PNG of 0 pixels": png(0, 0),
    "TIFF of 0 pixels": tiff(*_tags(0, 0)),
    "TIFF with 2^32 - 1 values of a tag": tiff(*_tags(4, 4, (273, 4, 2**32 - 1, 8))),
    "TIFF with 2^32 - 1 bits a sample": tiff(*_tags(4, 4, (258, 4, 1, 2**32 - 1))),
    "TIFF with 65,535 samples": tiff(*_tags(4, 4, (277, 3, 1, 65_535))),
    "TIFF whose strips end beyond it": tiff(*_tags(4, 4, (279, 4, 1, 2**31))),
    "TIFF without tags": tiff(),
}


def _zeros(n: int) -> bytes:
    return zlib.compress(bytes(n), 9)


def _deep_tiff(value: float) -> bytes:
    """A picture of real numbers just below the limit of pixels, in a file of few bytes."""
    side = 9_400
    return saved("TIFF", Image.new("F", (side, side), value), compression="tiff_adobe_deflate")


def _pages(n: int) -> bytes:
    image = Image.new("L", (4, 4), 9)
    return saved("TIFF", image, save_all=True, append_images=[image] * (n - 1))


def _animated(kind: str, frames: int) -> bytes:
    images = [Image.new("RGB", (8, 8), (i % 255, 3, 7 * (i % 2))) for i in range(frames)]
    return saved(kind, images[0], save_all=True, append_images=images[1:])


def _exif(first: int) -> bytes:
    """A JPEG whose EXIF block has its own directory as the one that follows."""
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x8769, 4, 1, first, 0, 8)
    return saved("JPEG", exif=block)


#: Files that may be read, in little time and memory, and files in which a part is a bomb; each with whether it can be.
STRANGE: dict[str, tuple[Callable[[], bytes], bool | None]] = {
    "a text chunk of 100 MB": (lambda: whole_png(chunk(b"zTXt", b"a\0\0" + _zeros(10**8))), None),
    "an international text of 100 MB": (lambda: whole_png(chunk(b"iTXt", b"a\0\1\0\0\0" + _zeros(10**8))), None),
    "a colour profile of 100 MB": (lambda: whole_png(chunk(b"iCCP", b"a\0\0" + _zeros(10**8))), None),
    "a thousand texts of 1 MB": (lambda: whole_png(chunk(b"zTXt", b"a\0\0" + _zeros(10**6)) * 1000), None),
    "a hundred thousand empty texts": (lambda: whole_png(chunk(b"tEXt", b"a\0") * 100_000), None),
    "pixels of 100 MB for 16": (lambda: png(4, 4, data=bytes(10**8)), None),
    "a TIFF page that follows itself": (lambda: _small_tiff(following=8), True),
    "a TIFF with its own directory inside": (lambda: _small_tiff((330, 4, 1, 8)), True),
    "a TIFF with EXIF in its own directory": (lambda: _small_tiff((34665, 4, 1, 8)), True),
    "a TIFF of 2,000 pages": (lambda: _pages(2_000), True),
    "real numbers of 88 Mpx": (lambda: _deep_tiff(0.5), True),
    "a GIF of 1,000 frames": (lambda: _animated("GIF", 1_000), True),
    "an APNG of 1,000 frames": (lambda: _animated("PNG", 1_000), True),
    "a WebP of 500 frames": (lambda: _animated("WEBP", 500), True),
    "EXIF that follows itself": (lambda: _exif(8), True),
    "EXIF beyond its end": (lambda: _exif(60_000), True),
    "a JPEG with 60,000 comments": (lambda: saved("JPEG")[:2] + b"\xff\xfe\0\x02" * 60_000 + saved("JPEG")[2:], True),
    "a JPEG behind 1 MB of 0xFF": (lambda: saved("JPEG")[:2] + b"\xff" * 10**6 + saved("JPEG")[2:], None),
    "a JPEG with text behind it": (lambda: saved("JPEG") + b"<?php system($_GET[0]); ?>" * 100, True),
}


def _beside(name: str, content: Callable[[], bytes]) -> Callable[[Path], str]:
    """A class folder of an image that can be read, and another one."""

    def build(folder: Path) -> str:
        written(folder / "ant" / "a.png", PNG)
        written(folder / "ant" / name, content())
        return f"folder:{folder}"

    return build


def _sparse(folder: Path) -> str:
    written(folder / "ant" / "a.png", PNG)
    with (folder / "ant" / "b.png").open("wb") as file:
        file.truncate(1 << 40)
    return f"folder:{folder}"


def _unnamed(content: bytes) -> Callable[[Path], str]:
    """Every hostile image once in a shard, whose bytes have no file name."""

    def build(folder: Path) -> str:
        import tarfile

        folder.mkdir(parents=True)
        with tarfile.open(folder / "s.tar", "w") as tar:
            for name, inside in (("a.png", PNG), ("a.cls", b"ant"), ("b.jpg", content), ("b.cls", b"ant")):
                member = tarfile.TarInfo(name)
                member.size = len(inside)
                tar.addfile(member, io.BytesIO(inside))
        return f"wds:{folder / 's.tar'}"

    return build


def cases() -> Cases:
    for name, content in FOREIGN.items():
        for ending in ("jpg", "png", "eps"):
            if ending != "eps":
                yield Case(f"{name} as .{ending}", _beside(f"e.{ending}", lambda c=content: c), {"ant": 2}, 1)
        yield Case(f"{name} in a shard", _unnamed(content), {"ant": 2}, 1)
    for name, content in BOMBS.items():
        commands = IMAGE_COMMANDS if name == "PNG of 3.6 Gpx" else ()
        yield Case(name, _beside("e.png", lambda c=content: c), {"ant": 2}, 1, commands)
    for name, (content, readable) in STRANGE.items():
        yield Case(name, _beside("e.jpg", content), {"ant": 2}, -1 if readable is None else int(not readable))
    yield Case("a sparse image of 1 TB", _sparse, {"ant": 2}, 1)
    yield Case("an image without permission", _locked, {"ant": 2}, -1)


def _locked(folder: Path) -> str:
    spec = _beside("e.png", lambda: PNG)(folder)
    os.chmod(folder / "ant" / "e.png", 0)
    return spec
