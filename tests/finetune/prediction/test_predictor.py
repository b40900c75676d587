"""Prediction: against a plain loop over single images, and against the evaluation."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from features import ExtractConfig, extract, open_dataset
from features.infrastructure.errors import InputError
from finetune import (
    EvaluateConfig,
    FinetuneConfig,
    FitClassifierConfig,
    ImageClassifier,
    PredictConfig,
    evaluate,
    finetune,
    fit_classifier,
    predict,
)
from finetune.evaluation.image_pass import score_images
from finetune.evaluation.test_time_augmentation import Views
from finetune.prediction import prediction as chunked

CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TRAIN, TEST = "digits:@train?per_class=12", "digits:@test?per_class=9"
#: Logits (1, C) to probabilities (1, C) by the loss of the training; LDAM's cosines have the scale 30.
LINKS = {
    "softmax": lambda logits: torch.softmax(logits, 1),
    "cb-sigmoid": torch.sigmoid,
    "ldam": lambda logits: torch.softmax(30 * logits, 1),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, source_run):
    """A function that trains with a loss, once: loss → run."""
    runs: dict[str, Path] = {}

    def train(loss: str) -> Path:
        if loss not in runs:
            out = tmp_path_factory.mktemp(loss) / "run"
            options = {"init": str(source_run), "loss": loss, "steps": 40, "augment": "none", "lr": 0.01, **CPU}
            runs[loss] = finetune(FinetuneConfig(dataset=TRAIN, out=str(out), **options)).run
        return runs[loss]

    return train


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six digits as files, in two folders."""
    dataset = open_dataset("digits:@test?per_class=1")
    for i, name in enumerate(("b/1.png", "b/0.png", "a.png", "z.png", "b/c/2.png", "y.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.image(i).save(path)
    return tmp_path / "photos"


def config(run: Path, images: object, tmp_path: Path, **given) -> PredictConfig:
    options = {"out": str(tmp_path / "found.csv"), "batch_size": 7, **CPU}
    return PredictConfig(run=str(run), images=str(images), **options | given)


def rows_of(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def one_by_one(run: Path, images: str) -> np.ndarray:
    """(N, C) logits, each image by itself."""
    model, _ = ImageClassifier.open(run)
    model.eval()
    dataset, preprocessing = open_dataset(images), model.backbone.preprocessing
    with torch.inference_mode():
        pixels = (preprocessing.pixels(dataset.image(i))[None] for i in range(len(dataset)))
        return torch.cat([model(preprocessing.normalize(one)) for one in pixels])


@pytest.mark.parametrize("loss", LINKS)
def test_against_a_plain_loop_and_the_evaluation(loss, trained, tmp_path):
    run = trained(loss)
    found = predict(config(run, TEST, tmp_path, top=3))
    dataset, rows = open_dataset(TEST), rows_of(found.out)
    scores = LINKS[loss](one_by_one(run, TEST)).numpy()
    names, order = np.array(ImageClassifier.open(run)[0].classes), np.argsort(-scores, axis=1)
    assert [row["image"] for row in rows] == list(dataset.ids)
    for k, end in enumerate(("", "_2", "_3")):
        assert [row[f"class{end}"] for row in rows] == names[order[:, k]].tolist()
        expected = np.take_along_axis(scores, order[:, k, None], 1)[:, 0]
        np.testing.assert_allclose([float(row[f"probability{end}"]) for row in rows], expected, atol=1e-5)
    best = -np.sort(-scores, axis=1)
    np.testing.assert_allclose([float(row["margin"]) for row in rows], best[:, 0] - best[:, 1], atol=1e-5)
    assert {row["error"] for row in rows} == {""} and "class_4" not in rows[0]
    right = np.mean([row["class"] == row["label"] for row in rows])
    measured = evaluate(EvaluateConfig(run=str(run), dataset=TEST, **CPU))
    assert right == pytest.approx(measured.metrics.top1)
    assert 0.1 < right < 1  # or the comparison would say little
    confidence = np.array([float(row["probability"]) for row in rows])
    assert (confidence.max() < 1) and (loss == "cb-sigmoid") == (abs(scores.sum(1) - 1).max() > 1e-3)


@pytest.mark.parametrize("method", ["knn", "ncm"])
def test_a_classifier_that_was_fitted(method, source_run, tmp_path):
    out = str(tmp_path / "run")
    fit_classifier(FitClassifierConfig(dataset=TRAIN, init=str(source_run), method=method, out=out, **CPU))
    found = predict(config(Path(out), TEST, tmp_path))
    right = np.mean([row["class"] == row["label"] for row in rows_of(found.out)])
    assert right == pytest.approx(evaluate(EvaluateConfig(run=out, dataset=TEST, **CPU)).metrics.top1)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()


def test_the_features_are_those_of_the_backbone(trained, features_of, tmp_path):
    run = trained("softmax")
    with_features = config(run, TEST, tmp_path, features=str(tmp_path / "found.npz"))
    predict(with_features)
    alone = predict(config(run, TEST, tmp_path, out=str(tmp_path / "alone.csv")))
    assert alone.out.read_bytes() == (tmp_path / "found.csv").read_bytes()
    with np.load(tmp_path / "found.npz") as found:  # no pickle
        assert found["id"].tolist() == list(open_dataset(TEST).ids)
        assert found["feature"].dtype == np.float32
        np.testing.assert_allclose(found["feature"], features_of(TEST, run)[0], rtol=1e-4, atol=1e-5)
        assert found["label"].tolist() == [row["label"] for row in rows_of(alone.out)]
        provenance = json.loads(str(found["transfer.features"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.csv", "found.csv", "found.npz"]
    bank = extract(ExtractConfig(dataset=TEST, backbone=str(run), out=str(tmp_path / "bank.h5"), **CPU)).bank
    assert provenance["attributes"].items() <= bank.attrs.items() and provenance["dataset"] == TEST


def test_views_are_averaged_and_features_are_of_the_centre(source_run, features_of, tmp_path):
    run, features = str(tmp_path / "run"), tmp_path / "found.npz"
    options = {"method": "linear", "crop_pct": 0.8, **CPU}
    fit_classifier(FitClassifierConfig(dataset=TRAIN, init=str(source_run), out=run, **options))
    found = predict(config(Path(run), TEST, tmp_path, views=10, features=str(features), top=10))
    model, card = ImageClassifier.open(run)
    network = Views(model, 10, sigmoid=card["sigmoid"], scale=card["scale"])
    dataset = open_dataset(TEST)
    scores, *_ = score_images(network, dataset, network.preprocessing, config(Path(run), TEST, tmp_path))
    np.testing.assert_allclose(found.probabilities, -np.sort(-scores, axis=1), atol=1e-6)
    mirrored = predict(config(Path(run), TEST, tmp_path, views=2, features=str(features), overwrite=True, top=10))
    assert np.abs(mirrored.probabilities - found.probabilities).max() > 1e-3
    with np.load(features) as kept:
        np.testing.assert_allclose(kept["feature"], features_of(TEST, Path(run))[0], rtol=1e-4, atol=1e-5)


def test_a_folder_an_image_and_a_list(trained, photos, tmp_path):
    run = trained("softmax")
    whole = {row["image"]: row for row in rows_of(predict(config(run, photos, tmp_path)).out)}
    assert list(whole) == ["a.png", "b/0.png", "b/1.png", "b/c/2.png", "y.png", "z.png"]
    assert "label" not in whole["a.png"]
    again = config(run, photos / "b" / "1.png", tmp_path, overwrite=True)
    (one,) = rows_of(predict(again).out)
    assert one["image"] == "1.png" and one["class"] == whole["b/1.png"]["class"]
    (tmp_path / "some.txt").write_text("z.png\n\nb/c/2.png\na.png\n")
    listed = config(run, f"images:{tmp_path / 'some.txt'}?root={photos}", tmp_path, overwrite=True)
    rows = rows_of(predict(listed).out)
    assert [row["image"] for row in rows] == ["z.png", "b/c/2.png", "a.png"]
    assert [row["class"] for row in rows] == [whole[row["image"]]["class"] for row in rows]


def test_unreadable_images_are_rows_with_the_reason(trained, photos, tmp_path, monkeypatch):
    run = trained("softmax")
    (photos / "b" / "0.png").write_bytes(b"no picture")
    (photos / "y.png").unlink()
    (photos / "y.png").symlink_to("no\nwhere")
    monkeypatch.setattr(chunked, "_CHUNK", 2)
    given = config(run, photos, tmp_path, max_unreadable=0.4, features=str(tmp_path / "found.npz"), batch_size=2)
    found = predict(given)
    rows = rows_of(found.out)
    assert [row["image"] for row in rows] == ["a.png", "b/0.png", "b/1.png", "b/c/2.png", "y.png", "z.png"]
    for i, reason in ((1, "not an image, or of an unknown format such as HEIC"), (4, "there is no file ")):
        assert rows[i].pop("error").startswith(reason)
        assert set(rows[i].values()) == {"", rows[i]["image"]}
    assert all(rows[i]["class"] and not rows[i]["error"] for i in (0, 2, 3, 5))
    with np.load(tmp_path / "found.npz") as kept:
        assert kept["id"].tolist() == ["a.png", "b/1.png", "b/c/2.png", "z.png"] and len(kept["feature"]) == 4
    said = found.to_json()
    assert (said["images"], said["unreadable"]) == (6, 2)
    assert sum(row["images"] for row in said["classes"]) == 4


def test_too_many_unreadable_images_leave_nothing(trained, photos, tmp_path):
    run = trained("softmax")
    (photos / "b" / "0.png").write_bytes(b"no picture")
    given = {"features": str(tmp_path / "found.npz")}
    with pytest.raises(InputError, match=r"at least 1 of 6 images cannot be read, more than `max_unreadable` 0\.05"):
        predict(config(run, photos, tmp_path, **given))
    with pytest.raises(InputError, match=r"cannot read b/0\.png \(not an image"):
        predict(config(run, photos, tmp_path, max_unreadable=1, on_error="fail", **given))
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="no image can be read"):
        predict(config(run, photos, tmp_path, max_unreadable=1, **given))
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_parquet_holds_what_csv_holds(trained, photos, tmp_path):
    run = trained("softmax")
    (photos / "b" / "0.png").write_bytes(b"no picture")
    given = {"max_unreadable": 1, "top": 2}
    rows = rows_of(predict(config(run, photos, tmp_path, **given)).out)
    predict(config(run, photos, tmp_path, out=str(tmp_path / "found.parquet"), **given))
    table = parquet.read_table(tmp_path / "found.parquet")
    assert table.column_names == list(rows[0])
    assert {str(kind) for kind in table.schema.types} == {"string", "float"}

    def text(value: object) -> str:
        return "" if value is None else str(np.float32(value)) if isinstance(value, float) else str(value)

    assert [{name: text(value) for name, value in row.items()} for row in table.to_pylist()] == rows
    provenance = json.loads(table.schema.metadata[b"transfer.predictions"])
    assert provenance["run"] == str(run) and provenance["dataset"] == f"images:{photos}"


def test_parquet_without_its_package_is_one_line(trained, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'pyarrow; run pip install "transfer-toolkit\[parquet\]", or name'):
        predict(config(trained("softmax"), photos, tmp_path, out=str(tmp_path / "found.parquet")))


def test_a_model_of_fewer_classes(write_folder, source_run, tmp_path, capsys):
    folder = write_folder(tmp_path / "data", {"one": 0, "other": 2}, per_class=4, size=32)
    run, out = str(tmp_path / "run"), tmp_path / "found.csv"
    options = {"init": str(source_run), "method": "linear", **CPU}
    fit_classifier(FitClassifierConfig(dataset=f"folder:{folder}", out=run, **options))
    predict(config(Path(run), folder, tmp_path))
    assert f"{run}: has 2 classes; a row lists all of them" in capsys.readouterr().err
    columns = ["image", "class", "probability", "margin", "class_2", "probability_2", "error"]
    assert out.read_text().splitlines()[0] == ",".join(columns)
    predict(config(Path(run), folder, tmp_path, top=1, overwrite=True))
    assert "a row lists all of them" not in capsys.readouterr().err
    row = rows_of(out)[0]
    assert list(row) == ["image", "class", "probability", "margin", "error"]
    assert float(row["margin"]) == pytest.approx(2 * float(row["probability"]) - 1, abs=1e-6)


def test_labels_are_called_as_the_model_calls_them(write_folder, source_run, tmp_path):
    """The classes of a list without names are matched by their numbers; a class that the model lacks keeps its name."""
    folder = write_folder(tmp_path / "data", {"blue": 2, "red": 0}, per_class=3, size=32)
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        shutil.copy(path, flat / f"{i}.png")
    (tmp_path / "train.txt").write_text(
        "".join(f"data/{n}/{i}.png {k}\n" for k, n in enumerate(("blue", "red")) for i in range(3))
    )
    (tmp_path / "test.txt").write_text("".join(f"flat/{i}.png {i // 3}\n" for i in range(6)))
    run, test = str(tmp_path / "run"), f"list:{tmp_path / 'test.txt'}"
    options = {"init": str(source_run), "method": "linear", **CPU}
    fit_classifier(FitClassifierConfig(dataset=f"list:{tmp_path / 'train.txt'}", out=run, **options))
    rows = rows_of(predict(config(Path(run), test, tmp_path)).out)
    assert [row["label"] for row in rows] == ["blue"] * 3 + ["red"] * 3
    top1 = evaluate(EvaluateConfig(run=run, dataset=test, **CPU)).metrics.top1
    assert np.mean([row["class"] == row["label"] for row in rows]) == top1
    (folder / "red").rename(folder / "green")
    rows = rows_of(predict(config(Path(run), f"folder:{folder}", tmp_path, overwrite=True)).out)
    assert [row["label"] for row in rows] == ["blue"] * 3 + ["green"] * 3


def test_deep_images_are_told(trained, tmp_path, capsys):
    values = np.random.default_rng(0).integers(0, 1 << 12, (32, 32), dtype=np.uint16)
    (tmp_path / "deep").mkdir()
    Image.fromarray(values).save(tmp_path / "deep" / "a.png")
    run, said = trained("softmax"), f":{tmp_path / 'deep'}: 1 images were scaled as 12 bits"
    predict(config(run, tmp_path / "deep", tmp_path))
    assert f"images{said}" in capsys.readouterr().err
    (tmp_path / "deep" / "digit 1").mkdir()
    (tmp_path / "deep" / "a.png").rename(tmp_path / "deep" / "digit 1" / "a.png")
    evaluate(EvaluateConfig(run=str(run), dataset=f"folder:{tmp_path / 'deep'}", **CPU))
    assert f"folder{said}" in capsys.readouterr().err


def test_a_model_that_gives_no_numbers_is_refused(trained, photos, tmp_path):
    model, card = ImageClassifier.open(trained("softmax"))
    with torch.no_grad():
        model.head.weight[3] = torch.finfo(torch.float32).max  # a number, as no file is read without
    model.save(tmp_path / "spoilt.safetensors", card)
    with pytest.raises(InputError, match=r"spoilt\.safetensors: gives the image a\.png a NaN or infinite value"):
        predict(config(tmp_path / "spoilt.safetensors", photos, tmp_path))
    assert not (tmp_path / "found.csv").exists()


def test_files_are_not_replaced_unasked(trained, photos, tmp_path):
    run, out = trained("softmax"), tmp_path / "found.csv"
    out.write_text("mine")
    with pytest.raises(
        InputError, match=r"`out` .*found\.csv: is there already; name another file or give `overwrite`"
    ):
        predict(config(run, photos, tmp_path))
    (tmp_path / "found.npz").write_text("mine")
    with pytest.raises(InputError, match=r"`features` .*: is there already"):
        predict(config(run, photos, tmp_path, out=str(tmp_path / "new.csv"), features=str(tmp_path / "found.npz")))
    assert out.read_text() == (tmp_path / "found.npz").read_text() == "mine"
    (tmp_path / "list.csv").write_text("photos/a.png\n")
    for name in (tmp_path / "list.csv", run / "history.csv"):
        before = name.read_bytes()
        with pytest.raises(InputError, match="would replace what is read"):
            predict(config(run, tmp_path / "list.csv", tmp_path, out=str(name), overwrite=True))
        assert name.read_bytes() == before
    predict(config(run, photos, tmp_path, overwrite=True))
    assert len(rows_of(out)) == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top": 0}, "`top` 0: expected at least 1"),
        ({"views": 3}, "`views` 3: expected one of 1, 2, 5, 10"),
        ({"out": "a.txt"}, r"`out` a\.txt: expected a file name that ends in \.csv or \.parquet"),
        ({"features": "a.npy"}, r"`features` a\.npy: expected a file name that ends in \.npz"),
        ({"on_error": "replace"}, "`on_error` replace: expected one of skip, fail"),
        ({"max_unreadable": 2}, "`max_unreadable` 2: expected at least 0 and at most 1"),
    ],
)
def test_bad_options(given, said):
    with pytest.raises(InputError, match=f"^{said}$"):
        PredictConfig(**{"run": "-", "images": "-", "out": "a.csv"} | given)
