"""Features computed elsewhere: which banks of them can be compared, and what a changed file does."""

import os

import numpy as np
import pytest

from features import ExtractConfig, FeatureBank, InputError, extract, merge
from features.bank import UNKNOWN_MODEL
from features.class_statistics import ClassStatistics
from features.extraction.merging import MergeConfig
from features.precomputed.writing import write_features

GENERATOR = np.random.default_rng(0)
ONE, OTHER = ({"clip": GENERATOR.normal(size=(60, 4)).astype("f4"), "label": np.arange(60) % 3} for _ in range(2))


def why_not(one, other):
    with pytest.raises(InputError) as caught:
        one.require_comparable(other)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_files_of_unknown_models_are_compared_once_the_model_is_named(save, bank_of):
    specs = [save("npz", arrays, name) for arrays, name in ((ONE, "one"), (OTHER, "other"))]
    unknown = [bank_of(spec, f"unknown{i}") for i, spec in enumerate(specs)]
    assert all(bank.attrs["backbone"].startswith(UNKNOWN_MODEL) for bank in unknown)
    line = why_not(*unknown)
    assert "cannot be compared: backbone is 'unknown model " in line
    assert line.endswith("if one model made both, name it in both dataset specs: features:FILE?model=NAME")
    named = [bank_of(f"{spec}?model=clip-b32", f"named{i}") for i, spec in enumerate(specs)]
    named[0].require_comparable(named[1])
    assert "features:FILE?model=NAME" in why_not(named[0], unknown[1])
    assert "backbone is 'clip-b32' in one and 'clip-l14'" in why_not(
        named[0], bank_of(f"{specs[1]}?model=clip-l14", "l14")
    )


def test_parts_of_one_column_are_comparable_and_two_columns_are_not(save, bank_of):
    spec = save("npz", ONE | {"dino": OTHER["clip"]})
    part, other = (bank_of(f"{spec}?feature=clip&per_class={n}", f"part{n}") for n in (3, 5))
    part.require_comparable(other)
    why_not(part, bank_of(f"{spec}?feature=dino", "dino"))


def test_a_name_is_not_enough_beside_features_that_were_extracted_here(save, bank_of, tmp_path):
    options = {"weights": "none", "device": "cpu", "precision": "fp32", "workers": 0}
    here = extract(ExtractConfig("digits:@train?per_class=2", str(tmp_path / "d.h5"), "resnet8", **options)).bank
    line = why_not(here, bank_of(save("npz", ONE) + "?model=resnet8"))
    assert "weights_sha256 is " in line and "computed elsewhere, and its weights are not known; extract both" in line


def test_a_changed_file_is_never_served_from_an_old_bank(save, bank_of, tmp_path):
    spec = save("npy", {"feature": ONE["clip"]}) + "?label=none&model=clip"
    first = extract(ExtractConfig(spec, str(tmp_path / "bank.h5")))
    assert extract(ExtractConfig(spec, str(tmp_path / "bank.h5"))).reused
    path = tmp_path / "emb.npy"
    status = path.stat()
    save("npy", {"feature": OTHER["clip"]})  # of the same size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # and of the same date
    with pytest.raises(InputError, match=r"holds another bank \(manifest_sha256 is "):
        extract(ExtractConfig(spec, str(tmp_path / "bank.h5")))
    again = extract(ExtractConfig(spec, str(tmp_path / "bank.h5"), overwrite=True)).bank
    np.testing.assert_allclose(again.means, OTHER["clip"].mean(axis=0, keepdims=True), rtol=1e-5)
    assert first.path == again.path


def test_a_file_that_changes_while_it_is_read_makes_no_bank(save, tmp_path, monkeypatch):
    spec = save("npz", ONE)
    original = ClassStatistics.add

    def add(statistics, features, labels):
        save("npz", OTHER)
        original(statistics, features, labels)

    monkeypatch.setattr(ClassStatistics, "add", add)
    with pytest.raises(InputError, match="was changed while it was read; give the command again"):
        extract(ExtractConfig(spec, str(tmp_path / "bank.h5")))
    assert not (tmp_path / "bank.h5").exists()


