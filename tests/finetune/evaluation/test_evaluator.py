"""Evaluation: against a plain loop, with classes matched by name."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from features import open_dataset
from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.evaluation.class_matching import align_classes
from finetune.evaluation.evaluator import EvaluateConfig, evaluate, evaluate_model
from finetune.evaluation.image_pass import score_images
from finetune.evaluation.test_time_augmentation import Views
from finetune.model import ImageClassifier
from finetune.run_tables import read_predictions

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
    assert found.metrics.top1 == pytest.approx(right.mean())
    assert found.metrics.macro == pytest.approx(np.mean(per_class))
    assert found.metrics.many == pytest.approx(per_class[0])
    assert found.metrics.medium == pytest.approx(np.mean(per_class[1:3]))
    assert found.metrics.few == pytest.approx(per_class[3])
    assert found.metrics.images == 20


def test_other_borders_of_many_and_few(model, folder, tmp_path):
    truth, order = by_hand(model, open_dataset(f"folder:{folder}"))
    per_class = [(order[truth == c, 0] == c).mean() for c in range(4)]  # of 200, 50, 50 and 5 training images
    model.save(tmp_path / "run" / "checkpoints" / "last.safetensors", CARD)
    at = {"run": str(tmp_path / "run"), "dataset": f"folder:{folder}"}
    found = evaluate(options(**at, many=49, few=6)).to_json()
    assert (found["many"], found["medium"]) == (pytest.approx(np.mean(per_class[:3])), None)
    assert found["few"] == pytest.approx(per_class[3])
    assert found["classes"] == {"macro": 4, "many": 3, "medium": 0, "few": 1}
    assert found["borders"] == {"many": 49, "few": 6}
    assert evaluate(options(**at)).to_json()["borders"] == {"many": 100, "few": 20}


def test_the_order_of_the_classes_does_not_matter(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    expected = evaluate_model(model, dataset, CARD, options())
    for names in (["red", "yellow", "blue", "green"], ["yellow", "red", "green", "blue"]):
        found = evaluate_model(model, dataset.restrict(names), CARD, options())
        assert found.to_json() == expected.to_json()
        np.testing.assert_array_equal(found.metrics.per_class, expected.metrics.per_class)


def test_some_of_the_classes(model, folder):
    dataset = open_dataset(f"folder:{folder}").restrict(["yellow", "blue"])
    found = evaluate_model(model, dataset, CARD, options())
    truth, order = by_hand(model, dataset)
    assert found.metrics.top1 == pytest.approx((order[:, 0] == truth).mean())
    assert found.metrics.images == 10
    assert np.isnan(found.metrics.per_class[[1, 2, 4]]).all()
    assert found.metrics.medium is None


def test_the_batch_size_does_not_matter(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    one, all_at_once = (evaluate_model(model, dataset, CARD, options(batch_size=n)) for n in (1, 64))
    assert one.metrics.top1 == all_at_once.metrics.top1
    assert one.metrics.calibration_error == pytest.approx(all_at_once.metrics.calibration_error, abs=1e-5)


def test_sigmoid_scores_are_read_as_such(model, folder):
    dataset = open_dataset(f"folder:{folder}")
    softmax, sigmoid = (evaluate_model(model, dataset, CARD | {"sigmoid": s}, options()) for s in (False, True))
    assert softmax.metrics.top1 == sigmoid.metrics.top1
    assert softmax.metrics.calibration_error != sigmoid.metrics.calibration_error


def test_unreadable_images_are_said_and_not_counted(model, folder, capsys):
    (folder / "red" / "2.png").write_bytes(b"no picture")
    found = evaluate_model(model, open_dataset(f"folder:{folder}"), CARD, options())
    assert found.metrics.images == 19
    assert found.metrics.groups["medium"].images == 9
    assert "skipped unreadable image red/2.png" in capsys.readouterr().err
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
    with pytest.raises(InputError, match="class 'digit 0' is not one of the 5 classes of the training"):
        evaluate(options(run=str(tmp_path / "run"), dataset="digits:@test"))


def test_a_checkpoint_is_evaluated_and_never_replaced(model, folder, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path, CARD)
    kept = {file: file.read_bytes() for file in (path, path.with_suffix(".json"))}
    given = {"run": str(path), "dataset": f"folder:{folder}", "overwrite": True}
    assert evaluate(options(**given)).metrics.images == 20
    for file in kept:
        link = tmp_path / f"{file.suffix[1:]}.csv"
        link.symlink_to(file)
        with pytest.raises(InputError, match="would replace what is read"):
            evaluate(options(**given, per_class=str(link)))
    assert all(file.read_bytes() == content for file, content in kept.items())


def test_classes_without_a_test_image_are_said(folder, capsys):
    dataset = open_dataset(f"folder:{folder}")
    align_classes(dataset, dataset.classes)
    assert not capsys.readouterr().err
    align_classes(dataset, ("red", "violet", "yellow", "green", "blue", "pink"))
    assert "has images of 4 of the 6 classes of the training, none of 'violet'" in capsys.readouterr().err
    align_classes(dataset.take(np.flatnonzero(dataset.labels != 0)), dataset.classes)  # a class without an image
    assert "has images of 3 of the 4 classes of the training, none of 'blue'" in capsys.readouterr().err


def test_positions_by_name(folder):
    dataset = open_dataset(f"folder:{folder}")
    assert align_classes(dataset, ("red", "violet", "yellow", "green", "blue")).tolist() == [4, 3, 0, 2]
    with pytest.raises(
        InputError, match=r"class 'blue' is not one of the 2 classes of the training \(2 of 4 are not\)"
    ):
        align_classes(dataset, ("red", "green", "x", "z")[:2])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 0}, "`batch_size` 0: expected at least 1 and at most 1048576"),
        ({"workers": -1}, "`workers` -1: expected at least 0 and at most 1024"),
        ({"many": 0}, "`many` 0: expected at least 1"),
        ({"few": 0}, "`few` 0: expected at least 1"),
        ({"few": 101}, "`few` 101: expected at most `many`, which is 100"),
        ({"many": 19}, "`few` 20: expected at most `many`, which is 19"),
        ({"per_class": "x.txt"}, r"`per_class` x\.txt: expected a file name that ends in \.csv"),
    ],
)
def test_bad_options(given, said):
    with pytest.raises(InputError, match=f"^{said}$"):
        options(**given)


# Views


def views_by_hand(model, dataset, views, sigmoid=False) -> np.ndarray:
    """Mean probabilities over crops cut from each frame with NumPy slices."""
    preprocessing = model.backbone.preprocessing
    frames, size, rows = preprocessing.uncropped(), preprocessing.image_size, []
    end = frames.image_size - size
    places = [(round(end / 2), round(end / 2)), (0, 0), (0, end), (end, 0), (end, end)][: 1 if views <= 2 else 5]
    for i in range(len(dataset)):
        frame = frames.pixels(dataset.image(i)).numpy()
        crops = [frame[:, y : y + size, x : x + size] for y, x in places]
        if views in (2, 10):
            crops += [crop[:, :, ::-1].copy() for crop in crops]
        assert len(crops) == views
        with torch.inference_mode():
            logits = torch.cat([model(preprocessing.normalize(torch.from_numpy(crop)[None])) for crop in crops])
        rows.append((torch.sigmoid(logits) if sigmoid else torch.softmax(logits, 1)).mean(0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("views", [1, 2, 5, 10])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_views_against_a_plain_loop(model, folder, views, sigmoid):
    model.backbone.preprocessing = Preprocessing(image_size=12, resize=16)
    dataset = open_dataset(f"folder:{folder}")
    network = Views(model, views, sigmoid=sigmoid, scale=1.0)
    found, _, _ = score_images(network, dataset, network.preprocessing, options())
    np.testing.assert_allclose(found, views_by_hand(model, dataset, views, sigmoid), atol=1e-5)
    if views > 1:
        assert np.abs(found - views_by_hand(model, dataset, 1, sigmoid)).max() > 1e-3


def test_corners_of_a_whole_image_are_refused(model, folder):
    with pytest.raises(InputError, match="`views` 5: this model sees the whole image"):
        evaluate_model(model, open_dataset(f"folder:{folder}"), CARD, options(), views=5)


# What is said beside the figures


def test_the_table_of_classes_and_the_confusions(model, folder, tmp_path):
    model.save(tmp_path / "run" / "checkpoints" / "last.safetensors", CARD)
    out = tmp_path / "classes.csv"
    found = evaluate(options(run=str(tmp_path / "run"), dataset=f"folder:{folder}", per_class=str(out)))
    truth, order = by_hand(model, open_dataset(f"folder:{folder}"))
    first, *lines = out.read_text().splitlines()
    assert json.loads(first.removeprefix("# "))["views"] == 1
    rows = list(csv.DictReader(lines))
    assert [row["class"] for row in rows] == ["yellow", "red", "green", "blue"]  # violet has no image
    for row in rows:
        number = model.classes.index(row["class"])
        assert float(row["accuracy"]) == pytest.approx((order[truth == number, 0] == number).mean())
        assert (int(row["train_images"]), int(row["images"])) == (CARD["train_counts"][number], 5)
    wrong = [(model.classes[t], model.classes[p]) for t, p in zip(truth, order[:, 0], strict=True) if t != p]
    told = found.to_json()["confusions"]
    assert {(pair["true"], pair["predicted"]): pair["images"] for pair in told} == dict(Counter(wrong))
    assert [pair["share"] for pair in told] == sorted((wrong.count(pair) / 5 for pair in set(wrong)), reverse=True)
    assert found.to_json()["unreadable"] == 0


def test_the_predictions_of_the_readable_images_read_back(model, folder, tmp_path):
    (folder / "red" / "broken.jpg").write_bytes(b"no image")
    dataset = open_dataset(f"folder:{folder}")
    found = evaluate_model(model, dataset, CARD, options())
    found.write_predictions(tmp_path / "predictions.csv", {})
    read = read_predictions(tmp_path / "predictions.csv")
    kept = [i for i, id_ in enumerate(dataset.ids) if "broken" not in id_]
    readable = dataset.take(kept)
    truth, order = by_hand(model, readable)
    assert read["image"] == list(readable.ids)
    assert read["label"] == [model.classes[i] for i in truth]
    assert read["class"] == [model.classes[i] for i in order[:, 0]]
    assert np.array(read["probability"], dtype=np.float32).tolist() == found.predictions.confidence.tolist()
    assert read_predictions(tmp_path / "none.csv")["image"] == []


def test_classes_without_names_are_matched_by_their_numbers(tmp_path):
    (tmp_path / "named.txt").write_text("train/n3/a.jpg 3\ntrain/n7/b.jpg 7\ntrain/n9/c.jpg 9\n")
    (tmp_path / "flat.txt").write_text("val/a.jpg 9\nval/b.jpg 3\n")
    (tmp_path / "other.txt").write_text("val/x/a.jpg 3\nval/y/b.jpg 7\n")
    named, flat, other = (open_dataset(f"list:{tmp_path / name}.txt") for name in ("named", "flat", "other"))
    assert named.classes == ("n3", "n7", "n9") and flat.classes == ("class_3", "class_9")
    assert align_classes(flat, named.classes, named.numbers).tolist() == [0, 2]
    assert align_classes(named, ("class_9", "class_7", "class_3")).tolist() == [2, 1, 0]  # trained on the flat one
    with pytest.raises(InputError, match="class 'x' is not one of the 3 classes"):
        align_classes(other, named.classes, named.numbers)  # both have names: other ones
    with pytest.raises(InputError, match="class 'class_3' is not one of the 3 classes"):
        align_classes(flat, named.classes)  # a training without numbers
    with pytest.raises(InputError, match="class 'class_3' is not one of the 1 classes"):
        align_classes(flat, ("n3",), (3,))
