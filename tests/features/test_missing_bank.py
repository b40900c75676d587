"""What stands in the place of a bank is answered with the command that makes one."""

import pytest

from features.bank import FeatureBank
from features.infrastructure.errors import InputError


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ("photos", "transfer extract folder:photos --out BANK.h5"),
        ("digits:@train", "transfer extract digits:@train --out BANK.h5"),
        ("none.h5", "transfer extract DATASET --out none.h5"),
        ("my birds", "transfer extract 'folder:my birds' --out BANK.h5"),
        ("my bank.h5", "transfer extract DATASET --out 'my bank.h5'"),
        ("none", "transfer extract DATASET --out BANK.h5"),
    ],
)
def test_what_is_no_bank_is_answered_with_the_command_that_makes_it(tmp_path, monkeypatch, given, command):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "my birds"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError) as error:
        FeatureBank.open(given)
    assert str(error.value) == f"{given}: no such feature bank; make one with: {command}"
