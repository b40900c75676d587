"""Packed texts behave as the list of them."""

import pickle
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.infrastructure import texts as module
from features.infrastructure.texts import Texts

#: Texts as file names have them: half a pair of UTF-16 stands for a byte that is not UTF-8.
TEXT = st.text(max_size=12) | st.sampled_from(["", " a", "a\u3000", "caf\udce9", "\x00", "é" * 300])
LISTS = st.lists(TEXT.filter(lambda text: _stands_for_bytes(text)), max_size=40)


def _stands_for_bytes(text):
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text
    except UnicodeEncodeError:
        return False


@pytest.fixture(autouse=True, params=[3, 1 << 16], scope="module")
def block(request):
    before, module._BLOCK = module._BLOCK, request.param
    yield
    module._BLOCK = before


@given(LISTS)
def test_they_are_the_list(values):
    texts = Texts.of(values)
    assert texts == values and list(texts) == values and len(texts) == len(values)
    assert [texts[i] for i in range(-len(values), len(values))] == values + values
    assert texts[1:7:2] == values[1:7:2] and texts[::-1] == values[::-1]
    assert texts == Texts.of(iter(values)) and Texts.of(texts) is texts
    assert pickle.loads(pickle.dumps(texts)) == texts
    assert Texts.joined([texts, Texts.of(["x"]), texts]) == [*values, "x", *values]
    assert b"".join(texts.blocks_of_bytes(b"\0")) == "\0".join(values).encode("utf-8", "surrogateescape")
    encoded = [value.encode("utf-8", "surrogateescape") for value in values]
    assert list(texts.as_bytes()) == encoded and list(texts.as_bytes(1, 5)) == encoded[1:5]
    assert texts.stripped() == [value.strip() for value in values]
    assert texts.is_plain() == ("".join(values).isascii() and all(map(str.isprintable, values)))
    assert texts.holds_nul() == any("\0" in value for value in values)
    with pytest.raises(IndexError):
        texts[len(values)]


@given(LISTS)
def test_arrays_of_bytes_hold_them(values):
    values = [value for value in values if "\0" not in value]
    assert Texts.of_arrays(Texts.of(values).arrays()) == values


@given(LISTS, LISTS, st.booleans())
def test_places_are_those_of_the_first_that_is_equal(values, others, shuffled):
    others = random.Random(0).sample(values, len(values)) + others if shuffled else others
    place = {value: i for i, value in reversed(list(enumerate(values)))}
    found = Texts.of(values).positions(Texts.of(others))
    assert found.tolist() == [place.get(value, -1) for value in others]


@given(LISTS)
def test_a_repeated_text_is_found(values):
    again = next((i for i, value in enumerate(values) if value in values[:i]), None)
    assert Texts.of(values).repeated() == (None if again is None else (values.index(values[again]), again))


def test_texts_that_share_a_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(Texts, "_hashes", lambda self: np.zeros(len(self), dtype=np.int64))
    texts = Texts.of(["a", "b", "a", "c"])
    assert texts.positions(Texts.of(["c", "b", "d", "a"])).tolist() == [3, 1, -1, 0]
    assert texts.repeated() == (0, 2) and Texts.of(["a", "b"]).repeated() is None


def test_they_are_not_equal_to_others():
    assert Texts.of(["1"]) != [1] and Texts.of(["1"]) != [b"1"]
    assert Texts.of(["a", "b"]) != ["a", "c"] and Texts.of(["ab"]) != Texts.of(["a", "b"]) and Texts.of(["a"]) != "a"


def test_half_a_pair_of_utf_16_becomes_its_escape():
    assert Texts.of(["x\ud800.png", "\udce9"]) == ["x\\ud800.png", "\udce9"]


def test_packing_and_comparing_take_few_bytes_a_text(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 1 << 10)
    number, peaks = 100_000, []
    tracemalloc.start()
    try:
        texts = Texts.of(f"00000.tar/{i:09d}" for i in range(number))  # 19 bytes each, and 8 for where it ends
        peaks.append(tracemalloc.get_traced_memory()[1] / number)
        tracemalloc.reset_peak()
        assert texts.repeated() is None
        peaks.append(tracemalloc.get_traced_memory()[1] / number)
    finally:
        tracemalloc.stop()
    assert peaks[0] < 40 and peaks[1] < 100, peaks
