"""The bank without copies is the one that an extraction of the dataset without them writes."""

import re

import numpy as np
import pytest
from kept_banks import SOURCE, write_kept

from features import FeatureBank, InputError, open_dataset
from similarity import DuplicatesConfig, find_duplicates


def test_a_bank_without_the_copies_as_extracted_anew(planted, tmp_path):
    source, target, copies = planted
    clean = tmp_path / "clean.h5"
    found = find_duplicates(DuplicatesConfig(source, str(tmp_path / "d.csv"), [target], clean_bank=str(clean)))
    assert found.source == f"{SOURCE}&exclude={tmp_path / 'd.csv'}"
    dataset, bank = open_dataset(found.source), FeatureBank.open(clean)
    whole = open_dataset(SOURCE)
    assert list(dataset.ids) == [id_ for i, id_ in enumerate(whole.ids) if i not in copies]
    assert bank.name == found.source and bank.attrs["manifest_sha256"] == dataset.manifest_sha256
    values, labels, ids = bank.images()
    assert ids == list(dataset.ids) and labels.tolist() == dataset.labels.tolist()
    kept = FeatureBank.open(source).images()[0][[i for i in range(600) if i not in copies]]
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_allclose(bank.means, [kept[labels == c].mean(axis=0) for c in range(10)], rtol=1e-5)
    nothing = find_duplicates(DuplicatesConfig(str(clean), str(tmp_path / "none.csv"), [target]))
    assert nothing.rows == () and nothing.source == f"{SOURCE}&exclude={tmp_path / 'd.csv'},{tmp_path / 'none.csv'}"
    assert len(open_dataset(nothing.source)) == 594
    both = find_duplicates(
        DuplicatesConfig(
            str(clean), str(tmp_path / "all.csv"), [target], nothing.next_cosine - 1e-6, str(tmp_path / "less.h5")
        )
    )
    assert len(both.rows) == 1  # with a threshold just below the next
    assert FeatureBank.open(tmp_path / "less.h5").counts.sum() == 594 - len(both.rows) == len(open_dataset(both.source))


def test_a_class_of_copies_alone_is_gone_from_the_clean_bank(planted, tmp_path):
    source, target, _ = planted
    bank = FeatureBank.open(source)
    values, labels, _ = bank.images()
    originals = FeatureBank.open(target).images()[0]
    values[labels == 4] = np.resize(originals, (60, 256))
    write_kept(tmp_path / "more.h5", values, SOURCE)
    clean = tmp_path / "clean.h5"
    config = DuplicatesConfig(str(tmp_path / "more.h5"), str(tmp_path / "d.csv"), [target], clean_bank=str(clean))
    found = find_duplicates(config)
    assert "digit 4" not in FeatureBank.open(clean).classes
    assert FeatureBank.open(clean).classes == open_dataset(found.source).classes


def test_unreadable_images_stay_what_they_are(planted, tmp_path):
    source, target, copies = planted
    write_kept(tmp_path / "some.h5", FeatureBank.open(source).images()[0], SOURCE, skip=[0, 10])
    clean = tmp_path / "clean.h5"
    config = DuplicatesConfig(str(tmp_path / "some.h5"), str(tmp_path / "d.csv"), [target], clean_bank=str(clean))
    found, bank = find_duplicates(config), FeatureBank.open(clean)
    assert len(found.rows) == len(copies) - 1 and bank.counts.sum() == 600 - 2 - len(found.rows)
    assert [id_ for id_, _ in bank.skipped] == [open_dataset(SOURCE).ids[i] for i in (0, 10)]
    assert len(open_dataset(found.source)) == 600 - len(found.rows)


def test_a_refused_or_failed_bank_leaves_no_list(planted, tmp_path, monkeypatch):
    """Refused: a class of copies and an unreadable image, and images that are all copies. Failed: a full disk."""
    source, target, _ = planted
    values, labels, _ = FeatureBank.open(source).images()
    originals = FeatureBank.open(target).images()[0]
    members = np.flatnonzero(labels == 4)
    values[members] = np.resize(originals, (60, 256))
    write_kept(tmp_path / "refused.h5", values, SOURCE, skip=[members[-1]])
    write_kept(tmp_path / "all.h5", np.resize(originals, (600, 256)), SOURCE)
    options = {"out": str(tmp_path / "d.csv"), "clean_bank": str(tmp_path / "clean.h5")}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="class 'digit 4' has unreadable images only"):
        find_duplicates(DuplicatesConfig(str(tmp_path / "refused.h5"), against=[target], **options))
    with pytest.raises(InputError, match=f"clean.h5: all images of {re.escape(SOURCE)} are copies"):
        find_duplicates(DuplicatesConfig(str(tmp_path / "all.h5"), against=[target], **options))
    assert sorted(tmp_path.iterdir()) == before

    def full(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr("similarity.copies.clean_bank.regroup", full)
    with pytest.raises(OSError, match="No space left"):
        find_duplicates(DuplicatesConfig(source, against=[target], **options))
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "d.csv").write_text("old")
    with pytest.raises(OSError, match="No space left"):
        find_duplicates(DuplicatesConfig(source, against=[target], **options, overwrite=True))
    assert (tmp_path / "d.csv").read_text() == "old"
