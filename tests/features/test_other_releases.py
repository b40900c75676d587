"""Banks and shards of other releases: what they hold is read, or one line names the file and says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_files import content, write

from features.infrastructure.errors import InputError
from features.infrastructure.hdf5 import checksums
from features.infrastructure.hdf5.opening import read_attributes

_LAW = settings(max_examples=100, derandomize=True, deadline=None)
_KINDS = st.sampled_from(("bank", "shard", "checkpoint"))
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
#: Values that an attribute of any release may have, and others.
_PLAIN = st.one_of(_TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans())
_OTHER = st.sampled_from(
    (
        *(b"1\xff", np.void(b"\1\2"), h5py.Empty("f8"), h5py.Empty("S1")),
        *(np.arange(3), np.arange(3000), np.eye(30), np.array([1]), np.array([b"a", b"b"]), np.array(["1"], "O")),
        *("x" * 60_000, "1\n2", "\x1b[2J", np.float16(1), np.complex64(1), 10**18),
    )
)
_VERSIONS = st.one_of(st.sampled_from((None, 0, 1, 2, "1", "1.0", b"1", 1.0, True, -1, "", " 1", "१")), _PLAIN, _OTHER)
_NAMES = _TEXT.filter(lambda name: name and not set(name) & set("/.")).map("new {}".format)
#: Attributes that files of some releases have.
_ATTRIBUTES = ("schema", "complete", "dataset", "backbone", "image_size", "created", "unknown", "position", "versions")
#: Attributes without which a file says nothing; others are missing in files of earlier releases or of other programs.
_NEEDED = {"bank": {"schema", "schema_version", "complete"}}
_NEEDED["shard"] = {"schema", "schema_version", "dataset", "created", "first", "last", "position"}
_NEEDED["checkpoint"] = _NEEDED["shard"]
#: Kind → the bytes of a file, and what is read of it.
_FILES: dict[str, tuple[bytes, Any]] = {}


@contextmanager
def other(kind: str) -> Iterator[tuple[Path, h5py.File]]:
    """A file of a kind, and the same opened to be changed until it is read; :func:`close` ends that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.h5"
        if kind not in _FILES:
            write(path, kind)
            _FILES[kind] = path.read_bytes(), content(path, kind)
        path.write_bytes(_FILES[kind][0])
        with h5py.File(path, "r+") as file:
            yield path, file


def close(file: h5py.File, sealed: bool) -> None:
    """Write what was changed, with checksums of it or without any."""
    del file.attrs[checksums.OF_FILE]
    if sealed:
        file.attrs[checksums.OF_FILE] = checksums.of_file(file, read_attributes(file))
    else:
        file.visititems(lambda _, item: item.attrs.pop(checksums.OF_ROWS, None) and None)
    file.close()


def refused(path: Path, kind: str) -> str:
    """The message about a file, of one line that can be printed."""
    with pytest.raises(InputError) as caught:
        content(path, kind)
    said = str(caught.value)
    assert str(path) in said and said.isprintable() and len(said) < 500, said
    return said


def without_new(found: tuple[Any, Any]) -> tuple[Any, Any]:
    """What was read of a file, less the attributes that were added to it."""
    arrays, texts = found
    return arrays, [
        {name: value for name, value in text.items() if not name.startswith("new ")} if type(text) is dict else text
        for text in texts
    ]


@_LAW
@given(_KINDS, st.booleans(), _VERSIONS)
def test_another_version_is_refused_and_the_same_one_is_read(kind, sealed, version):
    with other(kind) as (path, file):
        del file.attrs["schema_version"]
        if version is not None:
            file.attrs["schema_version"] = version
        close(file, sealed)
        if type(version) in (int, str, bytes) and version in (1, "1", b"1"):
            assert content(path, kind)[0] == _FILES[kind][1][0]
        else:
            assert "this release reads version 1; extract it again" in refused(path, kind)


@_LAW
@given(
    _KINDS,
    st.booleans(),
    st.dictionaries(_NAMES, st.one_of(_PLAIN, _OTHER), max_size=3),
    st.lists(_NAMES, max_size=2, unique=True),
)
def test_what_a_later_release_adds_is_passed_over(kind, sealed, attributes, datasets):
    with other(kind) as (path, file):
        for name, value in attributes.items():
            file.attrs[name] = value
        for name in datasets:
            file[f"{('class', 'within', 'new')[len(name) % 3]}/{name}"] = np.arange(3)
        close(file, sealed)
        assert without_new(content(path, kind)) == _FILES[kind][1]


@_LAW
@given(_KINDS, st.booleans(), st.data())
def test_a_part_that_is_missing_is_named_or_not_needed(kind, sealed, data):
    with other(kind) as (path, file):
        parts: list[str] = []
        file.visit(parts.append)
        parts = [name for name in parts if not name.startswith("image")]  # features may be kept or not
        lost = data.draw(st.sampled_from(sorted({*parts, *file.attrs} - {checksums.OF_FILE})))
        del (file if lost in parts else file.attrs)[lost]
        close(file, sealed)
        if lost in parts or lost in _NEEDED[kind]:
            assert lost.partition("/")[0].replace("_", " ") in refused(path, kind)
        else:
            assert content(path, kind)[0] == _FILES[kind][1][0]


@_LAW
@given(_KINDS, st.booleans(), st.sampled_from(_ATTRIBUTES), st.one_of(_PLAIN, _OTHER))
def test_an_attribute_of_another_kind_is_read_or_refused_in_one_line(kind, sealed, name, value):
    with other(kind) as (path, file):
        file.attrs[name] = value
        close(file, sealed)
        try:
            found = content(path, kind)
        except InputError:
            refused(path, kind)
        else:
            assert found[0] == _FILES[kind][1][0]
