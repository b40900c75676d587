"""``glyphs:`` and ``digits:``, the data of the demo, which need no file and no download: 32×32, bright ink on dark."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.image_sources import ArrayImages
from features.infrastructure.texts import Texts
from features.readers.checks import check_split
from features.readers.glyph_rendering import FACES, enlarge, render_glyphs
from features.readers.scheme import Scheme, SpecOption

#: The first image of the second half of the digits. Each sheet holds one text of about 130 digits, and scikit-learn
#: keeps the 14 sheets in order: images 0 to 904 are seven sheets, 905 to 1796 the other seven.
SECOND_HALF = 905


def open_glyphs(spec: DatasetSpec) -> ImageDataset:
    """Read ``glyphs:[SCRIPT,…][?min_faces=K]``: printed characters.

    A class is a code point, such as ``U+0038 DIGIT EIGHT``; its images are the font faces that draw it differently,
    with ids such as ``DejaVuSans/U+0038``. A script is the first word of the Unicode name (``LATIN``, ``GREEK``,
    ``MATHEMATICAL``, …) and can serve as a source domain; without one, all are read. ``min_faces`` is the least number
    of images of a class, by default 1.
    """
    check_split(spec, ())
    glyphs = render_glyphs()
    points, label, count = np.unique(glyphs.code_points, return_inverse=True, return_counts=True)
    chosen = count >= (spec.integer("min_faces", 1, minimum=1) or 1)
    scripts = [word.strip().upper() for word in spec.location.split(",") if word.strip()]
    if scripts:
        of_class = np.array([unicodedata.name(chr(point)).split()[0] for point in points.tolist()])
        for script in scripts:
            if script not in of_class:
                largest = ", ".join(word for word, _ in Counter(of_class.tolist()).most_common(12))
                raise spec.error(f"no glyph's Unicode name begins with {script!r}; the largest scripts are {largest}")
        chosen &= np.isin(of_class, scripts)
    if not chosen.any():
        raise spec.error(
            f"no class has min_faces={spec.options.get('min_faces')} images; give 1 to {len(FACES)}, or more scripts"
        )
    kept = np.flatnonzero(chosen[label])
    classes = tuple(f"U+{point:04X} {unicodedata.name(chr(point))}" for point in points[chosen].tolist())
    labels = (np.cumsum(chosen) - 1)[label[kept]]
    ids = [f"{FACES[glyphs.faces[i]]}/U+{glyphs.code_points[i]:04X}" for i in kept]
    return ImageDataset(str(spec), classes, labels, Texts.of(ids), ArrayImages(enlarge(glyphs.blocks[kept])))


def open_digits(spec: DatasetSpec) -> ImageDataset:
    """Read ``digits:[@train|@test]``: handwritten digits.

    The 1,797 images are the test part of the UCI "Optical Recognition of Handwritten Digits" data, 14 sheets by 13
    writers. ``train`` is the first seven sheets (905 images), ``test`` the last seven (892). Nearly every writer is in
    one half only, so the test measures unknown handwriting. Classes are ``digit 0`` to ``digit 9``; ids are
    ``digits/0000`` to ``digits/1796``, in scikit-learn's order.
    """
    halves = {None: slice(None), "train": slice(SECOND_HALF), "test": slice(SECOND_HALF, None)}
    if spec.location:
        raise spec.error("digits takes no location; type digits:, digits:@train")
    check_split(spec, ("train", "test"))
    pixels, labels = _digits()
    index = np.arange(len(labels))[halves[spec.split]]
    classes, ids = tuple(f"digit {digit}" for digit in range(10)), [f"digits/{i:04d}" for i in index]
    return ImageDataset(str(spec), classes, labels[index], Texts.of(ids), ArrayImages(pixels[index]))


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # takes a second to import

    digits = load_digits()
    return enlarge(digits.images.astype(np.uint8)), digits.target.astype(np.int64)


GLYPHS = Scheme(
    "glyphs",
    "printed characters, embedded: the demo's source",
    "glyphs:[SCRIPT,...]",
    open_glyphs,
    {
        "min_faces": SpecOption(
            "K", "only characters with at least K images, one for each font face that draws them differently", "1"
        )
    },
)
DIGITS = Scheme("digits", "handwritten digits, embedded: the demo's target", "digits:[@train|@test]", open_digits)
