"""Banks that go out come back as they were."""

import json

import numpy as np
import pytest

from features import ExtractConfig, FeatureBank, InputError, extract
from features.bank import COMPARABLE
from features.precomputed.writing import Rows, blocks_of, write_features, write_rows

ATTRS = {
    "dataset": "folder:birds@train",
    "backbone": "resnet50",
    "weights": "default",
    "weights_sha256": "ab" * 32,
    "image_size": 224,
    "transform": "resize 256 crop 224",
    "pooling": "avg",
    "precision": "fp32",
}
SUFFIXES = ("parquet", "npz")


def equal(back, bank):
    assert back.classes == bank.classes and back.statistics == bank.statistics
    np.testing.assert_array_equal(back.counts, bank.counts)
    # Sums are added in other blocks, so that the last digit of float32 may differ.
    np.testing.assert_allclose(back.means, bank.means, rtol=1e-6, atol=1e-7)
    for name in ("variances", "within_covariance"):
        one, other = getattr(back, name), getattr(bank, name)
        if other is not None:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())
    for name in (*COMPARABLE, "weights", "image_size", "precision"):
        assert back.attrs[name] == bank.attrs[name], name
    assert back.attrs["origin"] == bank.attrs.get("origin", bank.name)
    back.require_comparable(bank)


def read_back(path, **options):
    return extract(ExtractConfig(f"features:{path}", f"{path}.h5", **options)).bank


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_birds_come_back(suffix, birds, lite0, tmp_path):
    spec = f"cub:{birds}@train?per_class=6"
    options = {"image_size": 64, "device": "cpu", "precision": "fp32", "workers": 0}
    bank = extract(ExtractConfig(spec, str(tmp_path / "b.h5"), lite0, keep_images=True, **options)).bank
    written = write_features(bank, tmp_path / f"b.{suffix}")
    assert written.of_images and written.rows == bank.images_in == 300
    back = read_back(written.path, keep_images=True)
    equal(back, bank)
    for one, other in zip(back.images(), bank.images(), strict=True):
        np.testing.assert_array_equal(one, other)
    # A second time through gives the same file again.
    again = write_features(back, tmp_path / f"again.{suffix}")
    equal(read_back(again.path, keep_images=True), bank)


def of_classes(tmp_path, n=9000, width=3, **changes):
    generator = np.random.default_rng(0)
    fields = {
        "classes": tuple(f"Käfer, no. {n - i}" for i in range(n)),  # not in the order of the names
        "counts": generator.integers(1, 99, n),
        "means": generator.normal(size=(n, width)).astype(np.float32),
        "variances": generator.random((n, width)).astype(np.float32),
        "within_covariance": np.eye(width, dtype=np.float32) + 0.25,
        "attrs": ATTRS,
        "skipped": (("a/bad.jpg", "the file is empty"),),
    }
    return FeatureBank(**(fields | changes)).write(tmp_path / "bank.h5")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"within_covariance": None},
        {"variances": None, "within_covariance": None},
        {"variances": None, "within_covariance": None, "counts_known": False, "counts": np.ones(9000, np.int64)},
    ],
)
def test_class_statistics_come_back_as_far_as_they_are_known(suffix, changes, tmp_path):
    bank = of_classes(tmp_path, **changes)
    written = write_features(bank, tmp_path / f"out.{suffix}")
    assert not written.of_images and written.rows == 9000
    back = read_back(written.path)
    equal(back, bank)
    np.testing.assert_array_equal(back.means, bank.means)


def with_images(tmp_path):
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(9000, 3)).astype(np.float16), np.arange(9000) % 3
    ids = [f"ü/{i}" * (i % 3 + 1) for i in range(9000)]
    means = np.stack([features[labels == c].astype("f4").mean(axis=0) for c in range(3)])
    variances = np.stack([features[labels == c].astype("f8").var(axis=0) for c in range(3)]).astype("f4")
    centred = features.astype("f8") - means[labels]
    classes = ("zebra", "ant", "Käfer")
    bank = FeatureBank(classes, np.bincount(labels), means, variances, (centred.T @ centred / 9000).astype("f4"), ATTRS)
    return bank.write(tmp_path / "bank.h5", (features, labels, ids))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_in_several_blocks_keep_ids_classes_and_their_order(suffix, tmp_path):
    bank = with_images(tmp_path)
    write_features(bank, tmp_path / f"out.{suffix}")
    back = read_back(tmp_path / f"out.{suffix}", keep_images=True)
    equal(back, bank)
    assert back.classes == ("zebra", "ant", "Käfer") and back.images()[2] == bank.images()[2]
    np.testing.assert_array_equal(back.images()[0], bank.images()[0].astype(np.float32))
    few = bank.at_least(3000)
    write_features(few, tmp_path / f"few.{suffix}")


def test_classes_that_were_dropped_leave_no_row(tmp_path):
    generator = np.random.default_rng(1)
    features, labels = generator.normal(size=(50, 2)).astype("f4"), np.array([0] * 40 + [1] * 10)
    means = np.stack([features[labels == c].mean(axis=0) for c in (0, 1)])
    still = np.ones((2, 2), np.float32)
    bank = FeatureBank(("a", "b"), np.array([40, 10]), means, still, np.eye(2, dtype="f4"), ATTRS)
    bank = bank.write(tmp_path / "bank.h5", (features, labels, [str(i) for i in range(50)])).at_least(20)
    assert write_features(bank, tmp_path / "out.npz").rows == 40
    back = read_back(tmp_path / "out.npz", keep_images=True)
    assert back.classes == ("a",) and back.images()[2] == [str(i) for i in range(40)]


def test_other_programs_read_the_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    bank = with_images(tmp_path)
    write_features(bank, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["id", "label", "feature"] and str(table.schema.field("feature").type).endswith("[3]")
    provenance = json.loads(table.schema.metadata[b"transfer.features"])
    assert provenance["dataset"] == "folder:birds@train" and provenance["attributes"]["weights_sha256"] == "ab" * 32
    np.testing.assert_array_equal(np.stack(table["feature"].to_numpy()[:5]), bank.images()[0][:5])
    write_features(of_classes(tmp_path / "x", 3), tmp_path / "classes.npz")
    with np.load(tmp_path / "classes.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"name", "count", "mean", "variance", "covariance", "transfer.features"}
        assert json.loads(str(arrays["transfer.features"]))["skipped"] == [["a/bad.jpg", "the file is empty"]]


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    bank = of_classes(tmp_path, 3)
    with pytest.raises(InputError, match=r"expected a file name that ends in \.parquet or \.npz"):
        write_features(bank, tmp_path / "out.csv")
    write_features(bank, tmp_path / "out.npz")
    with pytest.raises(InputError, match="is there already; name another file or give `overwrite`"):
        write_features(bank, tmp_path / "out.npz")
    write_features(bank, tmp_path / "out.npz", overwrite=True)
    monkeypatch.setattr("features.precomputed.writing._MOST_METADATA", 8)
    with pytest.raises(InputError, match=r"a covariance of 3 features is too large for Parquet; write \.npz"):
        write_features(bank, tmp_path / "out.parquet")
    assert not list(tmp_path.glob("*out.parquet*"))


@pytest.mark.parametrize("rows", [0, 1, (1 << 13) + 1])
def test_rows_of_any_number_are_a_file(tmp_path, rows):
    features = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    ids = [str(i) for i in range(rows)]
    write_rows(Rows(rows, 2, {"id": ids}, {"feature": lambda: blocks_of(features)}, {}), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as found:
        np.testing.assert_array_equal(found["feature"], features)
        assert found["id"].tolist() == ids
