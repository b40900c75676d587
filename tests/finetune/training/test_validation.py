"""Images to judge by are neither trained on nor tested on, and may lack classes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from features import concatenate, open_dataset
from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from finetune import FinetuneConfig, finetune
from finetune.losses import build_loss
from finetune.model import ImageClassifier
from finetune.training import batches
from finetune.training.validation import Validator, open_validation

TRAIN = "digits:@train?per_class=8"
CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TINY = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 2, **CPU}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (TRAIN, None, "80 of its 80 images are training images too"),
        ("digits:@train?per_class=3", None, "of its 30 images are training images too"),
        ("digits:@test", "digits:@test", "images are test images too"),
        ("digits:@test?per_class=5", "digits:@test?per_class=9", "of its 50 images are test images too"),
    ],
)
def test_images_that_are_used_elsewhere_are_refused(validation, test, message):
    judged = None if test is None else open_dataset(test)
    with pytest.raises(InputError) as refusal:
        open_validation(validation, open_dataset(TRAIN), judged)
    assert f"`validation` {validation}: " in str(refusal.value) and message in str(refusal.value)


def test_of_several_datasets_each_has_its_images():
    training = concatenate(
        [open_dataset("digits:@train?per_class=8&seed=1"), open_dataset("glyphs:?per_class=3&seed=1")]
    )
    with pytest.raises(InputError, match="are training images too"):
        open_validation("glyphs:?per_class=3&seed=1", training)
    with pytest.raises(InputError, match=r"class .* is not one of"):
        open_validation("digits:@test", open_dataset("glyphs:?per_class=3&seed=1"))


def test_a_search_is_not_begun_on_the_test_images(tmp_path):
    same = {"validation": "digits:@test?per_class=2", "test": "digits:@test?per_class=2", "search": True}
    with pytest.raises(InputError, match="are test images too"):
        finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), **same, **TINY))
    assert not list(tmp_path.iterdir())


def test_other_images_of_the_same_dataset_are_taken():
    found = open_validation("digits:@test?per_class=5", open_dataset(TRAIN), open_dataset("digits:@train"))
    assert len(found) == 50


def test_files_are_known_by_where_they_lie(write_folder, tmp_path):
    root = tmp_path / "data"
    for split in ("train", "val"):
        write_folder(root / split, {"a": 0, "b": 1})
    training = open_dataset(f"folder:{root}@train")
    assert len(open_validation(f"folder:{root}@val", training)) == 12  # the names of the files are the same
    (tmp_path / "link").symlink_to(root)
    for same in (f"folder:{root}/train", f"folder:{tmp_path}/link@train", f"folder:{root}@train?per_class=1"):
        with pytest.raises(InputError, match="are training images too"):
            open_validation(same, training)


def test_classes_may_have_no_image_to_judge_by(write_folder, tmp_path):
    root = tmp_path / "data"
    write_folder(root / "train", {"a": 0, "b": 1, "c": 2})
    write_folder(root / "val", {"c": 2, "a": 0}, per_class=2)
    training = open_dataset(f"folder:{root}@train")
    found = open_validation(f"folder:{root}@val", training)
    assert found.classes == training.classes
    assert sorted(found.labels.tolist()) == [0, 0, 2, 2]
    with pytest.raises(InputError, match="class 'b' is not one of the 2 classes"):
        open_validation(f"folder:{root}@train", open_dataset(f"folder:{root}@val"))


def test_the_same_images_in_another_order_of_classes(write_folder, tmp_path):
    write_folder(tmp_path / "train", {"a": 0, "b": 1})
    write_folder(tmp_path / "val", {"b": 1, "a": 0})
    training = open_dataset(f"folder:{tmp_path}/train")
    found = open_validation(f"folder:{tmp_path}/val", training)
    names = np.array(training.classes)[found.labels]
    assert [Path(one).parts[-2] for one in found.ids] == names.tolist()


def judge(folder: Path) -> tuple[Validator, ImageClassifier]:
    """A validation on the images of a folder, two a batch, and a model to judge."""
    dataset = open_dataset(f"folder:{folder}")
    model = ImageClassifier(load_backbone("resnet8", "none", 16, seed=0), dataset.classes)
    return Validator(dataset, model, build_loss("softmax", dataset.counts), 2, workers=0), model


def figures(validator: Validator, model: ImageClassifier) -> tuple[float, float, int]:
    found = validator(model, model.state_dict(), torch.device("cpu"), "fp32")
    return found.macro, found.top1, found.images


def test_images_that_do_not_fit_in_memory_are_decoded_at_each_validation(write_folder, tmp_path, monkeypatch):
    """The rule is that of the training images, and the figures are those of images in memory."""
    write_folder(tmp_path, {"a": 0, "b": 1, "c": 2}, per_class=3)
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    in_memory, model = judge(tmp_path)
    assert sum(len(batch.labels) for batch in in_memory.batches) == 8
    assert [id_ for id_, _ in in_memory.unreadable] == ["b/1.png"]
    monkeypatch.setattr(batches, "MEMORY_SHARE", 0)
    streamed, _ = judge(tmp_path)
    assert not isinstance(streamed.batches, list)
    expected = figures(in_memory, model)
    assert expected[2] == 8
    for _ in range(2):
        assert figures(streamed, model) == expected
        assert [id_ for id_, _ in streamed.unreadable] == ["b/1.png"]
    for picture in tmp_path.rglob("*.png"):
        picture.write_bytes(b"no picture")
    assert not isinstance(judge(tmp_path)[0].batches, list)  # found out in the first validation
    with pytest.raises(InputError, match=r"`validation` folder:.*: no image can be read"):
        figures(streamed, model)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"`validation` folder:.*: no image can be read"):
        judge(tmp_path)


def test_a_training_whose_images_do_not_fit_in_memory_ends_the_same(write_folder, tmp_path, monkeypatch):
    for split in ("train", "val"):
        write_folder(tmp_path / split, {"a": 0, "b": 1}, seed=len(split))
    (tmp_path / "val" / "b" / "1.png").write_bytes(b"no picture")
    data = {"dataset": f"folder:{tmp_path}/train", "validation": f"folder:{tmp_path}/val"}
    given = TINY | data | {"steps": 6, "batch_size": 4}
    found = []
    for name, share in (("memory", batches.MEMORY_SHARE), ("streamed", 0)):
        monkeypatch.setattr(batches, "MEMORY_SHARE", share)
        found.append(finetune(FinetuneConfig(out=str(tmp_path / name), **given)))
        assert (tmp_path / name / "log.txt").read_text().count("skipped unreadable image b/1.png") == 1
    assert found[0].metrics == found[1].metrics
    rows = [list(csv.DictReader((result.run / "history.csv").open())) for result in found]
    for one, other in zip(*rows, strict=True):
        assert one["validation_macro"] == other["validation_macro"] and one["train_loss"] == other["train_loss"]
