"""Files of features that were written from a bank: damage is noticed, and a column that is added is none."""

from __future__ import annotations

import numpy as np
import pytest
from disturbing.mutations import mutations

from features import ExtractConfig, FeatureBank, InputError, extract
from features.precomputed.writing import write_features

CLASSES = ("auk", "bee", "überfliegender Kolkrabe")
ATTRS = {"dataset": "x:y", "backbone": "b", "weights_sha256": "ab", "transform": "t", "pooling": "avg"}


def bank(path, keep_images):
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    labels = np.arange(30) % 3
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    spread = np.stack([features[labels == label].var(axis=0) for label in range(3)])
    whole = FeatureBank(CLASSES, np.full(3, 10), means, spread, np.eye(4, dtype=np.float32), ATTRS)
    return whole.write(path, (features, labels, [f"{i}.jpg" for i in range(30)]) if keep_images else None)


def read(path, out, keep_images):
    found = extract(ExtractConfig(f"features:{path}", str(out), keep_images=keep_images)).bank
    arrays = [found.counts, found.means, found.variances, found.within_covariance]
    texts = [found.classes, {name: found.attrs[name] for name in ATTRS if name != "dataset"}, found.attrs["origin"]]
    if keep_images:
        features, labels, ids = found.images()
        arrays, texts = [*arrays, features, labels], [*texts, ids]
    out.unlink()
    return [array.tobytes() for array in arrays], texts


@pytest.mark.parametrize("keep_images", [True, False])
@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_damage_is_an_error_or_makes_no_difference(tmp_path, suffix, keep_images):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    whole = write_features(bank(tmp_path / "bank.h5", keep_images), tmp_path / f"whole.{suffix}").path
    expected = read(whole, tmp_path / "out.h5", keep_images)
    for number, (name, damaged) in enumerate(mutations(whole.read_bytes(), 3, 6)):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(damaged)
        try:
            found = read(path, tmp_path / "out.h5", keep_images)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert found == expected, name
    assert number > 80 and not (tmp_path / "out.h5").exists()


def test_a_column_may_be_added_by_a_program_that_keeps_the_metadata(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = write_features(bank(tmp_path / "bank.h5", True), tmp_path / "whole.parquet").path
    table = parquet.read_table(path)
    parquet.write_table(table.append_column("note", arrow.array(["x" * 50] * 30)), tmp_path / "more.parquet")
    assert read(tmp_path / "more.parquet", tmp_path / "out.h5", True) == read(path, tmp_path / "out.h5", True)
    assert b"transfer.crc32" in (tmp_path / "more.parquet").read_bytes()


def test_a_file_that_has_lost_its_seal_is_damaged(tmp_path):
    pytest.importorskip("pyarrow")
    path = write_features(bank(tmp_path / "bank.h5", False), tmp_path / "whole.parquet").path
    path.write_bytes(path.read_bytes().replace(b"transfer.crc32\x18", b"transfer.crc23\x18"))
    with pytest.raises(InputError, match="damaged, or edited since it was written from a bank"):
        read(path, tmp_path / "out.h5", False)
