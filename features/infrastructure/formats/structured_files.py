"""JSON and YAML files, read with bounds on their size, depth and numbers, and checked against what they must hold.

Such a file may be damaged by a crash, edited by a person, or made to harm. Whatever it holds, reading it ends, and what
is wrong is said in one line that names the file and the key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import yaml

from features.infrastructure.disk.files import TEXT, atomic_file
from features.infrastructure.disk.regular_files import read_limited
from features.infrastructure.errors import InputError
from features.infrastructure.formats.shapes import fault_in
from features.infrastructure.formats.text_seals import SEAL, UNSEALED, Seal, say_if_changed, seal
from features.infrastructure.storage.addresses import Location, located
from features.infrastructure.storage.secrets import without_secrets

#: Bytes of the largest file. A card of a million classes has 40 MiB. YAML, which persons write, is read slowly.
LARGEST_JSON, LARGEST_YAML = 1 << 26, 1 << 20
#: Levels of mappings and lists in each other; mappings and lists of JSON, and values of YAML after all its aliases are
#: replaced.
DEEPEST, MOST_VALUES = 40, 1_000_000
#: Digits of a whole number; one of 64 bits has 19.
_DIGITS = 40
_PLAIN = {str, int, float, bool, type(None)}


def read_json(path: Location, kind: str, shape: Any = Any, *, advice: str = "", maker: str = "") -> Any:
    """Read a JSON file, which messages call ``kind``, such as ``the run's figures``.

    Args:
        path: The file.
        kind: What messages call it.
        shape: The type that its content must have; see :mod:`features.infrastructure.formats.shapes`.
        advice: What to do if it cannot be used.
        maker: The command that wrote it. A line on standard error says if a sealed file has changed since.

    Raises:
        InputError: It is missing or no regular file, is not JSON in UTF-8, has a key twice in one mapping, exceeds a
            bound, or does not have the shape.
    """
    content = read_limited(path, kind, LARGEST_JSON, advice=advice)
    try:
        if _lists_and_mappings(content) > MOST_VALUES:  # each takes many times its bytes in memory
            raise ValueError(f"it holds more than {MOST_VALUES:,} lists and mappings")
        found = json.loads(_text(content), object_pairs_hook=_unique, parse_constant=_refuse)
        _check(found)
    except RecursionError as error:
        raise _unreadable(path, kind, f"it is nested more than {DEEPEST} levels deep", advice) from error
    except ValueError as error:
        raise _unreadable(path, kind, str(error), advice) from error
    if isinstance(found, dict):
        found.pop(SEAL, None)
    if fault := fault_in(found, shape):
        raise _unreadable(path, kind, fault, advice)
    seal_ = Seal()
    seal_.update(content)
    say_if_changed(path, seal_, maker)
    return found


def write_sealed_json(path: Location, content: Mapping[str, Any]) -> None:
    """Write a JSON file for :func:`read_json`, completely or not at all, with a digest as its first entry.

    Addresses in it lose credentials and signatures.
    """
    text = json.dumps({SEAL: UNSEALED} | dict(content), indent=1, ensure_ascii=False) + "\n"
    with atomic_file(path) as aside:
        aside.write_text(without_secrets(text), **TEXT)
        seal(aside)


def read_yaml(
    path: str | Location, kind: str = "YAML file", shape: Any = Any, *, advice: str = "expected a YAML file"
) -> Any:
    """Read a YAML file of plain values; an empty one is None. Arguments and errors are those of :func:`read_json`.

    Raises:
        InputError: Also if its aliases stand for more than :data:`MOST_VALUES` values, or one for itself.
    """
    path = located(path)
    return parse_yaml(read_limited(path, kind, LARGEST_YAML, advice=advice), path, kind, shape, advice=advice)


def parse_yaml(content: bytes, path: object, kind: str, shape: Any = Any, *, advice: str = "") -> Any:
    """The values of the YAML text ``content``; ``path`` is what messages call it."""
    try:
        found = yaml.load(_text(content), _Loader)
        _check(found)
    except RecursionError as error:
        raise _unreadable(path, kind, f"it is nested more than {DEEPEST} levels deep", advice) from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).replace('in "<unicode string>",', "at")  # PyYAML knows no name; the message begins with it
        raise _unreadable(path, kind, " ".join(reason.split())[:400], advice) from error
    if fault := fault_in(found, shape):
        raise _unreadable(path, kind, fault, advice)
    return found


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last one silently, and aliases that multiply."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _size(node, {}, 0) > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, (list, dict, set)):
                    break  # the loader itself says that it is no key
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def _size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """The number of values in a node after its aliases are replaced."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    if id(node) in known:
        if known[id(node)] == 0:
            raise ValueError("an alias stands for a value that holds it")
        return known[id(node)]
    known[id(node)] = 0  # until its own values are counted
    parts: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.MappingNode):
        parts = (part for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_size(part, known, depth + 1) for part in parts)
    return known[id(node)]


def _lists_and_mappings(content: bytes) -> int:
    """The number of lists and mappings in JSON: that of the opening brackets outside of its texts.

    It is an upper bound if all brackets together are few, or if the content is no JSON from some place on.
    """
    most = content.count(b"[") + content.count(b"{")
    if most <= MOST_VALUES:
        return most
    import numpy as np  # only for such a file: the commands that read none shall start at once

    signs = np.frombuffer(content.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    quoted = np.logical_xor.accumulate(signs == ord('"'))
    return int(np.count_nonzero(((signs == ord("[")) | (signs == ord("{"))) & ~quoted))


def _text(content: bytes) -> str:
    text = content.decode("utf-8-sig", TEXT["errors"])
    if "\0" in text:
        raise ValueError("it is not text")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:_DIGITS]!r} is given twice")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no finite number")


def _check(content: Any) -> None:
    """Raise ``ValueError`` for values that nothing here can use: too deep, infinite, or text that no file can hold."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                _check_plain(value)
                below += _check_plain(value.values())
            elif isinstance(value, (list, tuple, set)):
                below += _check_plain(value)
            else:
                _check_plain([value])
        level = below


def _check_plain(values: Collection[Any]) -> list[Any]:
    """Check the texts and the numbers among some values together, since there may be a million; return the others."""
    kinds = set(map(type, values))
    if texts := [value for value in values if type(value) is str] if str in kinds else []:
        together = "".join(texts)
        if not together.isascii():
            together.encode(**TEXT)  # raises for a lone surrogate
        if "\0" in together:
            raise ValueError("a text holds the character NUL")
    if kinds & {int, float}:
        numbers = [value for value in values if type(value) in (int, float)]
        if any(isinstance(value, float) and not math.isfinite(value) for value in numbers):
            raise ValueError("a number is infinite or no number")
        if max(map(abs, numbers)) >= 10**_DIGITS and any(
            type(value) is int and abs(value) >= 10**_DIGITS for value in numbers
        ):
            raise ValueError(f"a number has more than {_DIGITS} digits")
    return [value for value in values if isinstance(value, (dict, list, tuple, set))] if kinds - _PLAIN else []


def _unreadable(path: object, kind: str, reason: str, advice: str) -> InputError:
    return InputError(f"{path}: not a readable {kind} ({reason}){f'; {advice}' if advice else ''}")
