"""JSON and YAML: whatever a file holds, reading it ends, and says in one line what is wrong."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypedDict

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import NO_FILES, changed_bytes, changed_json, changed_yaml

from features.infrastructure.console import warn_once
from features.infrastructure.errors import InputError
from features.infrastructure.formats import structured_files
from features.infrastructure.formats.shapes import fault_in
from features.infrastructure.formats.structured_files import LARGEST_YAML, read_json, read_yaml, write_sealed_json
from features.infrastructure.options import Range

CONTENT = {"name": "Käse", "count": 3, "share": 0.25, "parts": [1, 2], "none": None, "nested": {"on": True}}


class Nested(TypedDict):
    on: bool


class _Shape(TypedDict):
    name: str
    count: Annotated[int, Range(0)]


class Shape(_Shape, total=False):
    share: Annotated[float, Range(0, 1)]
    parts: list[int]
    none: str | None
    nested: Nested
    kind: Literal["a", "b"]
    pair: tuple[str, float]


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("reader", [read_json, read_yaml])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, what, reader):
    (tmp_path / "file").write_bytes(NO_FILES[what])
    with pytest.raises(InputError) as error:
        reader(tmp_path / "file", "file of a test", Shape, advice="do this")
    assert str(error.value).startswith(f"{tmp_path}/file: not a readable file of a test (")
    assert str(error.value).endswith("); do this") and len(str(error.value)) < 1000


def test_json_of_millions_of_empty_lists_is_refused_before_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"[" + b"[]," * structured_files.MOST_VALUES + b"{}]")
    monkeypatch.setattr(structured_files.json, "loads", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(InputError, match="holds more than 1,000,000 lists and mappings"):
        read_json(tmp_path / "file", "file of a test")


def test_brackets_in_texts_are_no_lists(tmp_path):
    content = {"texts": ["[" * 600_000, '\\"[{\\\\' * 200_000], "[{": [{}, []]}
    (tmp_path / "file").write_text(json.dumps(content))
    assert read_json(tmp_path / "file", "file of a test") == content


_JSON = st.recursive(
    st.none() | st.integers() | st.text('[{"\\]}', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def lists_and_mappings(content):
    below = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return isinstance(content, (dict, list)) + sum(map(lists_and_mappings, below))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(_JSON)
def test_lists_and_mappings_are_counted_before_they_are_read(content):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structured_files, "MOST_VALUES", -1)
        assert structured_files._lists_and_mappings(json.dumps(content).encode()) == lists_and_mappings(content)


def test_where_yaml_is_wrong_is_told_by_its_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("a: 1\nb: {c: 2\nd: 3\n")
    with pytest.raises(InputError) as error:
        read_yaml(path, "recipe")
    assert str(error.value).startswith(
        f"{path}: not a readable recipe (while parsing a flow mapping at line 2, column 4"
    )
    assert "at line 3, column 2" in str(error.value) and "string" not in str(error.value)


def test_aliases_that_multiply_are_refused_and_others_are_not(tmp_path):
    path = tmp_path / "file"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="its aliases stand for more than 1,000,000 values"):
        read_yaml(path)
    lines = ["a0: &a0 {x0: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 9)]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="its aliases stand for more than"):
        read_yaml(path)
    path.write_text("a: &a [1, *a]")
    with pytest.raises(InputError, match="an alias stands for a value that holds it"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!python/object/apply:os.system [echo]", "could not determine a constructor"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: .nan", "a number is infinite or no number"),
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ("a: caf\xe9".encode("latin-1"), "special characters"),
        ("- " * 5000, "nested more than"),
        (b"#" * (LARGEST_YAML + 1), "it has more than 1 MiB"),
    ],
)
def test_yaml_that_is_damaged_or_hostile(tmp_path, text, said):
    (tmp_path / "file").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said.replace(".", r"\.")):
        read_yaml(tmp_path / "file")


def test_many_keys_are_read_in_time_that_grows_with_their_number(tmp_path):
    # A comparison of each key with all before it would take minutes.
    (tmp_path / "file").write_text("".join(f"k{i}: 1\n" for i in range(20_000)))
    assert len(read_yaml(tmp_path / "file")) == 20_000


@pytest.mark.parametrize(
    ("value", "hint", "fault"),
    [
        (CONTENT, Shape, ""),
        (CONTENT | {"further": 1, "pair": ["x", 1], "kind": "b"}, Shape, ""),
        ({"count": 3}, Shape, "'name' is missing"),
        (CONTENT | {"count": True}, Shape, "'count' is True; expected a whole number at least 0"),
        (CONTENT | {"count": -1}, Shape, "'count' is -1; expected a whole number at least 0"),
        (CONTENT | {"count": 2**63}, Shape, f"'count' is {2**63}; expected a whole number at least 0"),
        (CONTENT | {"count": 10**400}, Shape, f"'count' is {'1' + '0' * 59}…; expected a whole number at least 0"),
        (CONTENT | {"share": float("nan")}, Shape, "'share' is nan; expected a number at least 0 and at most 1"),
        (CONTENT | {"share": 1}, Shape, ""),
        (CONTENT | {"share": "1"}, Shape, "'share' is '1'; expected a number at least 0 and at most 1"),
        (CONTENT | {"parts": [1, "x"]}, Shape, "'parts[2]' is 'x'; expected a whole number"),
        (CONTENT | {"parts": {}}, Shape, "'parts' is names with values; expected a list"),
        (CONTENT | {"none": 1}, Shape, "'none' is 1; expected text or null"),
        (CONTENT | {"nested": {}}, Shape, "'nested': 'on' is missing"),
        (CONTENT | {"nested": {"on": 1}}, Shape, "'nested.on' is 1; expected true or false"),
        (CONTENT | {"kind": "c"}, Shape, "'kind' is 'c'; expected 'a' or 'b'"),
        (CONTENT | {"pair": ["x"]}, Shape, "'pair' has 1 values; expected 2"),
        (CONTENT | {"pair": ["x", "y"]}, Shape, "'pair[2]' is 'y'; expected a number"),
        ([1], Shape, "its content is a list; expected names with values"),
        ([1, None], list[int | None], ""),
        ({"a": [{"b": 1}]}, dict[str, list[dict[str, str]]], "'a[1].b' is 1; expected text"),
        ({"a": 1}, dict[str, Nested] | None, "'a' is 1; expected names with values"),
    ],
)
def test_shapes(value: Any, hint: Any, fault: str):
    assert fault_in(value, hint) == fault


def changed(capsys) -> bool:
    warn_once.cache_clear()
    return "changed since it was written; what it says now is used" in capsys.readouterr().err


def test_a_sealed_file_is_plain_json_and_is_read_back(tmp_path, capsys):
    path = tmp_path / "file.json"
    write_sealed_json(path, CONTENT)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert next(iter(written)) == "sha256" and {k: v for k, v in written.items() if k != "sha256"} == CONTENT
    assert read_json(path, "file") == CONTENT and not changed(capsys)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as version control may
    assert read_json(path, "file") == CONTENT and not changed(capsys)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_json(path, "file") == CONTENT and not changed(capsys)
    path.write_text(json.dumps(CONTENT))  # of an earlier version
    assert read_json(path, "file") == CONTENT and not changed(capsys)


def test_no_flipped_bit_of_a_sealed_file_is_passed_over(tmp_path, capsys):
    path = tmp_path / "file.json"
    write_sealed_json(path, CONTENT)
    content = path.read_bytes()
    outcomes = {"refused": 0, "said": 0}
    for place in range(len(content)):
        for bit in (0, 5):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            try:
                found = read_json(path, "file")
            except InputError:
                outcomes["refused"] += 1
                continue
            if not changed(capsys):
                # The name of the digest alone has changed.
                assert CONTENT.items() <= found.items(), (place, bit)
                continue
            outcomes["said"] += 1
    assert min(outcomes.values()) > 100


@pytest.mark.parametrize("seed", range(3))
def test_mutations_of_a_file_are_refused_said_or_equal(tmp_path, capsys, seed):
    path = tmp_path / "file.json"
    write_sealed_json(path, CONTENT)
    for what, content in changed_json(path.read_bytes(), 150, seed):
        path.write_bytes(content)
        try:
            found = read_json(path, "file", Shape)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        told = changed(capsys)
        assert told or CONTENT.items() <= found.items() or what == "without ('sha256',)", what
        assert fault_in(found, Shape) == ""


def test_mutated_yaml_is_refused_or_has_the_shape(tmp_path):
    path = tmp_path / "file.yaml"
    for _, content in changed_yaml(yaml.safe_dump(CONTENT).encode(), 150):
        path.write_bytes(content)
        try:
            assert fault_in(read_yaml(path, "file", Shape), Shape) == ""
        except InputError as error:
            assert str(error).startswith(f"{path}: not a readable file")


def test_the_mutations_are_the_same_for_the_same_seed():
    assert [*changed_bytes(bytes(range(40)), 20, 1)] == [*changed_bytes(bytes(range(40)), 20, 1)]
    assert [*changed_bytes(bytes(range(40)), 20, 1)] != [*changed_bytes(bytes(range(40)), 20, 2)]
