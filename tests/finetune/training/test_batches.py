"""Training images: what is decoded, what is left out, and in which batches they come."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from features import open_dataset
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.samplers import build_sampler
from finetune.training import batches as training_images
from finetune.training.batches import EpochBatches, TrainingImages, batches_an_epoch

SMALL = Preprocessing(12, 14)
NAMES = {"blue": 2, "green": 1, "red": 0}  # sorted, so labels are 0, 1, 2; the values are colours


def batches_of(images: TrainingImages, batch_size: int, steps: int, start: int = 0, name: str = "shuffle") -> list:
    sampler = build_sampler(name, images.labels, epochs=3, seed=5)
    return list(images.loader(EpochBatches(sampler, batch_size, steps, start)))


@pytest.fixture
def streamed(monkeypatch) -> None:
    """No pixels in memory: every batch is decoded when its turn comes."""
    monkeypatch.setattr(training_images, "MEMORY_SHARE", 0)


def test_frames_are_the_uncropped_pixels(tmp_path, write_folder):
    dataset = open_dataset(f"folder:{write_folder(tmp_path, NAMES, size=20)}")
    images = TrainingImages(dataset, SMALL, workers=0)
    assert images.labels.tolist() == dataset.labels.tolist()
    assert images.counts.tolist() == [6, 6, 6]
    for batch in batches_of(images, 6, 3):
        for pixels, label, index in zip(batch.values, batch.labels, batch.indices, strict=True):
            image = dataset.image(int(index))
            assert torch.equal(pixels, Preprocessing(14, 14).pixels(image))
            assert label == dataset.labels[index]


@pytest.mark.parametrize("workers", [0, 1])
def test_streamed_batches_are_the_cached_ones(tmp_path, write_folder, monkeypatch, workers):
    dataset = open_dataset(f"folder:{write_folder(tmp_path, NAMES)}")
    cached = batches_of(TrainingImages(dataset, SMALL, workers=0), 4, 10, 3)
    monkeypatch.setattr(training_images, "MEMORY_SHARE", 0)
    streamed = batches_of(TrainingImages(dataset, SMALL, workers=workers), 4, 10, 3)
    assert len(streamed) == len(cached) == 7
    for one, other in zip(streamed, cached, strict=True):
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.labels, other.labels)


def spoil(folder, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:60])


def colour_of(pixels: torch.Tensor) -> np.ndarray:
    """The dominant channel of each image: red 0, green 1, blue 2."""
    return pixels.float().mean((2, 3)).argmax(1).numpy()


def test_an_unreadable_image_is_left_out_and_the_labels_stay_with_their_images(tmp_path, write_folder):
    spoil(write_folder(tmp_path, NAMES), "blue/3.png", "green/0.png")
    images = TrainingImages(open_dataset(f"folder:{tmp_path}"), SMALL, workers=0)
    assert [id_ for id_, _ in images.unreadable] == ["blue/3.png", "green/0.png"]
    assert all(reason for _, reason in images.unreadable)
    assert images.counts.tolist() == [5, 5, 6]
    (batch,) = batches_of(images, 16, 1)
    assert (colour_of(batch.values) == 2 - batch.labels.numpy()).all()  # blue is class 0, red class 2
    assert np.bincount(batch.labels).tolist() == [5, 5, 6]


def test_streamed_it_leaves_its_batch(tmp_path, write_folder, streamed):
    spoil(write_folder(tmp_path, NAMES), "blue/3.png")
    images = TrainingImages(open_dataset(f"folder:{tmp_path}"), SMALL, workers=0)
    batches = batches_of(images, 6, 3)
    assert sorted(len(batch.labels) for batch in batches) == [5, 6, 6]
    assert [id_ for batch in batches for id_, _ in batch.unreadable] == ["blue/3.png"]
    for batch in batches:
        assert (colour_of(batch.values) == 2 - batch.labels.numpy()).all()


def test_a_class_without_a_readable_image_is_refused_by_name(tmp_path, write_folder):
    write_folder(tmp_path, NAMES, per_class=2)
    spoil(tmp_path, "green/0.png", "green/1.png")
    with pytest.raises(InputError, match=r"class 'green' has no readable image, such as green/0.png \(.+\); mend or r"):
        TrainingImages(open_dataset(f"folder:{tmp_path}"), SMALL, workers=0)


@pytest.mark.parametrize("name", ["shuffle", "class", "progressive"])
def test_epochs_follow_the_sampler_and_drop_their_rest(name):
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    sampler = build_sampler(name, labels, epochs=3, seed=5)
    found = list(EpochBatches(sampler, 4, steps=5))
    expected = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = sampler.positions().tolist()
        expected += [order[0:4], order[4:8]]  # 10 images: two whole batches, and two images are dropped
    assert found == expected[:5]
    if name == "shuffle":
        assert len({*found[0], *found[1]}) == 8
    assert found[:2] != found[2:4]  # the next epoch has another order


@pytest.mark.parametrize("name", ["shuffle", "sqrt", "progressive"])
def test_a_later_start_reads_what_would_have_come(name):
    labels = np.repeat([0, 1, 2], [6, 3, 1])

    def from_step(start: int) -> EpochBatches:
        return EpochBatches(build_sampler(name, labels, epochs=4, seed=1), 3, steps=11, start=start)

    whole = list(from_step(0))
    assert len(whole) == 11
    for start in range(12):
        assert len(from_step(start)) == 11 - start
        assert list(from_step(start)) == whole[start:]


def in_processes(monkeypatch, processes: int, batch_size: int, parts: int, steps: int = 5) -> list[list[list[int]]]:
    """What each process of a job reads of 30 images."""
    monkeypatch.setattr(training_images, "world_size", lambda: processes)
    found = []
    for rank in range(processes):
        monkeypatch.setattr(training_images, "rank", lambda rank=rank: rank)
        sampler = build_sampler("shuffle", np.zeros(30, int), seed=5)
        found.append(list(EpochBatches(sampler, batch_size, steps, parts=parts)))
    return found


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2)])
def test_the_parts_of_all_processes_are_the_whole_epoch(monkeypatch, processes, parts):
    found = in_processes(monkeypatch, processes, 6, parts)
    assert all(len(own) == 5 * parts for own in found)
    assert {len(part) for own in found for part in own} == {6 // parts // processes}
    assert sorted(position for own in found for part in own for position in part) == list(range(30))


@pytest.mark.parametrize(("processes", "batch_size", "parts"), [(2, 6, 2), (2, 3, 1), (1, 6, 4)])
def test_parts_that_would_drop_images_are_refused(monkeypatch, processes, batch_size, parts):
    with pytest.raises(InputError, match=f"^{batch_size} images cannot be shared out evenly among {processes} process"):
        in_processes(monkeypatch, processes, batch_size, parts)


def test_an_epoch_smaller_than_a_batch_is_one_batch():
    batches = list(EpochBatches(build_sampler("shuffle", [0, 1, 0], seed=0), 8, steps=3))
    assert [sorted(batch) for batch in batches] == [[0, 1, 2]] * 3
    assert [batches_an_epoch(n, 8) for n in (1, 7, 8, 15, 16)] == [1, 1, 1, 1, 2]
