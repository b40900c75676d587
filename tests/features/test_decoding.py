"""Batches of decoded pixels, and the pass of a network over them."""

import gc
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from features.dataset import ImageDataset
from features.decoding import in_order, pixel_batches
from features.forward_pass import forward_pass
from features.image_sources import ArrayImages, FileImages
from features.infrastructure import processes
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

N = 23
EYES = Preprocessing(4, 5, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
BROKEN = {3: b"", 4: b"no image", 17: b"\xff\xd8\xff\xe0"}


def shade(index):
    return 10 * index


@pytest.fixture
def shaded(tmp_path):
    """Images whose shade tells their position, some of them broken; the label is the position modulo 3."""
    for i in range(N):
        path = tmp_path / f"{i}.png"
        path.write_bytes(BROKEN[i]) if i in BROKEN else Image.new("RGB", (9, 7), (shade(i), 0, 0)).save(path)
    paths = [f"{i}.png" for i in range(N)]
    return ImageDataset("folder:shaded", ("a", "b", "c"), np.arange(N) % 3, paths, FileImages(tmp_path, paths))


def check(batches, asked_for):
    """That every image asked for came once, in order, with its own label, or is listed as unreadable."""
    for batch, asked in zip(batches, asked_for, strict=True):
        readable = [i for i in asked if i not in BROKEN]
        assert batch.indices.tolist() == readable
        assert batch.labels.tolist() == [i % 3 for i in readable]
        assert batch.values.shape == (len(readable), 3, 4, 4) and batch.values.dtype == torch.uint8
        assert (batch.values[:, 0] == torch.tensor([shade(i) for i in readable]).view(-1, 1, 1)).all()
        assert [id_ for id_, _ in batch.unreadable] == [f"{i}.png" for i in asked if i in BROKEN]
        assert all(reason for _, reason in batch.unreadable)
        assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_image_comes_once_with_its_own_label(shaded, batch_size, workers):
    batches = in_order(range(N), batch_size)
    check(pixel_batches(shaded, EYES, batches, workers), batches)


def test_any_order_and_repetition_can_be_asked_for_and_asked_for_again(shaded):
    batches = [[5, 3, 1], [3, 4], [22, 22, 0], []]
    loader = pixel_batches(shaded, EYES, batches, 0)
    check(loader, batches)
    check(loader, batches)


def test_ranges_cover_every_position():
    assert [list(part) for part in in_order(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [list(part) for part in in_order(range(2, 8), 3)] == [[2, 3, 4], [5, 6, 7]] and in_order(range(0), 3) == []


def test_images_in_memory_need_no_workers_and_files_take_one_a_core(shaded, monkeypatch):
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: set(range(5)), raising=False)
    assert pixel_batches(shaded, EYES, []).num_workers == 5
    assert pixel_batches(shaded, EYES, [], workers=2).num_workers == 2
    grey = ImageDataset("a:", ("a",), np.zeros(2), ["0", "1"], ArrayImages(np.zeros((2, 4, 4), np.uint8)))
    assert pixel_batches(grey, EYES, []).num_workers == 0
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda process: set(range(200)), raising=False)
    assert pixel_batches(shaded, EYES, []).num_workers == 64


# The pass of a network


class Means(nn.Module):
    """Mean colour of the images; ``seen`` remembers how it and its copies were called."""

    seen: ClassVar[list] = []

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.layer.weight)
        Means.seen = []

    def forward(self, x):
        Means.seen.append((len(x), x.is_contiguous(memory_format=torch.channels_last), self.training))
        return self.layer(x.mean(dim=(2, 3)))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (4, 2), (100, 0)])
def test_outputs_are_those_of_the_image_whatever_the_batch(shaded, batch_size, workers):
    network, outputs, indices = Means(), [], []
    for batch in forward_pass(
        network, shaded, EYES, batch_size=batch_size, workers=workers, device="cpu", precision="fp32"
    ):
        output = batch.values
        assert output.dtype == torch.float32 and output.device.type == "cpu" and len(output) == len(batch.indices)
        outputs += [row[0].item() for row in output]  # none where no image could be read
        indices += batch.indices.tolist()
    assert indices == [i for i in range(N) if i not in BROKEN]
    np.testing.assert_allclose(outputs, [shade(i) / 255 for i in indices], atol=1e-6)
    assert network.training  # what came in is as it was
    assert not any(training for *_, training in network.seen)
    assert all(channels_last for size, channels_last, _ in network.seen if size > 1)
    assert max(size for size, *_ in network.seen) <= batch_size and 0 not in {size for size, *_ in network.seen}


def test_bfloat16_outputs_are_rounded_and_handed_over_as_float32(shaded):
    passes = forward_pass(Means(), shaded, EYES, workers=0, device="cpu", precision="bf16")
    batch = next(passes)
    output = batch.values
    expected = torch.tensor([shade(i) / 255 for i in batch.indices])
    assert output.dtype == torch.float32 and torch.equal(output, output.bfloat16().float())
    torch.testing.assert_close(output[:, 0], expected, rtol=2**-7, atol=0)


def test_a_pass_leaves_no_mode_switched_on_in_the_code_that_uses_it(shaded):
    network = Means()
    passes = forward_pass(network, shaded, EYES, batch_size=4, workers=0, device="cpu", precision="bf16")
    output = next(passes).values
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
    assert not output.requires_grad and not output.is_inference()
    head = nn.Linear(3, 1)
    head(output).sum().backward()  # features can train a classifier
    assert head.weight.grad is not None and network.layer.weight.grad is None
    passes.close()
    gc.collect()


def test_an_unknown_device_or_precision_is_refused(shaded):
    for options in ({"device": "abacus"}, {"device": "cpu", "precision": "fp8"}):
        with pytest.raises(InputError):
            next(forward_pass(Means(), shaded, EYES, **options))


def test_the_progress_line_counts_every_image_and_the_unreadable(shaded, capfd):
    list(forward_pass(Means(), shaded, EYES, batch_size=4, workers=0, device="cpu", description="look"))
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"look folder:shaded: {N} of {N}, ") and err.endswith(" 3 unreadable\n")
    assert err.count("\n") == 1


def test_only_the_first_process_of_several_reports_progress(shaded, capfd, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert len(list(forward_pass(Means(), shaded, EYES, workers=0, device="cpu"))) == 1
    assert capfd.readouterr() == ("", "")
