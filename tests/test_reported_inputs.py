"""Inputs of kinds that people reported in public trackers: each does what the table of their maker says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from features import ExtractConfig, FeatureBank, extract, load_backbone, open_dataset
from features.infrastructure.errors import InputError
from transfer.cli import main

MAKER = Path(os.environ.get("TRANSFER_CASES", Path(__file__).parents[2] / "shared" / "cases")) / "make_inputs.py"
NETWORK = ["--backbone", "resnet8", "--weights", "none"]
SMALL = ["--workers", "0", "--precision", "fp32", "--device", "cpu"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    if not MAKER.is_file():
        pytest.skip(f"{MAKER} is not there")
    folder = tmp_path_factory.mktemp("inputs")
    subprocess.run([sys.executable, str(MAKER)], cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True)
def there(inputs, monkeypatch):
    monkeypatch.chdir(inputs)


def bank(spec, tmp_path) -> FeatureBank:
    options = {"backbone": "resnet8", "weights": "none", "workers": 0, "precision": "fp32", "device": "cpu"}
    return extract(ExtractConfig(dataset=spec, out=str(tmp_path / f"{abs(hash(spec))}.h5"), **options)).bank


def test_float_images_have_the_features_of_8_bits(tmp_path):
    for split in ("train", "test"):
        real, bits = (bank(f"folder:{name}@{split}", tmp_path) for name in ("float", "float-as-8-bit"))
        np.testing.assert_allclose(real.means, bits.means, atol=0.01 * np.abs(bits.means).max())
        assert np.abs(real.means[0] - real.means[1]).max() > 0.1  # stripes of two directions


def test_the_class_without_an_image_is_left_out(tmp_path):
    found = bank("torch:EMNIST:emnist@train?split=letters", tmp_path)
    assert len(found.classes) == len(open_dataset("torch:EMNIST:emnist@train?split=letters").classes) == 26
    assert "N/A" not in found.classes


def test_a_name_that_is_not_utf_8(tmp_path):
    out = str(tmp_path / "run")
    training = ["--image-size", "32", "--epochs", "1", "--batch-size", "4", *SMALL]
    assert main(["finetune", "folder:names", "--init", "resnet8", "--weights", "none", *training, "--out", out]) == 0
    assert main(["evaluate", out, "folder:names", *SMALL]) == 0
    assert bank("folder:names", tmp_path).classes == ("caf\\xe9", "ok")


def test_splits_are_refused():
    with pytest.raises(InputError, match=r"holds splits \(Test, Train\), not classes; type folder:splits@Test or"):
        open_dataset("folder:splits")


@pytest.mark.parametrize("name", ["prefix_module", "prefix_wrapped", "prefix_old"])
def test_weights_load_as_the_bare_ones(name):
    bare, found = (load_backbone("resnet18", f"{file}.pth").eval() for file in ("bare", name))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bare(images), found(images))


def test_two_lists_of_one_numbering_fit_together(tmp_path):
    options = ["--image-size", "32", "--epochs", "1", "--batch-size", "4", "--out", str(tmp_path / "run"), *SMALL]
    training = ["--init", "resnet8", "--weights", "none", "--test", "list:flat/val.txt", *options]
    assert main(["finetune", "list:flat/train.txt", *training]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "list:flat/val.txt", *SMALL]) == 0


def test_one_image_under_two_labels_is_refused():
    with pytest.raises(InputError, match=r"the image train/n0/0\.jpg is listed in two classes, 'class_0' and"):
        open_dataset("list:flat/twice.txt")


def test_a_category_that_is_a_list_is_one_line():
    with pytest.raises(InputError, match=r"entry 0 of annotations has the category_id \[0\]; expected a number"):
        open_dataset("inat:category.json")


def test_a_file_of_a_mac_is_left_out():
    assert list(open_dataset("wds:mac.tar").ids) == ["mac.tar/0"]


def test_two_normalisations_are_one_class(tmp_path):
    assert open_dataset("folder:unicode@train").classes == open_dataset("folder:unicode@val").classes == ("b", "café")
