"""Files of ``torch.save``: no code of them is run, no changed byte is passed over, and none takes more than it has."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
import torch
from mutations import changed_bytes, hostile_checkpoint, hostile_pickle

from features.infrastructure.errors import InputError
from features.infrastructure.formats.torch_files import read_torch

CONTENT = {"step": 3, "model": {"weight": torch.arange(100.0), "count": torch.tensor(4)}, "name": "x"}


def alike(found: object) -> bool:
    return repr(found) == repr(CONTENT)


@pytest.fixture
def written(tmp_path):
    torch.save(CONTENT, tmp_path / "file.ckpt")
    return tmp_path / "file.ckpt"


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_byte_is_an_error_or_makes_no_difference(written, seed):
    assert alike(read_torch(written, "state"))
    errors = 0
    for what, content in changed_bytes(written.read_bytes(), 150, seed):
        written.write_bytes(content)
        try:
            found = read_torch(written, "state")
        except Exception:  # as PyTorch and zipfile raise them; the callers name the file
            errors += 1
            continue
        assert alike(found), what
    assert errors > 50


def test_each_byte_of_a_tensor_counts(written):
    content, weight = written.read_bytes(), CONTENT["model"]["weight"].numpy().tobytes()
    start = content.index(weight)
    for place in range(start, start + len(weight), 7):
        written.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"a byte of its part .*data/\d+ has changed"):
            read_torch(written, "state")


def test_compressed_parts_are_refused_before_they_are_unpacked(written):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(written) as plain:
        for part in plain.namelist():
            archive.writestr(part, plain.read(part))
        archive.writestr("file/data/9", b"\0" * 50_000_000)
    written.write_bytes(bomb.getvalue())
    assert written.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="compressed"):
        read_torch(written, "state")


def test_no_code_is_run(tmp_path):
    path, marker = tmp_path / "file.pth", tmp_path / "marker"
    for content in (hostile_pickle(marker), hostile_checkpoint(marker)):
        path.write_bytes(content)
        with pytest.raises(Exception, match=r"Weights only load failed|os\.system|posix"):
            read_torch(path, "state")
        assert not marker.exists()


def test_an_early_format_is_read(tmp_path):
    torch.save(CONTENT, tmp_path / "file.pth", _use_new_zipfile_serialization=False)
    assert alike(read_torch(tmp_path / "file.pth", "state"))


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a pipe, not a state"):
        read_torch(tmp_path / "pipe", "state")
