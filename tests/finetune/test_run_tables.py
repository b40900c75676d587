"""The tables of a run: read as they were written, and refused in one line if they hold something else."""

from __future__ import annotations

import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from finetune.run_tables import read_classes, read_predictions

CLASSES, PREDICTIONS = ("class", "train_images", "images", "accuracy"), ("image", "class", "probability", "label")


def test_a_run_without_tables_has_none(tmp_path):
    assert read_classes(tmp_path) == []
    assert read_predictions(tmp_path / "predictions.csv") == {name: [] for name in PREDICTIONS}


def test_the_classes_read_back(tmp_path):
    rows = [("a, b", 3, 2, 0.5), ("c", 0, 0, 0.0), ("d", 2**63 - 1, 1, 1.0)]
    write_table(tmp_path / "per_class.csv", {"evaluated_on": "x"}, CLASSES, rows)
    assert read_classes(tmp_path) == [dict(zip(CLASSES, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", 3, 2, 0.5), ("a", 3, 2, 0.5)], "expected each class once"),
        ([("a", 3, 2, 1.01)], "with an accuracy from 0 to 1"),
        ([("a", 3, 2, "nan")], "with an accuracy from 0 to 1"),
        ([("a", 3, 2, "high")], "holds a value that is not a number (could not convert string to float: 'high')"),
        ([("a", 3.5, 2, 0.5)], "holds a value that is not a number"),
        ([("a", -1, 2, 0.5)], "expected numbers of images of at least 0"),
        ([("a", 3, 2**63, 0.5)], "expected numbers of images of at least 0"),
    ],
)
def test_an_impossible_table_of_classes_is_refused(tmp_path, rows, said):
    write_table(tmp_path / "per_class.csv", {}, CLASSES, rows)
    with pytest.raises(InputError) as error:
        read_classes(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/per_class.csv: ") and said in str(error.value)


def test_a_table_of_classes_that_lacks_a_column_says_how_to_make_it(tmp_path):
    write_table(tmp_path / "per_class.csv", {}, CLASSES[:3], [("a", 3, 2)])
    with pytest.raises(InputError, match="column 'accuracy' must stand in the header once"):
        read_classes(tmp_path)


def test_predictions_are_read_by_columns_without_the_unreadable_images(tmp_path):
    rows = [("1.jpg", "a", 0.75, "b"), ("2.jpg", "", "", "b"), ("3.jpg", "b", 1 + 5e-6, "b")]
    write_table(tmp_path / "predictions.csv", {}, PREDICTIONS, rows)
    assert read_predictions(tmp_path / "predictions.csv") == {
        "image": ["1.jpg", "3.jpg"],
        "class": ["a", "b"],
        "probability": [0.75, 1 + 5e-6],  # float32 exceeds 1 by rounding
        "label": ["b", "b"],
    }


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        ("likely", "the probability is not a number (could not convert string to float: 'likely')"),
        ("1.1", "the probability must be from 0 to 1, got 1.1"),
        ("-0.1", "the probability must be from 0 to 1, got -0.1"),
        ("nan", "the probability must be from 0 to 1, got nan"),
    ],
)
def test_an_impossible_probability_is_refused_by_its_line(tmp_path, probability, said):
    path = tmp_path / "predictions.csv"
    write_table(path, {}, PREDICTIONS, [("1.jpg", "a", 0.75, "b"), ("2.jpg", "a", probability, "b")])
    with pytest.raises(InputError) as error:
        read_predictions(path)
    assert str(error.value) == f"{path} line 4: {said}"