@pytest.mark.parametrize("change", ["label", "model", "feature"])
def test_other_labels_another_model_or_another_column_is_another_bank(save, tmp_path, change):
    spec = save("npz", ONE | {"dino": ONE["clip"], "genus": np.arange(60) % 2})
    options = {"feature": "clip", "label": "label", "model": "a"}
    query = "&".join(f"{name}={value}" for name, value in options.items())
    extract(ExtractConfig(f"{spec}?{query}", str(tmp_path / "bank.h5")))
    options |= {change: {"label": "genus", "model": "b", "feature": "dino"}[change]}
    query = "&".join(f"{name}={value}" for name, value in options.items())
    with pytest.raises(InputError, match="holds another bank"):
        extract(ExtractConfig(f"{spec}?{query}", str(tmp_path / "bank.h5")))


def test_features_are_added_to_a_bank_only_when_asked_to_replace_it(save, tmp_path):
    spec, out = save("npz", ONE), str(tmp_path / "bank.h5")
    extract(ExtractConfig(spec, out))
    with pytest.raises(InputError, match="holds this bank without image features; give `overwrite` to add them"):
        extract(ExtractConfig(spec, out, keep_images=True))
    assert extract(ExtractConfig(spec, out, keep_images=True, overwrite=True)).bank.keeps_images


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5"])
def test_shards_add_up_to_the_bank(kind, save, bank_of, tmp_path):
    arrays = {"clip": np.tile(ONE["clip"], (40, 1)), "label": np.tile(ONE["label"], 40)}
    spec = save(kind, arrays)
    whole = bank_of(spec, keep_images=True)
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2, 3)]
    for i, shard in enumerate(shards, start=1):
        extract(ExtractConfig(spec, shard, shard=f"{i}/3", keep_images=True))
    bank = merge(MergeConfig(shards, str(tmp_path / "merged.h5"))).bank
    np.testing.assert_array_equal(bank.counts, whole.counts)
    np.testing.assert_allclose(bank.means, whole.means, rtol=1e-6)
    np.testing.assert_allclose(bank.within_covariance, whole.within_covariance, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(bank.images()[0], whole.images()[0])


def test_a_killed_extraction_goes_on_where_it_was(save, tmp_path, monkeypatch):
    arrays = {"clip": np.tile(ONE["clip"], (40, 1)), "label": np.tile(ONE["label"], 40)}
    spec = save("parquet", arrays)
    whole = extract(ExtractConfig(spec, str(tmp_path / "whole.h5"), keep_images=True)).bank
    config = ExtractConfig(spec, str(tmp_path / "bank.h5"), keep_images=True, checkpoint_seconds=0)
    added, original = [], ClassStatistics.add

    def add(statistics, features, labels):
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(len(features))
        original(statistics, features, labels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClassStatistics, "add", add)
        extract(config)
    found = extract(config)
    assert found.read == 2400 - sum(added) < 2400
    np.testing.assert_allclose(found.bank.means, whole.means, rtol=1e-6)
    np.testing.assert_array_equal(found.bank.images()[0], whole.images()[0])
    assert not list(tmp_path.glob("*.resume*"))


def test_a_file_written_from_a_bank_keeps_what_made_it(save, bank_of, tmp_path):
    bank = bank_of(save("npz", ONE) + "?model=clip", keep_images=True)
    write_features(bank, tmp_path / "out.npz")
    back = bank_of(f"features:{tmp_path / 'out.npz'}", "back")
    back.require_comparable(bank)
    with pytest.raises(InputError, match="was written from a bank of the model clip; leave model out"):
        bank_of(f"features:{tmp_path / 'out.npz'}?model=dino", "wrong")
    # Another column of the file was not written from the bank.
    with np.load(tmp_path / "out.npz") as arrays:
        np.savez(tmp_path / "more.npz", **arrays, dino=OTHER["clip"])
    dino = bank_of(f"features:{tmp_path / 'more.npz'}?feature=dino", "dino")
    assert dino.attrs["backbone"].startswith(UNKNOWN_MODEL)
    with np.load(tmp_path / "out.npz") as arrays:
        np.savez(tmp_path / "less.npz", **(dict(arrays) | {"feature": arrays["feature"][:, :2]}))
    with pytest.raises(InputError, match="of width 4, and now has 2; save the changed features as a new column"):
        bank_of(f"features:{tmp_path / 'less.npz'}", "less")
    assert isinstance(back, FeatureBank)
