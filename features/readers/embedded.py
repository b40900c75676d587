"""``glyphs:`` and ``digits:``, the data of the demo: no file, no download.

The source pool are characters drawn from the fonts inside matplotlib; the target are the handwritten
digits inside scikit-learn. Both are 32×32 pictures of 8×8 block values, bright ink on a dark ground.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import ArrayImages
from features.infrastructure.errors import InputError
from features.readers.glyph_rendering import FACES, enlarge, render_glyphs

#: The first image of the second half of the digits. The writers copied one text of about 130 digits, and
#: scikit-learn keeps their 14 sheets in order: images 0 to 904 are seven sheets, 905 to 1796 the other seven.
SECOND_HALF = 905


def open_glyphs(spec: DatasetSpec) -> ImageDataset:
    """Printed characters: ``glyphs:[SCRIPT,…][?min_faces=K]``.

    A class is a code point, named like ``U+0038 DIGIT EIGHT``; its images are the faces that draw it
    differently, with ids like ``DejaVuSans/U+0038``. A script is the first word of the Unicode name
    (``LATIN``, ``GREEK``, ``MATHEMATICAL``, …): each can serve as a source domain of its own.

    Args:
        spec: ``location`` holds the scripts, separated by commas, or nothing for all of them. The
            option ``min_faces`` keeps the classes with at least so many images (default 1).

    Raises:
        InputError: No such script, a split, or no class left.
    """
    if spec.split is not None:
        raise InputError(f"dataset spec {str(spec)!r}: glyphs has no split {spec.split!r}; leave @{spec.split} out")
    glyphs = render_glyphs()
    points, label, count = np.unique(glyphs.code_points, return_inverse=True, return_counts=True)
    chosen = count >= (spec.integer("min_faces", 1, minimum=1) or 1)
    scripts = [word.strip().upper() for word in spec.location.split(",") if word.strip()]
    if scripts:
        of_class = np.array([_script(point) for point in points.tolist()])
        for script in scripts:
            if script not in of_class:
                largest = ", ".join(word for word, _ in Counter(of_class.tolist()).most_common(12))
                raise InputError(
                    f"dataset spec {str(spec)!r}: no glyph's Unicode name begins with {script!r}; "
                    f"the largest scripts are {largest}"
                )
        chosen &= np.isin(of_class, scripts)
    if not chosen.any():
        raise InputError(
            f"dataset spec {str(spec)!r}: no class has min_faces={spec.options.get('min_faces')} images; "
            f"ask for 1 to {len(FACES)}, or for more scripts"
        )
    kept = np.flatnonzero(chosen[label])
    return ImageDataset(
        str(spec),
        tuple(f"U+{point:04X} {unicodedata.name(chr(point))}" for point in points[chosen].tolist()),
        (np.cumsum(chosen) - 1)[label[kept]],
        [
            f"{FACES[face]}/U+{point:04X}"
            for face, point in zip(glyphs.faces[kept].tolist(), glyphs.code_points[kept].tolist(), strict=True)
        ],
        ArrayImages(enlarge(glyphs.blocks[kept])),
    )


def open_digits(spec: DatasetSpec) -> ImageDataset:
    """Handwritten digits: ``digits:[@train|@test]``.

    The 1,797 images are the test part of the UCI "Optical Recognition of Handwritten Digits" data:
    14 sheets by 13 writers. ``train`` are the first seven sheets (905 images), ``test`` the last seven
    (892): nearly every writer is in one half only, so that the test asks for unknown handwriting.
    Classes ``digit 0`` to ``digit 9``; ids ``digits/0000`` to ``digits/1796``, in scikit-learn's order.

    Raises:
        InputError: A location, or a split other than these.
    """
    halves = {None: slice(None), "train": slice(SECOND_HALF), "test": slice(SECOND_HALF, None)}
    if spec.location:
        raise InputError(f"dataset spec {str(spec)!r}: digits takes no location; type digits:, digits:@train")
    if spec.split not in halves:
        raise InputError(f"dataset spec {str(spec)!r}: digits has no split {spec.split!r}; it has train and test")
    pixels, labels = _digits()
    index = np.arange(len(labels))[halves[spec.split]]
    return ImageDataset(
        str(spec),
        tuple(f"digit {digit}" for digit in range(10)),
        labels[index],
        [f"digits/{i:04d}" for i in index.tolist()],
        ArrayImages(pixels[index]),
    )


def _script(point: int) -> str:
    return unicodedata.name(chr(point)).split()[0]


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # lazily: scikit-learn takes a second to import

    digits = load_digits()
    return enlarge(digits.images.astype(np.uint8)), digits.target.astype(np.int64)
