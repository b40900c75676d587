"""Evaluation: against a plain loop, with classes matched by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from features import open_dataset
from features.backbones import load_backbone
from features.errors import InputError
from finetune.evaluation import EvaluateConfig, align_classes, evaluate, evaluate_model
from finetune.model import ImageClassifier

CLASSES = {"blue": 2, "green": 1, "red": 0, "yellow": 3}


def options(**given) -> EvaluateConfig:
    fixed = {"run": "-", "dataset": "-", "device": "cpu", "precision": "fp32", "workers": 0, "batch_size": 5}
    return EvaluateConfig(**fixed | given)


@pytest.fixture
def folder(tmp_path, write_folder) -> Path:
    return write_folder(tmp_path / "data", CLASSES, per_class=5)


@pytest.fixture
def model(folder) -> ImageClassifier:
    """A classifier that guesses, with its classes in another order than the folder's."""
    torch.manual_seed(0)
    model = ImageClassifier(load_backbone("resnet8", "none", 16), ["yellow", "red", "green", "blue", "violet"]).eval()
    dataset = open_dataset(f"folder:{folder}")
    with torch.no_grad():
        pixels = torch.stack([model.backbone.preprocessing.pixels(dataset.image(i)) for i in range(len(dataset))])
        features = model.backbone(model.backbone.preprocessing.normalize(pixels))
        model.head.weight /= features.std(0)
        model.head.bias -= model.head.weight @ features.mean(0)  # or one class would always win
    return model


CARD = {"sigmoid": False, "scale": 1.0, "train_counts": [200, 50, 50, 5, 5]}


def by_hand(model: ImageClassifier, dataset) -> tuple[np.ndarray, np.ndarray]:
    """Each image's true class and the classes in the order of their scores, one by one."""
    preprocessing, truth, order = model.backbone.preprocessing, [], []
    with torch.inference_mode():
        for i in range(len(dataset)):
            pixels = preprocessing.pixels(dataset.image(i))[None]
            scores = model(preprocessing.normalize(pixels))[0]
            truth.append(model.classes.index(dataset.classes[dataset.labels[i]]))
            order.append(scores.argsort(descending=True).numpy())
    return np.array(truth), np.array(order)


def test_against_a_plain_loop(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    found = evaluate_model(model, dataset, CARD, options())
    truth, order = by_hand(model, dataset)
    right = order[:, 0] == truth
    per_class = [right[truth == c].mean() for c in range(4)]
    assert 0 < right.mean() < 1  # or the comparison would say little
    assert found.top1 == pytest.approx(right.mean())
    assert found.macro == pytest.approx(np.mean(per_class))
    assert found.many == pytest.approx(per_class[0])
    assert found.medium == pytest.approx(np.mean(per_class[1:3]))
    assert found.few == pytest.approx(per_class[3])
    assert found.images == 20


def test_the_order_of_the_classes_does_not_matter(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    expected = evaluate_model(model, dataset, CARD, options())
    for names in (["red", "yellow", "blue", "green"], ["yellow", "red", "green", "blue"]):
        found = evaluate_model(model, dataset.restrict(names), CARD, options())
        assert found.to_json() == expected.to_json()
        np.testing.assert_array_equal(found.per_class, expected.per_class)


def test_some_of_the_classes(model, folder):
    dataset = open_dataset(f"folder:{folder}").restrict(["yellow", "blue"])
    found = evaluate_model(model, dataset, CARD, options())
    truth, order = by_hand(model, dataset)
    assert found.top1 == pytest.approx((order[:, 0] == truth).mean())
    assert found.images == 10
    assert np.isnan(found.per_class[[1, 2, 4]]).all()
    assert found.medium is None


def test_the_batch_size_does_not_matter(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    one, all_at_once = (evaluate_model(model, dataset, CARD, options(batch_size=n)) for n in (1, 64))
    assert one.top1 == all_at_once.top1
    assert one.calibration_error == pytest.approx(all_at_once.calibration_error, abs=1e-5)


def test_sigmoid_scores_are_read_as_such(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    softmax, sigmoid = (evaluate_model(model, dataset, CARD | {"sigmoid": s}, options()) for s in (False, True))
    assert softmax.top1 == sigmoid.top1
    assert softmax.calibration_error != sigmoid.calibration_error


def test_unreadable_images_are_said_and_not_counted(model, folder, capsys):
    (folder / "red" / "2.png").write_bytes(b"no picture")
    found = evaluate_model(model, open_dataset(f"folder:{folder}"), CARD, options())
    assert found.images == 19
    assert found.groups["medium"].images == 9
    assert "not evaluated, unreadable: red/2.png" in capsys.readouterr().err
    for picture in folder.rglob("*.png"):
        picture.write_bytes(b"no picture")
    with pytest.raises(InputError, match="no image can be read"):
        evaluate_model(model, open_dataset(f"folder:{folder}"), CARD, options())


def test_of_a_run(model, folder, tmp_path):
    model.save(tmp_path / "run" / "checkpoints" / "last.safetensors", CARD)
    spec = f"folder:{folder}"
    found = evaluate(options(run=str(tmp_path / "run"), dataset=spec))
    assert found.to_json() == evaluate_model(model, open_dataset(spec), CARD, options()).to_json()
    with pytest.raises(InputError, match="no trained model there"):
        evaluate(options(run=str(tmp_path), dataset=spec))
    with pytest.raises(InputError, match="class 'digit 0' is not one of the model's 5 classes"):
        evaluate(options(run=str(tmp_path / "run"), dataset="digits:@test"))


def test_positions_by_name(folder):
    dataset = open_dataset(f"folder:{folder}")
    assert align_classes(dataset, ("red", "violet", "yellow", "green", "blue")).tolist() == [4, 3, 0, 2]
    with pytest.raises(InputError, match=r"class 'blue' is not one of the model's 2 classes \(2 of 4 are not\)"):
        align_classes(dataset, ("red", "green", "x", "z")[:2])


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"workers": -1}])
def test_bad_options(given):
    with pytest.raises(InputError, match="expected at least"):
        options(**given)
