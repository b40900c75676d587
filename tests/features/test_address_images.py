"""Images in a store: the same pixels as on the disk, in every process, fetched ahead, and never lost in silence."""

import io
import pickle

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from support import picture

import features.decoding
from features.address_images import AddressImages, fetch, files_at
from features.dataset import ImageDataset
from features.decoding import in_order, pixel_batches
from features.image_sources import ChainedImages, FileImages, UnreadableImage
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located
from features.infrastructure.storage.listings import Listing
from features.infrastructure.storage.stores import TIMEOUT
from features.preprocessing import Preprocessing

EYES = Preprocessing(8, 8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
PATHS = [f"c{i % 3}/{i} ü#.png" for i in range(9)]


def encoded(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, 2 * shade, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=["memory", "web"])
def stored(request, memory, web):
    """Nine images at an address and on the disk, as two datasets."""
    for i, path in enumerate(PATHS):
        fsspec.filesystem("memory").pipe_file(f"{memory}/i/{path}", encoded(10 * i))
        (web.root / "i" / path).parent.mkdir(parents=True, exist_ok=True)
        (web.root / "i" / path).write_bytes(encoded(10 * i))
    root = located(f"{memory}/i" if request.param == "memory" else f"{web.address}/i")
    labels = np.arange(9) % 3
    return [
        ImageDataset("x:y", ("a", "b", "c"), labels, PATHS, files_at(where, PATHS)) for where in (root, web.root / "i")
    ]


def pixels(dataset, workers=0, batches=None):
    batches = in_order(range(len(dataset)), 4) if batches is None else batches
    return torch.cat([batch.values for batch in pixel_batches(dataset, EYES, batches, workers)])


def test_pixels_are_those_on_the_disk_in_this_process_and_in_forked_ones(stored):
    there, here = stored
    assert isinstance(there.source, AddressImages) and isinstance(here.source, FileImages)
    assert there.image(3).tobytes() == here.image(3).tobytes()
    assert torch.equal(pixels(there), pixels(here))
    assert torch.equal(pixels(there, workers=2), pixels(here))  # after this process has used the store
    batches = [[8, 1, 1], [0, 8, 5, 2]]  # as a sampler draws them: in any order, and twice
    assert torch.equal(pixels(there, 0, batches), pixels(here, 0, batches))


def test_pixels_in_spawned_processes(web, monkeypatch):
    for i, path in enumerate(PATHS[:4]):
        (web.root / path).parent.mkdir(parents=True, exist_ok=True)
        (web.root / path).write_bytes(encoded(10 * i))
    web.key = "sig=1"
    datasets = [
        ImageDataset("x:y", ("a",), np.zeros(4), PATHS[:4], files_at(where, PATHS[:4]))
        for where in (located(f"{web.address}?sig=1"), web.root)
    ]
    expected, real = pixels(datasets[1]), features.decoding._Loader
    spawned = lambda *args, **options: real(*args, **options, multiprocessing_context="spawn")  # noqa: E731
    monkeypatch.setattr(features.decoding, "_Loader", spawned)
    assert torch.equal(pixels(datasets[0], workers=1), expected)


def test_the_images_of_a_batch_are_fetched_together(web):
    paths = [f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        picture(web.root / path, i)
    source = files_at(located(web.address), paths)
    source.fetch(range(8))
    assert sorted({len(future.result()) > 0 for future in source._ahead.values()}) == [True] and len(web.asked) == 8
    assert [source.read(i).getpixel((0, 0))[0] for i in range(8)] == list(range(8)) and len(web.asked) == 8
    assert source.read(3).getpixel((0, 0))[0] == 3 and len(web.asked) == 9  # again: nothing is kept
    assert pickle.loads(pickle.dumps(source))._ahead == {}


def test_parts_of_chained_sources_are_fetched_by_their_own_positions(stored):
    there, here = stored
    one, other = (there.source.take(np.arange(9)) for _ in range(2))
    joined = ImageDataset("x:y", ("a",), np.zeros(27), [""] * 27, ChainedImages([here.source, one, other]))
    batch = [0, 20, 9, 26, 3]
    fetch(joined.source, batch)
    assert sorted(one._ahead) == [0] and sorted(other._ahead) == [2, 8]
    expected = torch.stack([EYES.pixels(here.image(i % 9)) for i in batch])
    assert torch.equal(pixels(joined, 0, [batch]), expected)


def test_a_missing_image_is_unreadable_and_a_damaged_one(stored):
    there, _ = stored
    source = files_at(there.source.root, [PATHS[0], "gone.png"])
    with pytest.raises(UnreadableImage, match=r"^there is no file \S+/i/gone.png$"):
        source.read(1)
    source.fetch([0, 1])
    with pytest.raises(UnreadableImage, match="there is no file"):
        source.read(1)
    assert source.read(0).size == (9, 7)


def test_a_denied_image_is_unreadable_without_its_signature(web):
    web.key = "sig=1"
    picture(web.root / "a.png")
    with pytest.raises(UnreadableImage, match="access is denied") as caught:
        files_at(located(f"{web.address}?sig=SECRET"), ["a.png"]).read(0)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_does_not_answer_ends_the_pass_in_one_line(web, workers, monkeypatch):
    monkeypatch.setenv(TIMEOUT, "0.1")
    picture(web.root / "a.png")
    web.silent.add("/a.png")
    source = files_at(located(f"{web.address}?sig=SECRET"), ["a.png"])
    dataset = ImageDataset("x:y", ("a",), np.zeros(1), ["a.png"], source)
    with pytest.raises(InputError, match=f"^{web.address}/a.png: does not answer") as caught:  # no image is skipped
        pixels(dataset, workers)
    assert "Traceback" not in str(caught.value) and "SECRET" not in str(caught.value)


def test_the_fingerprint_is_of_sizes_and_versions_from_one_listing(memory, monkeypatch):
    store = fsspec.filesystem("memory")
    for i, path in enumerate(("x/a.png", "x/b.png", "c.png")):
        store.pipe_file(f"{memory}/{path}", b"x" * (i + 1))
    monkeypatch.setattr(type(store), "cat_file", None)  # nothing is read
    source = files_at(located(memory), ["x/a.png", "x/b.png", "x/gone.png"])
    first = source.fingerprint()
    assert [state.size for state in source.states] == [1, 2, -1] and source.modified() > 0
    listed = files_at(located(memory), ["x/a.png", "x/b.png"], Listing.of(located(memory)))
    assert listed.fingerprint() == source.take(np.array([0, 1])).fingerprint() != first
    assert source.take(np.array([1, 0])).fingerprint() != listed.fingerprint()
    before = source.modified()
    store.pipe_file(f"{memory}/x/b.png", b"x" * 7)
    changed = files_at(located(memory), ["x/a.png", "x/b.png", "x/gone.png"])
    assert changed.fingerprint() != first and changed.modified() > before


def test_a_web_server_has_no_sizes_and_a_line_says_so(web, capsys):
    picture(web.root / "a.png")
    source = files_at(located(web.address), ["a.png"])
    assert source.fingerprint() == files_at(located(web.address), ["b.png"]).fingerprint() and source.modified() == 0
    assert not web.asked
    assert f"{web.address}: a web server does not list sizes or dates" in capsys.readouterr().err
