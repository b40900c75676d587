"""Extraction with a dataset and a network of one's own: equal to a plain loop, and to the same images in folders."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from pictures import CLASSES, PER_CLASS, TRANSFORM, Pictures, network
from torch import nn
from torchvision.transforms import v2

from features import Extraction, FeatureBank, InputError, Preprocessing, extract, extract_features, load_backbone

FAST: dict[str, Any] = {"workers": 0, "device": "cpu", "precision": "fp32", "batch_size": 5}


@pytest.fixture
def out(tmp_path) -> str:
    return str(tmp_path / "own.h5")


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> FeatureBank:
    return extracted(Pictures(), str(tmp_path_factory.mktemp("expected") / "own.h5")).bank


def extracted(dataset: Any, out: str, **options: Any) -> Extraction:
    given = {"network": network(), "transform": TRANSFORM, "classes": CLASSES, **FAST, **options}
    return extract_features(dataset, out=out, **given)


def refused(dataset: Any, out: str, **options: Any) -> str:
    with pytest.raises(InputError) as refusal:
        extracted(dataset, out, **options)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_bank_has_the_statistics_of_a_plain_loop(out):
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    bank = extracted(Pictures(), out, network=module.train(), keep_images=True).bank
    reference = network().eval()
    with torch.no_grad():
        features = torch.stack([reference(TRANSFORM(image)[None])[0] for image, _ in Pictures()]).numpy()
    labels = np.repeat(np.arange(3), PER_CLASS)
    kept, kept_labels, ids = bank.images()
    np.testing.assert_allclose(kept, features, atol=1e-6)
    assert kept_labels.tolist() == labels.tolist() and ids == [str(i) for i in range(len(labels))]
    assert bank.classes == CLASSES and bank.counts.tolist() == [PER_CLASS] * 3
    for label in range(3):
        own = features[labels == label].astype(np.float64)
        np.testing.assert_allclose(bank.means[label], own.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(bank.variances[label], own.var(axis=0), atol=1e-6)
    assert module.training  # and nothing in it was changed
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_the_same_images_in_folders_have_the_same_bank(folder, config, out):
    bank = extract(config(folder)).bank
    backbone = load_backbone("resnet8", "none", seed=0)
    own = extracted(Pictures(), out, network=backbone, transform=None).bank
    np.testing.assert_array_equal(own.means, bank.means)
    for name in ("backbone", "weights", "weights_sha256", "transform", "pooling", "image_size", "precision"):
        assert own.attrs[name] == bank.attrs[name], name
    assert own.attrs["dataset"] == "python:own"
    bank.require_comparable(own)
    at_40 = Preprocessing(40, 40)
    by_hand = extracted(Pictures(), f"{out}.2.h5", network=backbone.network, transform=at_40).bank
    assert by_hand.attrs["transform"] == at_40.describe() and by_hand.attrs["weights"] == "own"
    larger = extracted(Pictures(), f"{out}.3.h5", network=backbone, transform=at_40).bank
    np.testing.assert_array_equal(larger.means, by_hand.means)
    assert backbone.preprocessing.image_size == 32  # the backbone that was given keeps its own


def test_tensors_of_floats_are_the_input_already(out, expected):
    transformed = Pictures(lambda image, label: (TRANSFORM(image), label))
    bank = extracted(transformed, out, transform=None).bank
    np.testing.assert_array_equal(bank.means, expected.means)
    assert bank.attrs["transform"] == "of the dataset" and bank.attrs["image_size"] == 24
    dark = extracted(transformed, f"{out}.2.h5", transform=v2.Lambda(torch.zeros_like)).bank  # it takes the tensors
    assert np.ptp(dark.means, axis=0).max() == 0


def test_a_spec_under_a_network_of_ones_own(out):
    bank = extract_features("digits:@train?per_class=2", network(), out, transform=TRANSFORM, **FAST).bank
    assert bank.attrs["dataset"] == "digits:@train?per_class=2" and bank.counts.tolist() == [2] * 10


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(out, expected, workers):
    bank = extracted(Pictures(), out, workers=workers).bank
    np.testing.assert_allclose(bank.means, expected.means, atol=1e-6)
    assert bank.attrs["manifest_sha256"] == expected.attrs["manifest_sha256"]


def test_an_interrupted_extraction_goes_on(out, expected):
    class Stop(Exception):
        pass

    class Stopping(nn.Sequential):
        batches = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == FAST["batch_size"]:
                Stopping.batches += 1
                if Stopping.batches == 3:
                    raise Stop
            return super().forward(x)

    options = {"checkpoint_seconds": 0, "network_name": "Sequential"}
    with pytest.raises(Stop):
        extracted(Pictures(), out, network=Stopping(*network()), **options)
    done = extracted(Pictures(), out, network=network(), **options)
    assert done.read == len(Pictures()) - 10
    np.testing.assert_array_equal(done.bank.means, expected.means)


def test_items_that_cannot_be_read_are_listed(out):
    class Damaged(Pictures):
        def __getitem__(self, index: int) -> Any:
            if index == 9:
                raise OSError("the disk is old")
            return super().__getitem__(index)

    done = extracted(Damaged(), out)
    assert done.bank.skipped == (("9", "OSError: the disk is old"),)
    assert done.bank.counts.tolist() == [PER_CLASS, PER_CLASS - 1, PER_CLASS]
    assert "`max_unreadable` 0.01; the first is 9" in refused(Damaged(), out, max_unreadable=0.01, overwrite=True)


# Identity


def test_the_same_parts_reuse_the_bank(out):
    assert not extracted(Pictures(), out).reused
    assert extracted(Pictures(), out).reused


class Painted(Pictures):
    """The pictures with one pixel changed."""

    def __init__(self) -> None:
        super().__init__()
        self.shown[3][0].putpixel((0, 0), (1, 2, 3))


def halved(image: Any) -> torch.Tensor:
    return TRANSFORM(image) / 2


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "pixels": ({"dataset": Painted()}, "manifest_sha256 is"),
    "labels": ({"labels": [0, 1, 2] * PER_CLASS}, "manifest_sha256 is"),
    "weights": ({"network": network(1)}, "weights_sha256 is"),
    "name": ({"network_name": "another"}, "backbone is 'Sequential', asked for 'another'"),
    "transform": ({"transform": v2.Compose([*TRANSFORM.transforms, v2.RandomErasing(p=0.0)])}, "transform is"),
    "function": ({"transform": halved}, "asked for '<function halved> sha256 "),
    "stated fingerprint": ({"fingerprint": "second version"}, "manifest_sha256 is"),
    "dataset's name": ({"name": "birds"}, "dataset is 'python:own', asked for 'python:birds'"),
}


@pytest.mark.parametrize(("other", "said"), OTHERS.values(), ids=OTHERS)
def test_another_part_does_not_reuse_the_bank(other, said, out):
    extracted(Pictures(), out)
    assert said in refused(**{"dataset": Pictures(), "out": out, **other})
    assert not extracted(**{"dataset": Pictures(), "out": out, "overwrite": True, **other}).reused


def test_functions_are_told_apart_by_what_they_do(out):
    extracted(Pictures(), out, transform=lambda image: TRANSFORM(image))
    assert extracted(Pictures(), out, transform=lambda image: TRANSFORM(image)).reused
    assert "transform is" in refused(Pictures(), out, transform=lambda image: 2 * TRANSFORM(image))


def test_a_stated_fingerprint_and_labels_save_the_pass_over_the_items(out):
    read: list[int] = []

    class Watched(Pictures):
        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return super().__getitem__(index)

    labels = [label for _, label in Pictures()]
    bank = extracted(Watched(), out, labels=labels, fingerprint="v1").bank
    assert bank.counts.tolist() == [PER_CLASS] * 3
    assert sorted(read) == sorted([0, 0, *range(len(labels))])  # one item tells what the others are
    read.clear()
    assert extracted(Watched(), out, labels=labels, fingerprint="v1").reused and read == [0, 0]


# What is refused

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no transform": ({"transform": None}, "`transform`: is missing; give the function"),
    "for images": (
        {"dataset": Pictures(lambda image, label: (TRANSFORM(image), label)), "transform": Preprocessing(8, 8)},
        "`transform`: is for images, and the dataset gives tensors of floats",
    ),
    "tensors without channels": (
        {"dataset": Pictures(lambda image, label: (TRANSFORM(image)[0], label))},
        "`dataset`: its items are tensors of shape (24, 20); expected (C, H, W)",
    ),
    "several sizes": (
        {"transform": v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)])},
        "the first is 1 (is (3, 36, 41) after the transform, and others are (3, 36, 40); crop all to one size)",
    ),
    "no image of such a size": (
        {"transform": v2.Compose([TRANSFORM, v2.Lambda(lambda image: {"fails": image}), v2.Identity()])},
        "`transform`: gives a dict; expected a tensor (C, H, W) of floats",
    ),
    "no network": ({"network": 3}, "`network`: a int; expected a module of PyTorch, or a backbone's name"),
    "a backbone": (
        {"network": load_backbone("resnet8", "none"), "network_name": "x"},
        "`network_name` x: a backbone has a name of its own, resnet8; leave it out",
    ),
    "no bank": ({"out": "own.csv"}, "own.csv"),
    "a range": ({"batch_size": 0}, "`batch_size` 0: expected at least 1"),
    "a device": ({"device": "cuda:99"}, "`device` cuda:99"),
}


@pytest.mark.parametrize(("wrong", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_part_is_one_line(wrong, said, out):
    assert said in refused(**{"dataset": Pictures(), "out": out, **wrong})


def test_an_unknown_option_is_a_mistake_of_the_program(out):
    with pytest.raises(TypeError, match=re.escape("extract_features() has no option 'weights'; it has batch_size")):
        extracted(Pictures(), out, weights="none")
