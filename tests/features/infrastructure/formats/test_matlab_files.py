"""MATLAB files: SciPy reads the same, and a changed byte is one line or another value, never a crash."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from features.infrastructure.errors import InputError
from features.infrastructure.formats.matlab_files import read_matlab

ROWS = np.zeros((1, 3), dtype=[("class", object), ("fname", object)])
for i in range(3):
    ROWS[0, i] = (i + 1, f"{i}.jpg")
CONTENTS = {
    "cars": {"annotations": ROWS},
    "one car": {"annotations": ROWS[:, :1]},
    "class names": {"class_names": np.array([["Ä 1", "鳥", "c" * 300]], dtype=object)},
    "dogs": {"file_list": np.array([["a/b.jpg"], ["c"]], dtype=object), "labels": np.array([[1.0], [2.0]])},
    "kinds of numbers": {f"x{kind}": np.arange(6, dtype=kind).reshape(2, 3) for kind in ("i1", "u2", "i4", "u8", "f4")},
    "complex numbers": {"x": np.array([[1 + 2j, 3]])},
    "truth": {"x": np.array([[True, False]])},
    "one number": {"x": 5.0},
    "no numbers": {"x": np.zeros((0, 0))},
    "rows of text": {"x": np.array(["ab", "cd"])},
    "nested": {"x": {"a": {"b": np.array([[np.array([[1.0, 2]]), "c"]], dtype=object)}}},
    "three dimensions": {"x": np.arange(24.0).reshape(2, 3, 4)},
}


def plain(value):
    """A value as lists, texts and numbers."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.void):
        return {name: plain(value[name]) for name in value.dtype.names}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", CONTENTS)
def test_scipy_reads_the_same(name, compressed, tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, CONTENTS[name], do_compression=compressed)
    right = {key: value for key, value in loadmat(path, squeeze_me=True).items() if not key.startswith("__")}
    found = read_matlab(path)
    assert {key: plain(value) for key, value in found.items()} == {key: plain(value) for key, value in right.items()}


@pytest.mark.parametrize("compressed", [False, True])
def test_a_changed_byte_is_one_line_or_another_value(compressed, tmp_path):
    file = io.BytesIO()
    savemat(file, CONTENTS["cars"] | CONTENTS["dogs"], do_compression=compressed)
    whole, path = file.getvalue(), tmp_path / "a.mat"
    refused = 0
    for at in range(124, len(whole)):
        for byte in {0, 0x80, 0xFF, whole[at] ^ 1} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            try:
                read_matlab(path)
            except InputError as error:
                assert "\n" not in str(error)
                refused += 1
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            read_matlab(path)
        except InputError:
            refused += 1
    assert refused > 500
