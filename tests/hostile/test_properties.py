"""Laws that hold for any spec, list, table and class name: what is read is what a plain reading finds, or one line."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.names import as_text, class_name
from features.readers import open_dataset

_LAW = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
#: Signs that specs, tables and names are made of, and those that hide or change others.
_SIGNS = (
    ":@?&=<>,;\"'/\\.{}[]*#~%$ \t\n\r\0\x1b\x85\u2028\u202e\u200b\u200d\ufe0f\u0301\u212a\ud800\udcff\U0001f989aAé01"
)
_TEXT = st.text(st.one_of(st.characters(), st.sampled_from(_SIGNS)), max_size=40)
#: Characters that are seen, of any alphabet: letters, marks, numbers, punctuation and symbols.
_SEEN = st.characters(
    categories=("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Nd", "Nl", "Pd", "Po", "Ps", "Pe", "Sc", "Sm", "So"),
    exclude_characters="\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufffc"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0xFFF0, 0xFFFC)))),
)
_NAME = st.text(_SEEN, min_size=1, max_size=12)


def opened(spec: str) -> Counter[str] | None:
    """Images by class; None if the dataset is refused in one line."""
    try:
        dataset = open_dataset(spec)
    except InputError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 3_000
        return None
    return Counter(dict(zip(dataset.classes, dataset.counts.tolist(), strict=True)))


@_LAW
@given(_TEXT)
def test_a_spec_is_read_back_as_it_is_written(text):
    try:
        spec = DatasetSpec.parse(text)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert DatasetSpec.parse(str(spec)) == spec


@_LAW
@given(
    _TEXT, st.sampled_from(("", "folder:", "list:", "csv:", "inat:", "wds:", "torch:", "images:", "cub:", "clusters:"))
)
def test_any_text_is_a_dataset_or_one_line(text, scheme):
    if "//" not in text and "~" not in text:  # stores and homes are elsewhere
        opened(scheme + text)


@_LAW
@given(st.text(st.one_of(st.characters(), st.sampled_from(_SIGNS))))
def test_a_class_name_is_text_and_equal_to_itself(name):
    text = class_name(name)
    text.encode()
    assert class_name(text) == text == class_name(unicodedata.normalize("NFD", name))
    assert as_text(as_text(name)) == as_text(name)
    assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff") & set(text)


@_LAW
@given(_NAME)
def test_a_name_whose_characters_are_seen_stays(name):
    assert class_name(name) == unicodedata.normalize("NFC", name)


@_LAW
@given(st.lists(st.tuples(_NAME, st.integers(0, 3)), min_size=1, max_size=12), st.sampled_from(("\n", "\r\n")))
def test_a_table_has_the_classes_of_a_plain_reading(rows, end):
    file = io.StringIO()
    csv.writer(file, lineterminator=end).writerows(
        [("image", "label"), *((f"{i}.png", name) for i, (name, _) in enumerate(rows))]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.csv"
        path.write_bytes(b"\xef\xbb\xbf" * (len(rows) % 2) + file.getvalue().encode())
        found = opened(f"csv:{path}")
    plain = [row[1].strip() for row in csv.reader(io.StringIO(file.getvalue(), newline=""))][1:]
    right = Counter(unicodedata.normalize("NFC", name) for name in plain)
    collide = len(set(plain)) != len(right) or not all(plain)
    assert found is None if collide else found == right


@_LAW
@given(st.lists(st.tuples(_NAME, st.integers(0, 10**18 - 1)), min_size=1, max_size=12), st.sampled_from(("\n", "\r\n")))
def test_a_list_has_the_labels_of_a_plain_reading(rows, end):
    lines = [f"f{name}.png {label}" for name, label in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.txt"
        path.write_bytes(end.join(lines).encode())
        found = opened(f"list:{path}")
    by_path: dict[str, set[int]] = {}
    for name, label in rows:
        by_path.setdefault(f"f{name}.png", set()).add(label)
    leaves = any("/../" in path for path in by_path)
    if found is None:
        assert leaves or any(len(labels) > 1 for labels in by_path.values()) or any("/" in path for path in by_path)
    else:
        right = Counter(label for labels in by_path.values() for label in labels)
        assert sorted(found.values()) == sorted(right.values())


@_LAW
@given(
    st.binary(max_size=200),
    st.sampled_from(("list:l.txt", "csv:l.csv", "inat:l.json", "images:l.txt", "list:l.txt.gz", "wds:l.tar")),
)
def test_any_bytes_are_a_dataset_or_one_line(content, spec):
    scheme, _, name = spec.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        opened(f"{scheme}:{folder}/{name}")
