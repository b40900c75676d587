"""Images of printed characters, drawn from font files and processed like small scanned handwriting.

The fonts are those inside the matplotlib package: twelve DejaVu faces and four STIX faces, which together cover 7,300
named characters of many scripts. A class is a code point, so the pool is long-tailed: Latin letters have sixteen
faces, most symbols one or two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: The faces, as file names without ``.ttf``. Left out are Computer Modern (its code points are not Unicode), STIXNonUni
#: (private code points) and STIXSiz (larger copies of the same brackets).
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
)  # fmt: skip
#: Blocks along a side, and the largest block value, as in scikit-learn's handwritten digits.
BLOCKS, LEVELS = 8, 16
_FRAME, _BOX = 32, (20, 32)  # pixels: the side of the frame; the width and height that the ink may fill
_STRETCH = 2.0
_SIZE = 48  # font size in pixels: capitals come out slightly higher than the frame
_CANVAS, _PEN = (6 * _SIZE, 4 * _SIZE), (2 * _SIZE, _SIZE)  # room on the left: combining marks reach back


@dataclass(frozen=True)
class Glyphs:
    """Every character in every face, sorted by code point, then face.

    Attributes:
        code_points: (N,) int64.
        faces: (N,) int64, positions in :data:`FACES`.
        blocks: (N, 8, 8) uint8 from 0 (background) to 16 (all ink).
    """

    code_points: NDArray[np.int64]
    faces: NDArray[np.int64]
    blocks: NDArray[np.uint8]


@lru_cache(maxsize=1)
def render_glyphs() -> Glyphs:
    """Draw every named character of every face; this takes a few seconds, and the result is cached.

    Each character is processed as the NIST form-reading system that made the UCI digits processes handwriting: cropped
    to its ink, scaled to 20×32 in a 32×32 frame, and averaged over 4×4 blocks (Garris et al., NISTIR 5469, 1994;
    Alpaydin & Kaynak, 1998). One axis is stretched at most twice as much as the other, which keeps the shape of bars
    and dashes.

    Left out are characters without ink, private code points (they have no name), and an image that an earlier face
    already gives for the same character (most symbols of an oblique face). Characters that look alike, such as Latin A,
    Greek Alpha and Cyrillic A, are separate classes.
    """
    parts = [_render_face(face) for face in FACES]
    code_points = np.concatenate([points for points, _ in parts])
    faces = np.repeat(np.arange(len(FACES)), [len(points) for points, _ in parts])
    blocks = np.concatenate([pixels for _, pixels in parts])
    order = np.lexsort((faces, code_points))
    code_points, faces, blocks = code_points[order], faces[order], blocks[order]
    keys = np.concatenate([code_points[:, None], blocks.reshape(len(blocks), -1)], axis=1)
    # np.unique names the first of equal rows, which is the earliest face.
    kept = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    kept = kept[blocks[kept].any(axis=(1, 2))]
    return Glyphs(code_points[kept], faces[kept], blocks[kept])


def enlarge(blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge blocks (N, 8, 8), 0 to 16, to images (N, 32, 32) uint8 by bilinear interpolation: bright ink on dark."""
    where = np.clip((np.arange(_FRAME) + 0.5) * BLOCKS / _FRAME - 0.5, 0, BLOCKS - 1)  # pixel centres, edges repeated
    weights = np.maximum(0, 1 - np.abs(where[:, None] - np.arange(BLOCKS))).astype(np.float32)
    pixels = weights @ (blocks.astype(np.float32) * (255 / LEVELS)) @ weights.T
    return np.rint(pixels).astype(np.uint8)


def _render_face(face: str) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The code points (n,) of one face and their blocks (n, 8, 8)."""
    import matplotlib  # slow to import
    from matplotlib.ft2font import FT2Font

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    points = [point for point in sorted(FT2Font(str(path)).get_charmap()) if unicodedata.name(chr(point), "")]
    font = ImageFont.truetype(str(path), _SIZE, layout_engine=ImageFont.Layout.BASIC)
    frames = np.zeros((len(points), _FRAME, _FRAME), dtype=np.uint8)
    for frame, picture in zip(frames, _draw(font, points), strict=True):
        width, height = picture.size
        left, top = (_FRAME - width) // 2, (_FRAME - height) // 2
        frame[top : top + height, left : left + width] = np.asarray(picture)
    size = _FRAME // BLOCKS
    means = frames.reshape(-1, BLOCKS, size, BLOCKS, size).mean(axis=(2, 4), dtype=np.float32)
    return np.array(points, dtype=np.int64), np.rint(means * (LEVELS / 255)).astype(np.uint8)


def _draw(font: ImageFont.FreeTypeFont, points: list[int]) -> Iterator[Image.Image]:
    """The ink of each character, scaled to fit the box; one black pixel for a character without ink."""
    canvas = Image.new("L", _CANVAS)
    pen = ImageDraw.Draw(canvas)
    for point in points:
        canvas.paste(0, (0, 0, *_CANVAS))
        pen.text(_PEN, chr(point), fill=255, font=font)
        ink = canvas.getbbox()
        if ink is None:
            yield Image.new("L", (1, 1))
            continue
        yield canvas.resize(_fit(ink[2] - ink[0], ink[3] - ink[1]), Image.Resampling.BOX, box=ink)


def _fit(width: int, height: int) -> tuple[int, int]:
    """The size of the scaled ink: one side fills the box, the other is stretched as far as :data:`_STRETCH` allows."""
    scale = min(_BOX[0] / width, _BOX[1] / height)
    fitted = (min(limit, _STRETCH * scale * side) for limit, side in zip(_BOX, (width, height), strict=True))
    across, down = (max(1, round(side)) for side in fitted)
    return across, down
