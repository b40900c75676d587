"""Reading images: what can be read is read right, what cannot is an error about that image."""

import io
import os
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from features.image_sources import (
    ArrayImages,
    ChainedImages,
    FileImages,
    UnreadableImage,
    picture_size,
    read_image,
    to_rgb,
)
from features.preprocessing import Preprocessing


def noise(height=12, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content, min_side=None):
    return read_image(io.BytesIO(content), min_side)


def pixels(content):
    image = read(content)
    assert image.mode == "RGB"
    return np.asarray(image)


def unreadable(path):
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    return str(caught.value)


def png_claiming(width, height):
    """A PNG file of under 100 bytes that says it is ``width`` × ``height``."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# What cannot be read


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_unreadable(tmp_path, kind, part):
    content = encoded(Image.fromarray(noise(60, 80)), kind)
    path = tmp_path / "x.jpg"
    path.write_bytes(content[: int(part * len(content))])
    assert unreadable(path)


@pytest.mark.parametrize("content", [b"", b"not an image at all\n", b"\xff\xd8\xff", b"GIF89a", b"\0" * 1000])
def test_a_file_that_is_no_image_is_unreadable(tmp_path, content):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    reason = unreadable(path)
    assert reason == "not an image, or of an unknown format such as HEIC"
    with pytest.raises(UnreadableImage, match=reason):  # the same from memory, without the address of a buffer
        read(content)


def test_what_is_not_a_file_is_unreadable(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert unreadable(tmp_path / "absent.jpg") == f"there is no file {tmp_path / 'absent.jpg'}"
    assert unreadable(tmp_path / "link.jpg") == f"there is no file {tmp_path / 'link.jpg'}"
    assert unreadable(tmp_path / "folder.jpg") == "Is a directory"
    assert unreadable(str(tmp_path / "a\0b.jpg"))


@pytest.mark.parametrize("side", [20_000, 10_000])  # above twice Pillow's limit, and between the limit and that
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(side, side))
    assert path.stat().st_size < 100
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("the pixels were allocated"))
    with warnings.catch_warnings(record=True) as shown:
        assert f"{side * side} pixels) exceeds limit of" in unreadable(path)
    assert not shown


def test_an_image_just_below_the_limit_is_no_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 16)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(noise()), "PNG")), noise())
    with pytest.raises(UnreadableImage, match="exceeds limit"):
        read(encoded(Image.fromarray(noise(12, 17)), "PNG"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF"])
def test_damage_anywhere_is_an_unreadable_image_or_an_image(kind):
    try:
        content = encoded(Image.fromarray(noise()), kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(150):
        broken = bytearray(content[: rng.integers(1, len(content) + 1)])
        for _ in range(rng.integers(1, 6)):
            broken[rng.integers(len(broken))] = rng.integers(256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcomes.append(read(bytes(broken)).mode)
        except UnreadableImage as error:
            assert str(error)
            outcomes.append("unreadable")
    assert set(outcomes) <= {"RGB", "unreadable"} and "unreadable" in outcomes


# What can be read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_rgb_is_exact(kind):
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(noise()), kind)), noise())


def test_one_pixel():
    assert pixels(encoded(Image.new("RGB", (1, 1), (7, 8, 9)), "PNG")).tolist() == [[[7, 8, 9]]]


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0,) * 4, (255,) * 3),
    ],
)
def test_a_cmyk_jpeg_has_the_colours_of_its_inks(cmyk, rgb):
    found = pixels(encoded(Image.new("CMYK", (16, 16), cmyk), "JPEG", quality=95))
    assert np.abs(found.astype(int) - rgb).max() <= 4  # JPEG is lossy


def test_16_bit_grey_is_scaled_and_not_clipped():
    grey = np.array([[0, 257, 128 * 257, 65535, 300]], dtype=np.uint16)
    expected = np.repeat([[[0], [1], [128], [255], [1]]], 3, axis=2)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(grey), "PNG")), expected)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(grey), "TIFF")), expected)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(grey.astype(">u2")))), expected)


def test_grey_and_black_and_white_are_spread_over_three_channels():
    grey = noise()[..., 0]
    found = pixels(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))
    found = pixels(encoded(Image.fromarray(grey > 100), "PNG"))
    np.testing.assert_array_equal(found, np.repeat(255 * (grey > 100)[..., None], 3, axis=2))


def palette_picture():
    image = Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 100, 0, 9, 9, 9])
    image.putdata([0, 1, 2])
    return image


def test_transparency_lies_over_white():
    white = [255] * 3
    found = pixels(encoded(palette_picture(), "PNG", transparency=1))
    assert found.tolist() == [[[200, 0, 0], white, [9, 9, 9]]]
    found = pixels(encoded(palette_picture(), "PNG", transparency=bytes([255, 0, 0])))
    assert found.tolist() == [[[200, 0, 0], white, white]]

    layers = Image.new("RGBA", (3, 1))
    layers.putdata([(0, 0, 0, 0), (0, 0, 0, 255), (0, 100, 200, 128)])
    found = pixels(encoded(layers, "PNG")).astype(int)
    over = [(255 * 127 + value * 128) / 255 for value in (0, 100, 200)]  # the usual "over" with a white ground
    assert found[0, :2].tolist() == [white, [0, 0, 0]] and np.abs(found[0, 2] - over).max() <= 1

    grey = Image.new("LA", (2, 1))
    grey.putdata([(10, 0), (10, 255)])
    assert pixels(encoded(grey, "PNG")).tolist() == [[white, [10] * 3]]
    colour_key = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert pixels(encoded(colour_key, "PNG", transparency=(1, 2, 3))).tolist() == [[white, [4, 5, 6]]]


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert Image.open(io.BytesIO(content)).n_frames == 3
        assert (pixels(content) == (255, 0, 0)).all()


#: EXIF orientation → how the stored array is turned upright (EXIF 2.3, table of tag 0x0112).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photo_is_turned_as_its_exif_says(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    np.testing.assert_array_equal(
        pixels(encoded(Image.fromarray(noise()), "PNG", exif=exif)), UPRIGHT[orientation](noise())
    )
    blocks = (
        np.kron(np.array([[0, 80, 160], [200, 240, 30]]), np.ones((16, 16)))[..., None].repeat(3, 2).astype(np.uint8)
    )
    found = pixels(encoded(Image.fromarray(blocks), "JPEG", quality=95, exif=exif)).astype(int)
    assert np.abs(found - UPRIGHT[orientation](blocks)).mean() < 2  # JPEG is lossy


def test_a_broken_exif_block_does_not_make_the_image_unreadable():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = "a bird"
    exif[ExifTags.Base.XResolution] = 72.0
    block = exif.tobytes()
    picture = Image.new("RGB", (8, 4), (10, 200, 30))
    sizes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is wrong with the block
        for position in range(6, len(block)):
            for value in (0, 1, 2, 4, 5, 7, 12, 255):
                broken = block[:position] + bytes([value]) + block[position + 1 :]
                image = read(encoded(picture, "JPEG", exif=broken))
                sizes.add(image.size)
                assert np.abs(np.asarray(image).astype(int) - (10, 200, 30)).max() <= 4
        for length in range(6, len(block)):
            sizes.add(read(encoded(picture, "JPEG", exif=block[:length])).size)
    assert sizes == {(8, 4), (4, 8)}


def test_a_jpeg_is_read_at_a_reduced_scale_that_is_not_below_what_is_needed():
    content = encoded(Image.fromarray(noise(300, 400)), "JPEG")
    assert read(content).size == (400, 300)
    for needed, expected in ((300, (400, 300)), (151, (400, 300)), (150, (200, 150)), (40, (100, 75)), (1, (50, 38))):
        assert read(content, needed).size == expected
    assert read(encoded(Image.fromarray(noise(300, 400)), "PNG"), 40).size == (400, 300)


# The sources


def files(tmp_path, n=4):
    for i in range(n):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
    return FileImages(tmp_path, [f"{i}.png" for i in range(n)])


def arrays(n=3, first=100):
    shades = np.arange(first, first + n, dtype=np.uint8)
    return ArrayImages(np.broadcast_to(shades[:, None, None, None], (n, 4, 4, 3)))


def shades(source):
    return [source.read(i).getpixel((0, 0))[0] for i in range(len(source))]


def test_every_source_reads_and_takes_by_position(tmp_path):
    chained = ChainedImages([files(tmp_path), arrays(0), arrays(3)])
    assert shades(files(tmp_path)) == [0, 1, 2, 3] and shades(arrays()) == [100, 101, 102]
    assert shades(chained) == [0, 1, 2, 3, 100, 101, 102]
    assert shades(files(tmp_path).take(np.array([3, 0, 3]))) == [3, 0, 3]
    assert shades(arrays().take(np.array([2, 0]))) == [102, 100]
    assert shades(chained.take(np.array([3, 0, 6, 4]))) == [3, 0, 102, 100]
    assert shades(chained.take(np.array([6]))) == [102] and len(chained.take(np.array([], dtype=int))) == 0
    assert shades(ChainedImages([chained, arrays(1, 50)]).take(np.array([1, 5, 7]))) == [1, 101, 50]
    with pytest.raises(ValueError, match="must keep the order of the parts"):
        chained.take(np.array([4, 0]))


def test_a_source_reports_the_image_that_cannot_be_read(tmp_path):
    source = ChainedImages([arrays(1), files(tmp_path)])
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(UnreadableImage):
        source.read(2)
    assert source.read(3).getpixel((0, 0)) == (2, 0, 0)


def test_the_fingerprint_changes_with_the_images(tmp_path):
    source = files(tmp_path)
    before = source.fingerprint()
    assert files(tmp_path).fingerprint() == before != source.take(np.array([0, 1])).fingerprint()
    Image.fromarray(noise()).save(tmp_path / "2.png")
    now = time.time()
    os.utime(tmp_path / "2.png", (10.0, now))
    changed = FileImages(source.root, source.paths)
    assert abs(changed.modified() - now) < 1e-3 and now > source.modified() > arrays().modified() == 0
    assert ChainedImages([arrays(), changed]).modified() == changed.modified()
    (tmp_path / "2.png").unlink()
    without = FileImages(source.root, source.paths)
    assert len({before, changed.fingerprint(), without.fingerprint()}) == 3 and without.modified() < now
    other = noise()[None].copy()
    other[0, 3, 3, 1] ^= 1
    assert ArrayImages(noise()[None]).fingerprint() == ArrayImages(noise()[None].copy()).fingerprint()
    assert ArrayImages(noise()[None]).fingerprint() != ArrayImages(other).fingerprint()
    assert ChainedImages([arrays()]).fingerprint() == arrays().fingerprint()


@pytest.mark.parametrize("size", [(96, 64), (97, 67), (65, 102)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_reduced_jpeg_says_what_it_spans(size, orientation):
    """Two photos side by side, whose seam must lie where it lies at full size, though an edge was padded."""
    image = Image.new("RGB", size, (250, 10, 10))
    image.paste((10, 10, 250), (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, exif=exif)
    full, reduced = read_image(io.BytesIO(file.getvalue())), read_image(io.BytesIO(file.getvalue()), 16)
    scale = 4 if min(size) < 16 * 8 else 8
    assert picture_size(full) == full.size
    assert picture_size(reduced) == (full.size[0] / scale, full.size[1] / scale)
    assert reduced.size == tuple(int(np.ceil(length)) for length in picture_size(reduced))
    recipe = Preprocessing(5, 5)
    np.testing.assert_allclose(recipe.pixels(reduced).float(), recipe.pixels(full).float(), atol=14)  # of 255


def test_arrays_are_grey_or_rgb_bytes():
    grey = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    np.testing.assert_array_equal(np.asarray(ArrayImages(grey).read(1)), grey[1][..., None].repeat(3, 2))
    for wrong in (grey.astype(float), grey[0], np.zeros((2, 4, 4, 4), np.uint8), np.zeros((2, 3, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"pixels must be \(N, H, W\) or \(N, H, W, 3\) uint8"):
            ArrayImages(wrong)
