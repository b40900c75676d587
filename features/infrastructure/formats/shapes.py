"""What the content of a JSON or YAML file must look like, said as a type such as ``dict[str, int]`` or a ``TypedDict``.

A file that a crash has damaged, or a person edited, is checked here once, when it is read. What reads its fields then
need not expect a missing key or a text in place of a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from features.infrastructure.options import Range

#: Characters of a value that a message shows.
_SHOWN = 60
#: Whole numbers that fit into 64 bits, as counts and labels do everywhere else.
_WHOLE = 2**63
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "names with values",
    type(None): "null",
}

#: A number of at least 0; a share, 0 to 1.
Count = Annotated[int, Range(0)]
Share = Annotated[float, Range(0, 1)]


def fault_in(value: Any, hint: Any, place: str = "") -> str:
    """Return what is wrong with a value for a type, empty if nothing is; ``place`` is the key that it stands below.

    Types are ``bool``, ``int``, ``float``, ``str``, ``None``, ``Any``, literals, unions, ``list[…]``, ``dict[str, …]``,
    ``tuple[…]`` of a fixed length, ``TypedDict``, and numbers with a :class:`features.infrastructure.options.Range`.
    Numbers must be finite. Further keys of a ``TypedDict`` are allowed.

    >>> fault_in({"top1": 1.5}, dict[str, Share])
    "'top1' is 1.5; expected a number at least 0 and at most 1"
    >>> fault_in([3, "x"], list[int]), fault_in([3], list[int] | None)
    ("entry 2 is 'x'; expected a whole number", '')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return ""
    if origin in (Union, UnionType):
        faults = [fault_in(value, part, place) for part in inner]
        if "" in faults:
            return ""
        deeper = [fault for part, fault in zip(inner, faults, strict=True) if isinstance(value, _class_of(part))]
        return deeper[0] if deeper else _wrong(value, hint, place)
    if origin is Annotated:
        fits = not fault_in(value, inner[0]) and all(value in one for one in inner[1:] if isinstance(one, Range))
        return "" if fits else _wrong(value, hint, place)
    if origin is Literal:
        return "" if any(value == one and type(value) is type(one) for one in inner) else _wrong(value, hint, place)
    kind = _class_of(hint)
    if not isinstance(value, kind) or (isinstance(value, bool) and hint is not bool):
        return _wrong(value, hint, place)
    if hint is int and not -_WHOLE <= value < _WHOLE:
        return _wrong(value, hint, place)
    if hint is float and not (abs(value) < _WHOLE if isinstance(value, int) else math.isfinite(value)):
        return _wrong(value, hint, place)
    if is_typeddict(hint):
        return _fault_in_fields(value, hint, place)
    if origin is dict:
        return next(filter(None, (fault_in(one, inner[1], _below(place, name)) for name, one in value.items())), "")
    if origin is tuple:
        if len(value) != len(inner):
            return f"{_named(place)} has {len(value)} values; expected {len(inner)}"
        pairs: Iterable[tuple[Any, Any]] = zip(value, inner, strict=True)
    elif origin is list:
        kinds = set(map(type, value))  # of a million classes, one by one would take seconds
        if kinds <= {str} and inner[0] in (str, Any):
            return ""
        if kinds == {int}:
            value = (
                (min(value), max(value))
                if not fault_in(min(value), inner[0]) + fault_in(max(value), inner[0])
                else value
            )
        pairs = ((one, inner[0]) for one in value)
    else:
        return ""
    found = (fault_in(one, part, _entry(place, i)) for i, (one, part) in enumerate(pairs, start=1))
    return next(filter(None, found), "")


def _fault_in_fields(value: dict[str, Any], hint: Any, place: str) -> str:
    if missing := sorted(hint.__required_keys__ - value.keys()):
        return f"{f'{_named(place)}: ' if place else ''}{missing[0]!r} is missing"
    fields = ((value[name], part, _below(place, name)) for name, part in _fields(hint).items() if name in value)
    return next(filter(None, (fault_in(*field) for field in fields)), "")


@lru_cache
def _fields(hint: Any) -> dict[str, Any]:
    return get_type_hints(hint, include_extras=True)


def _class_of(hint: Any) -> Any:
    """What a value must be an instance of to be told more about it than its type."""
    if is_typeddict(hint):
        return dict
    origin = get_origin(hint)
    if origin is Annotated:
        return _class_of(get_args(hint)[0])
    if origin is Literal:
        return tuple(map(type, get_args(hint)))
    if origin is tuple:
        return (list, tuple)
    return (int, float) if hint is float else origin or hint


def _wrong(value: Any, hint: Any, place: str) -> str:
    shown = (
        repr(value) if isinstance(value, (str, int, float, bool, type(None))) else _WORDS.get(type(value), "another")
    )
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return f"{_named(place)} is {shown}; expected {_expected(hint)}"


def _expected(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_expected, inner))
    if origin is Annotated:
        return " ".join([_expected(inner[0]), *(str(one) for one in inner[1:] if isinstance(one, Range))])
    if origin is Literal:
        return " or ".join(map(repr, inner))
    return _WORDS[dict if is_typeddict(hint) else origin or hint]


def _below(place: str, name: object) -> str:
    name = str(name) if len(str(name)) <= _SHOWN else f"{str(name)[:_SHOWN]}…"
    return f"{place}.{name}" if place else name


def _entry(place: str, number: int) -> str:
    return f"{place}[{number}]"


def _named(place: str) -> str:
    if place.startswith("[") and place.endswith("]") and place.count("[") == 1:
        return f"entry {place[1:-1]}"
    return repr(place) if place else "its content"
