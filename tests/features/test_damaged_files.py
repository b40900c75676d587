"""Damage to any byte of a bank, a shard or a checkpoint is an error or makes no difference; it never hangs a reader.

Every batch of damaged files is read by one process, which ends if that takes too long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from disturbing.mutations import mutations
from stored_files import content, write

from features.infrastructure.errors import InputError

#: Seconds for a batch of files: many times what a batch takes.
LIMIT = 120


def read_damaged(folder: Path, kind: str, seed: int, times: int) -> None:
    """Read damaged files of a kind, and raise what is neither equal nor an `InputError` of one line."""
    data = (folder / "whole.h5").read_bytes()
    expected, errors = content(folder / "whole.h5", kind), 0
    for number, (name, damaged) in enumerate(mutations(data, seed, times)):
        path = folder / f"{number}.h5"
        path.write_bytes(damaged)
        try:
            found = content(path, kind)
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error), error
            errors += 1
        else:
            assert found == expected, name
        path.unlink()
    assert errors > number / 2


@pytest.mark.parametrize(
    ("kind", "times"), [("bank", 12), ("bank with a long name", 2), ("shard", 6), ("checkpoint", 6)]
)
def test_damage_is_an_error_or_makes_no_difference(tmp_path, kind, times):
    write(tmp_path / "whole.h5", kind)
    code = (
        f"from pathlib import Path; from features.infrastructure.hdf5 import vetting; vetting._CPU_SECONDS = 1;"
        f"from test_damaged_files import read_damaged; read_damaged(Path({str(tmp_path)!r}), {kind!r}, 5, {times})"
    )
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent), str(tests.parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        timeout=LIMIT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["class/mean", "class/variance", "within/covariance", "image/feature", "image/label"])
def test_every_number_of_a_bank_counts(tmp_path, name):
    """A change that makes the file no worse, by a program that keeps HDF5's own checksums right."""
    write(tmp_path / "bank.h5", "bank")
    with h5py.File(tmp_path / "bank.h5", "r+") as file:
        array = file[name][:]
        array.flat[:2] = array.flat[1::-1]
        if name == "within/covariance":
            array = (array + array.T) / 2
        file[name][...] = array
    with pytest.raises(InputError, match=f"{name} is not what was written"):
        content(tmp_path / "bank.h5", "bank")
