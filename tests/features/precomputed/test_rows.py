"""Files of one row an image become the bank that plain NumPy computes from their rows, whatever their format is."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from features import open_dataset
from features.infrastructure.formats.tables import write_table
from features.precomputed.feature_file import BLOCK
from features.readers.subsampling import long_tail_counts

#: Number of each name in the order of the names.
SORTED = np.array([2, 0, 1])


def check(bank, figures):
    counts, means, variances, covariance = figures
    np.testing.assert_array_equal(bank.counts, counts)
    np.testing.assert_allclose(bank.means, means, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(bank.variances, variances, rtol=1e-5)
    np.testing.assert_allclose(bank.within_covariance, covariance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["npz", "compressed.npz", "parquet", "lists.parquet", "h5"])
def test_the_bank_of_named_columns(kind, rows, save, bank_of, expected):
    assert len(rows["feature"]) > 2 * BLOCK  # several blocks
    spec = save(kind, rows) + "?label=label&id=id&model=clip"
    bank = bank_of(spec, keep_images=True)
    assert bank.classes == ("auk", "kea", "owl") and bank.name == spec
    labels = SORTED[rows["number"]]
    check(bank, expected(rows["feature"], labels))
    features, kept, ids = bank.images()
    np.testing.assert_array_equal(features, rows["feature"])
    np.testing.assert_array_equal(kept, labels)
    assert ids == rows["id"].tolist()
    assert bank.attrs["backbone"] == "clip" and bank.attrs["weights_sha256"] == "" == bank.attrs["transform"]


@pytest.mark.parametrize("kind", ["npy", "safetensors", "npz"])
@pytest.mark.parametrize("second", ["labels.npy", "labels.txt"])
def test_labels_in_a_second_file(kind, second, rows, save, bank_of, expected, tmp_path):
    path = tmp_path / second
    np.save(path, rows["label"]) if second.endswith(".npy") else path.write_text("\n".join(rows["label"]) + "\n")
    bank = bank_of(save(kind, {"feature": rows["feature"]}) + f"?label={path}")
    assert bank.classes == ("auk", "kea", "owl")
    check(bank, expected(rows["feature"], SORTED[rows["number"]]))


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5", "safetensors"])
def test_labels_that_are_numbers_get_their_names_from_a_file(kind, rows, save, bank_of, expected, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES_BY_NUMBER) + "\n")
    spec = save(kind, {"feature": rows["feature"], "number": 3 * rows["number"]})
    bank = bank_of(f"{spec}?label=number&names={tmp_path / 'names.txt'}")
    assert bank.classes == ("zero", "three", "six")
    check(bank, expected(rows["feature"], rows["number"]))
    assert open_dataset(f"{spec}?label=number", images=False).classes == ("class_0", "class_3", "class_6")


NAMES_BY_NUMBER = ("zero", "one", "two", "three", "four", "five", "six")


def test_names_of_numbers_in_an_array_of_the_file(rows, save, tmp_path):
    spec = save("npz", {"feature": rows["feature"], "label": rows["number"], "words": np.array(["a", "b", "b"])})
    assert open_dataset(f"{spec}?label=label&names=words", images=False).classes == ("a", "b (1)", "b (2)")


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5", "npy", "safetensors"])
def test_half_precision_and_double_precision(kind, rows, save, bank_of, expected, tmp_path):
    np.save(tmp_path / "labels.npy", rows["number"])
    for dtype in (np.float16, np.float64):
        features = rows["feature"].astype(dtype)
        bank = bank_of(save(kind, {"feature": features}) + f"?label={tmp_path / 'labels.npy'}", str(dtype.__name__))
        check(bank, expected(features.astype(np.float32), rows["number"]))


def test_bfloat16_of_safetensors(rows, bank_of, expected, tmp_path):
    features = torch.from_numpy(rows["feature"]).bfloat16()
    save_file({"feature": features, "label": torch.from_numpy(rows["number"])}, tmp_path / "b.safetensors")
    check(bank_of(f"features:{tmp_path / 'b.safetensors'}"), expected(features.float().numpy(), rows["number"]))


def test_arrays_in_other_orders_of_memory(rows, save, bank_of, expected):
    features = np.asfortranarray(rows["feature"]).astype(">f4")
    for kind in ("npz", "npy"):
        spec = save(kind, {"feature": features, "label": rows["number"]})
        if kind == "npy":
            spec += "?label=none"
            labels = np.zeros_like(rows["number"])
        else:
            labels = rows["number"]
        check(bank_of(spec, kind), expected(rows["feature"], labels))


@pytest.mark.parametrize("kind", ["npz", "parquet", "lists.parquet", "h5"])
def test_the_options_of_every_scheme_draw_from_the_rows(kind, rows, save, bank_of, expected, tmp_path):
    spec = save(kind, rows)
    write_table(tmp_path / "out.csv", {}, ("id",), [(id_,) for id_ in rows["id"][:700].tolist()])
    options = f"?label=label&id=id&exclude={tmp_path / 'out.csv'}&per_class=40&seed=3&imbalance=4"
    dataset = open_dataset(spec + options, images=False)
    place = {id_: i for i, id_ in enumerate(rows["id"].tolist())}
    kept = np.array([place[id_] for id_ in dataset.ids])
    assert kept.min() >= 700
    left = np.bincount(SORTED[rows["number"][700:]])
    np.testing.assert_array_equal(dataset.counts, np.minimum(long_tail_counts(left.max(), 3, 4), 40))
    bank = bank_of(spec + options, keep_images=True)
    check(bank, expected(rows["feature"][kept], dataset.labels))
    np.testing.assert_array_equal(bank.images()[0], rows["feature"][kept])


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5"])
def test_a_split_is_the_rows_that_have_its_name(kind, rows, save, bank_of, expected):
    split = np.where(np.arange(len(rows["id"])) % 3 == 1, "train", "test")
    spec = save(kind, rows | {"split": split})
    kept = np.flatnonzero(split == "train")
    bank = bank_of(f"{spec}@train?label=label&id=id", keep_images=True)
    check(bank, expected(rows["feature"][kept], SORTED[rows["number"][kept]]))
    assert bank.attrs["split"] == "train" and bank.images()[2] == rows["id"][kept].tolist()


def test_what_can_only_be_meant_needs_no_option(rows, save):
    for arrays in (
        {"clip": rows["feature"], "species": rows["label"], "words": rows["label"][:3]},
        {"feature": rows["feature"], "dino": rows["feature"], "label": rows["label"], "id": rows["id"]},
    ):
        dataset = open_dataset(save("npz", arrays), images=False)
        assert dataset.classes == ("auk", "kea", "owl") and list(dataset.ids[:2]) == ["0", "1"]


def test_rows_without_labels_are_one_class(rows, save, bank_of):
    bank = bank_of(save("npz", {"feature": rows["feature"]}) + "?label=none")
    assert bank.classes == ("unlabelled",) and bank.counts.tolist() == [len(rows["feature"])]


def test_rows_in_another_order_are_refused(rows, save):
    dataset = open_dataset(save("npz", rows) + "?label=label", images=False).take([5, 3])
    with pytest.raises(ValueError, match="in the order of the file"):
        next(dataset.source.blocks(range(2)))
