"""Files as crashes, disks and hostile persons leave them: changed bytes, lost parts, other values, other types.

Every function yields what was done and the new content, and gives the same for the same seed.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from disturbing.mutations import mutations

Mutation = tuple[str, bytes]

#: Values of other types and sizes than any file of the toolkit expects.
HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, -0.5, 2**63, 10**30, 1e308, "", "x", "../../x", "a\x1b[31mb"),
    *([], {}, [1], ["x"], {"a": 1}, [[[]]]),
)
#: Values of a cell of a table.
HOSTILE_CELLS = ("", "x", "-1", "1.5", "nan", "1e999", "9" * 30, '"', "=1+1")
#: Whole files that are none.
NO_FILES: dict[str, bytes] = {
    "empty": b"",
    "zeros": b"\0" * 100,
    "not UTF-8": b"\xff\xfe\xfa",
    "nested deeply": b"[" * 100_000,
    "nested deeply in mappings": b'{"a":' * 100_000,
    "a number of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a list": b"[1, 2]",
    "text": b'"text"',
    "half a character": b'{"a": "\\ud800"}',
    "NUL": b'{"a": "\\u0000"}',
    "infinite": b'{"a": 1e999}',
    "no number": b'{"a": NaN}',
    "a key twice": b'{"a": 1, "a": 2}',
}


def changed_bytes(content: bytes, number: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield the content with ``number`` kinds of damage to its bytes, of which it has at least 16."""
    return islice(mutations(content, seed, times=number), number)


def other_values(content: Any, number: int, seed: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield nested mappings and lists without one of their values, or with a hostile one in its place."""
    rng = random.Random(seed)
    places = [place for place in _places(content) if place]
    for place in places:
        yield f"without {place}", _changed(content, place, remove=True)
    for _ in range(number):
        place, value = rng.choice(places), rng.choice(HOSTILE_VALUES)
        yield f"{value!r} at {place}", _changed(content, place, value)


def changed_json(content: bytes, number: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield a JSON file with other values, with changed bytes, and in its place what is none."""
    yield from ((what, json.dumps(value).encode()) for what, value in other_values(json.loads(content), number, seed))
    yield from changed_bytes(content, number, seed)
    yield from NO_FILES.items()


def changed_yaml(content: bytes, number: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield a YAML file with other values, with changed bytes, and in its place what is none."""
    values = other_values(yaml.safe_load(content), number, seed)
    yield from ((what, yaml.safe_dump(value, allow_unicode=True).encode()) for what, value in values)
    yield from changed_bytes(content, number, seed)
    yield from NO_FILES.items()


def changed_csv(content: bytes, number: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield a table without one of its first lines, with hostile cells, and with changed bytes."""
    rng, lines = random.Random(seed), content.decode().splitlines(keepends=True)
    for i in range(min(len(lines), 4)):
        yield f"without line {i + 1}", "".join(lines[:i] + lines[i + 1 :]).encode()
    for _ in range(number):
        i = rng.randrange(len(lines))
        cells = next(csv.reader([lines[i]]))
        place, value = rng.randrange(len(cells)), rng.choice(HOSTILE_CELLS)
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerow([*cells[:place], value, *cells[place + 1 :]])
        yield f"{value!r} in line {i + 1}", "".join([*lines[:i], written.getvalue(), *lines[i + 1 :]]).encode()
    yield from changed_bytes(content, number, seed)
    yield from NO_FILES.items()


def hostile_pickle(marker: Path) -> bytes:
    """The pickle of an object that makes a file called ``marker`` when it is loaded by Python's own pickle."""
    import pickle

    return pickle.dumps(_Command(f"touch '{marker}'"), protocol=2)


class _Command:
    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.line,)


def hostile_checkpoint(marker: Path) -> bytes:
    """A file as ``torch.save`` writes it, whose pickle runs a command that makes ``marker``."""
    import torch

    written = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "hook": _Command(f"touch '{marker}'")}, written)
    return written.getvalue()


def _places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values, of lists the first two entries alone."""
    yield above
    entries = content.items() if isinstance(content, dict) else ()
    entries = enumerate(content[:2]) if isinstance(content, list) else entries
    for name, value in entries:
        yield from _places(value, (*above, name))


def _changed(content: Any, place: tuple[Any, ...], value: Any = None, *, remove: bool = False) -> Any:
    content = copy.deepcopy(content)
    holder = content
    for name in place[:-1]:
        holder = holder[name]
    if remove:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return content
