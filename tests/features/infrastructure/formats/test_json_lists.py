"""Lists of a large JSON object, against the parser of the standard library."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.infrastructure.formats.json_lists import read_lists

_NAMES = st.sampled_from(("a", "b", 'c"', "ü]"))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable + 'ü"\\', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)
_FILES = st.dictionaries(_NAMES, _VALUES, max_size=4)
_LAYOUT = st.sampled_from(((",", ":"), (", ", ": "), (" ,\r\n", "\t:\n")))
_ENCODING = st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-32-le"))


def kept(number, entry):
    return number, entry


@settings(max_examples=150, derandomize=True, deadline=None)
@given(_FILES, _LAYOUT, _ENCODING, st.booleans(), st.sampled_from((None, 2)))
def test_the_lists_are_those_that_the_standard_library_reads(content, separators, encoding, ascii_, indent):
    text = json.dumps(content, separators=separators, ensure_ascii=ascii_, indent=indent)
    found = read_lists(f"\n {text} \r\n".encode(encoding), dict.fromkeys(("a", "b", "d"), kept))
    assert found == {
        name: list(enumerate(value)) for name, value in content.items() if name in "ab" and isinstance(value, list)
    }


@settings(max_examples=150, derandomize=True, deadline=None)
@given(_FILES, _LAYOUT, st.integers(0, 10**6), st.sampled_from(("", ",", "]", "}", "[", ":", '"', "0", "x")))
def test_what_the_standard_library_refuses_is_refused(content, separators, place, instead):
    text = json.dumps(content, separators=separators)
    text = text[: place % len(text)] + instead + text[place % len(text) + 1 :]
    try:
        right = json.loads(text)
    except json.JSONDecodeError:
        if text.lstrip().startswith("{"):
            with pytest.raises(ValueError):
                read_lists(text.encode(), {"a": kept})
        return
    try:
        found = read_lists(text.encode(), {"a": kept})
    except ValueError as error:
        assert "given twice" in str(error)
    else:
        value = right.get("a") if isinstance(right, dict) else None
        assert found == ({"a": list(enumerate(value))} if isinstance(value, list) else {})


def test_the_first_wrong_entry_ends_the_reading():
    def refuse(number, entry):
        raise LookupError(f"{number}: {entry}")

    with pytest.raises(LookupError, match="0: 1"):
        read_lists(b'{"a": [1, 2, no JSON', {"a": refuse})
