"""The embedded data: drawn glyphs and handwritten digits."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.readers.glyph_rendering import FACES, enlarge, render_glyphs
from features.readers.schemes.embedded import SECOND_HALF, open_digits, open_glyphs


def glyphs(text):
    return open_glyphs(DatasetSpec.parse(text))


def digits(text):
    return open_digits(DatasetSpec.parse(text))


def picture(dataset, name):
    """The image with a given id, grey, as float."""
    return np.asarray(dataset.image(list(dataset.ids).index(name)), dtype=float)[..., 0]


@pytest.fixture(scope="module")
def pool():
    return glyphs("glyphs:")


def test_enlarge_is_pillows_bilinear():
    blocks = np.random.default_rng(0).integers(0, 17, (5, 8, 8)).astype(np.uint8)
    expected = [
        np.asarray(Image.fromarray(b.astype(np.float32) * (255 / 16)).resize((32, 32), Image.Resampling.BILINEAR))
        for b in blocks
    ]
    # Half a level for the rounding, and a little for Pillow's own arithmetic.
    np.testing.assert_allclose(enlarge(blocks), np.stack(expected), atol=0.51)


def test_enlarge_keeps_the_ends():
    np.testing.assert_array_equal(enlarge(np.full((1, 8, 8), 16, np.uint8)), 255)
    np.testing.assert_array_equal(enlarge(np.zeros((1, 8, 8), np.uint8)), 0)


def test_glyphs_cover_many_characters_with_a_long_tail(pool):
    assert len(pool.classes) > 7000 and len(pool) > 40_000
    assert pool.counts.min() == 1 and pool.counts.max() == len(FACES)
    assert np.median(pool.counts) < 6
    assert len(set(pool.ids)) == len(pool)


def test_glyph_names_and_ids_agree(pool):
    for i in np.random.default_rng(0).choice(len(pool), 200, replace=False):
        face, point = pool.ids[i].split("/")
        assert face in FACES
        assert pool.classes[pool.labels[i]] == f"{point} {unicodedata.name(chr(int(point[2:], 16)))}"
    assert "U+0038 DIGIT EIGHT" in pool.classes
    assert pool.counts[pool.classes.index("U+0038 DIGIT EIGHT")] == len(FACES)


def test_no_glyph_is_blank_or_a_copy_within_its_class(pool):
    pixels = pool.source.pixels.reshape(len(pool), -1)
    assert pixels.any(axis=1).all()
    blocks = render_glyphs().blocks.reshape(len(pool), -1)
    assert len(np.unique(np.column_stack([pool.labels, blocks]), axis=0)) == len(pool)


def test_ink_is_cut_out_and_scaled_to_20_by_32(pool):
    eight, bar, dash = (picture(pool, f"DejaVuSans/U+{point}") for point in ("0038", "007C", "2014"))
    for image in (eight, bar, dash):
        assert image.max() > 96 and image[:, [0, -1]].max() == 0  # bright ink, dark margins left and right
    assert eight[[0, -1]].max(axis=1).min() > 32  # as high as the frame
    assert bar[[0, -1]].max(axis=1).min() > 32 and (bar.max(axis=0) > 64).sum() <= 14  # a bar stays narrow
    assert dash[[0, -1]].max() == 0 and (dash.max(axis=1) > 64).sum() <= 14  # a dash stays flat
    # Ink is centred: its middle lies in the middle of the frame.
    assert (bar.sum(axis=0) * np.arange(32)).sum() / bar.sum() == pytest.approx(15.5, abs=1)


def test_lookalikes_are_classes_of_their_own(pool):
    latin, greek, cyrillic = (picture(pool, f"DejaVuSans/U+{point}") for point in ("0041", "0391", "0410"))
    np.testing.assert_array_equal(latin, greek)
    np.testing.assert_array_equal(latin, cyrillic)


def test_printed_and_handwritten_digits_have_one_style(pool):
    """Handwritten digits must be nearer to their own printed digit than chance: same frame, same polarity."""
    printed = np.stack(
        [
            pool.source.pixels[pool.labels == pool.classes.index(f"U+003{d} {unicodedata.name(str(d))}")].mean(axis=0)
            for d in range(10)
        ]
    ).reshape(10, -1)
    hand = digits("digits:")
    pixels = hand.source.pixels.reshape(len(hand), -1).astype(float)
    distance = (pixels**2).sum(1)[:, None] + (printed**2).sum(1) - 2 * pixels @ printed.T
    assert (distance.argmin(axis=1) == hand.labels).mean() > 0.4  # chance is 0.1; inverted polarity falls below it
    assert printed.mean() == pytest.approx(pixels.mean(), rel=0.35)  # about as much ink


def test_scripts_are_parts_of_the_pool(pool):
    greek = glyphs("glyphs:greek")
    assert all(name.split()[1] == "GREEK" for name in greek.classes)
    both = glyphs("glyphs:GREEK,LATIN")
    assert len(both) == len(greek) + len(glyphs("glyphs:LATIN"))
    assert set(greek.ids) <= set(both.ids) <= set(pool.ids)
    one = "DejaVuSerif/U+03A9"
    np.testing.assert_array_equal(picture(greek, one), picture(pool, one))


def test_min_faces_keeps_the_larger_classes(pool):
    large = glyphs("glyphs:?min_faces=12")
    assert large.classes == tuple(name for name, n in zip(pool.classes, pool.counts, strict=True) if n >= 12)
    assert large.counts.min() >= 12
    assert large.counts.sum() == len(large) == pool.counts[pool.counts >= 12].sum()


def test_opening_twice_gives_the_same(pool):
    assert glyphs("glyphs:").manifest_sha256 == pool.manifest_sha256
    render_glyphs.cache_clear()
    assert glyphs("glyphs:BRAILLE").manifest_sha256 == glyphs("glyphs:BRAILLE").manifest_sha256


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("glyphs:KLINGON", "'KLINGON'; the largest scripts are MATHEMATICAL, LATIN"),
        ("glyphs:LATIN,KLINGON", "'KLINGON'"),
        ("glyphs:@train", "glyphs has no splits; leave @train out"),
        ("glyphs:?min_faces=0", "min_faces=0"),
        ("glyphs:?min_faces=17", "min_faces=17"),
        ("glyphs:BRAILLE?min_faces=12", "min_faces=12"),
    ],
)
def test_wrong_glyph_specs_get_one_line(text, part):
    with pytest.raises(InputError) as error:
        glyphs(text)
    assert part in str(error.value) and text in str(error.value) and "\n" not in str(error.value)


def test_digits_are_scikit_learns():
    everything = digits("digits:")
    reference = load_digits()
    assert everything.classes == tuple(f"digit {d}" for d in range(10))
    np.testing.assert_array_equal(everything.labels, reference.target)
    assert everything.ids[0] == "digits/0000" and everything.ids[-1] == "digits/1796"
    # 4×4 means of the enlarged picture: a smoothed copy of the block values, in the same polarity.
    means = everything.source.pixels.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) * (16 / 255)
    assert np.corrcoef(means.ravel(), reference.images.ravel())[0, 1] > 0.97


def test_digit_halves_are_whole_sheets():
    train, test = digits("digits:@train"), digits("digits:@test")
    assert (len(train), len(test)) == (905, 892)
    assert list(train.ids) + list(test.ids) == list(digits("digits:").ids)
    assert train.counts.min() >= 87 and test.counts.min() >= 84
    # Every sheet copies one text, with a stray digit missing here and there: the second half begins one.
    opening = [int(c) for c in "0123456789" * 3]
    np.testing.assert_array_equal(train.labels[:30], opening)
    following = "0955650989841773510022782"  # the rest of the text's first line
    text = "".join(map(str, load_digits().target.tolist()))
    assert text.count(following[:13]) == 14
    starts = [i for i in range(len(text)) if text.startswith(following[:13], i)]
    assert SECOND_HALF + 19 < starts[7] <= SECOND_HALF + 30


@pytest.mark.parametrize(
    ("text", "part"),
    [("digits:@val", "expected one of train, test"), ("digits:somewhere@train", "no location")],
)
def test_wrong_digit_specs_get_one_line(text, part):
    with pytest.raises(InputError) as error:
        digits(text)
    assert part in str(error.value) and text in str(error.value)
