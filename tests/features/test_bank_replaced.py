"""A bank whose file is replaced, removed or edited while it is in use."""

import gc
import os
import pickle

import h5py
import numpy as np
import pytest

from features.bank import FeatureBank
from features.infrastructure.disk import held_files
from features.infrastructure.errors import InputError

FEATURES = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
IDS = [f"im/{i}.jpg" for i in range(5)]


def written(path, features=FEATURES, ids=IDS):
    """A bank of an auk and four bees."""
    means = np.stack([features[0], features[1:].mean(axis=0)])
    bank = FeatureBank(("auk", "bee"), np.array([1, 4]), means, np.zeros((2, 4), "f4"), np.zeros((4, 4), "f4"), {})
    return bank.write(path, (features, np.array([0, 1, 1, 1, 1]), ids))


def refused(do, *arguments):
    with pytest.raises(InputError) as caught:
        do(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("is_held", [True, False])
def test_a_bank_goes_on_with_its_file_when_another_takes_its_place(tmp_path, monkeypatch, is_held):
    if not is_held:  # as where there are too many banks, or in another process
        monkeypatch.setattr(held_files, "_MOST", 0)
    bank = written(tmp_path / "bank.h5")
    written(tmp_path / "bank.h5", FEATURES + 1, IDS[::-1])
    if is_held:
        np.testing.assert_array_equal(bank.images()[0], FEATURES)
        np.testing.assert_array_equal(np.concatenate(list(bank.at_least(2).image_blocks())), FEATURES[1:])
        assert bank.image_labels()[1] == IDS
        bank.path.unlink()
        np.testing.assert_array_equal(bank.images()[0], FEATURES)
    else:
        message = f"{bank.path}: the feature bank was changed while it was in use; give the command again"
        for read in (bank.images, bank.image_labels, lambda: list(bank.image_blocks())):
            assert refused(read) == message
        bank.path.unlink()
        assert refused(bank.images).startswith(f"{bank.path}: the feature bank cannot be read (No such file or dir")


def test_a_bank_that_was_sent_to_another_process_reads_its_file_or_says_that_it_has_changed(tmp_path):
    bank = written(tmp_path / "bank.h5")
    sent = pickle.loads(pickle.dumps(bank))
    np.testing.assert_array_equal(sent.images()[0], FEATURES)
    written(tmp_path / "bank.h5")
    assert "was changed while it was in use" in refused(sent.images)


def test_a_bank_that_is_edited_in_place_is_not_mixed(tmp_path):
    bank = written(tmp_path / "bank.h5")
    with h5py.File(bank.path, "r+") as file:
        file["image/feature"][0, 0] = 7
    assert "was changed while it was in use" in refused(bank.images)


def test_files_that_are_held_are_let_go(tmp_path):
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    banks = [written(tmp_path / f"{i}.h5") for i in range(100)]
    assert before < len(os.listdir("/dev/fd")) <= before + held_files._MOST
    assert all(len(bank.images()[2]) == 5 for bank in banks)
    del banks
    gc.collect()
    assert len(os.listdir("/dev/fd")) == before
