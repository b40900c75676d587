"""Catalogues of strategies, geometries, losses, samplers and other things that come in kinds.

Each thing is one row: a frozen dataclass with at least ``name`` and ``meaning``, defined in the module that implements
it. A :class:`Catalogue` collects the rows of one kind, so adding a thing touches its own file alone: help,
``transfer inspect``, recipes, reports and error messages read the row. Other installed packages add rows by entry
points, without a change here: see :mod:`features.infrastructure.entry_points`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from features.infrastructure.console import say_once
from features.infrastructure.entry_points import Entry, find_entries
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice


class Row(Protocol):
    """The fields of every row: the name that the user types, and its meaning in one line."""

    @property
    def name(self) -> str: ...
    @property
    def meaning(self) -> str: ...


RowT = TypeVar("RowT", bound=Row)


class Catalogue(Mapping[str, RowT], Generic[RowT]):
    """The rows of one kind by name: the toolkit's own in the order of their modules and of their definitions, then
    those of other packages in the order of their names.

    A type of rows may have a field ``place``: of the toolkit's own, rows of a lower place come first.

    Messages call a row ``kind``, such as ``strategy``. The modules of ``package`` define rows at their top level, as
    constants or in a tuple. They are imported when the catalogue is first read, so they must import heavy libraries
    where they use them. A row of another package is an entry point in ``group``, of the name of the row. It is imported
    when the row is looked up, or when a loop over the catalogue comes to it, so that a command which needs none of them
    neither waits for them nor fails with them. A loop leaves out a row that cannot be used, and says so once; a name
    that the toolkit has itself keeps its meaning.
    """

    def __init__(self, kind: str, row_type: type[RowT], package: str, group: str) -> None:
        self.kind, self.row_type, self.package, self.group = kind, row_type, package, group

    @cached_property
    def _rows(self) -> dict[str, RowT]:
        """The toolkit's own rows."""
        found: dict[str, RowT] = {}
        modules: dict[str, str] = {}
        for info in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            module = importlib.import_module(f"{self.package}.{info.name}")
            for value in vars(module).values():
                for row in value if isinstance(value, tuple) else (value,):
                    if not isinstance(row, self.row_type):
                        continue
                    first = modules.setdefault(row.name, module.__name__)
                    if found.setdefault(row.name, row) is not row:  # a module may import the row of another one
                        where = f"in {first} and in {module.__name__}"
                        raise ValueError(f"two rows of kind {self.kind} are called {row.name!r}, {where}")
        return dict(sorted(found.items(), key=lambda entry: getattr(entry[1], "place", 0)))

    @cached_property
    def _entries(self) -> dict[str, Entry[RowT]]:
        """The rows of other packages, without those of a name that the toolkit has itself."""
        found = find_entries(self.group, self.kind, self.row_type)
        for name in found.keys() & self._rows.keys():
            say_once(found.pop(name).unusable("the toolkit has one of this name itself"))
        return found

    def __getitem__(self, name: str) -> RowT:
        entry = self._entries.get(name)
        if entry is None:
            return self._rows[name]
        if entry.row is None:
            raise KeyError(name)
        return entry.row

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        for name, entry in self._entries.items():
            if entry.row is None:
                say_once(entry.fault)
            else:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, name: str, argument: str | None = None) -> RowT:
        """Return the row called ``name``, which the user gave in ``argument`` (by default called like the kind).

        Raises:
            InputError: No row has this name, and the message suggests the nearest; or the row is of another package and
                cannot be used.
        """
        if name not in self:
            missing = self.fault(name) or f"there is no such {self.kind}; {choice(name, self)}"
            raise InputError(f"`{argument or self.kind}` {name}: {missing}")
        return self[name]

    def fault(self, name: str) -> str:
        """Return why a row that another package adds cannot be used; empty if none of this name is at fault."""
        entry = self._entries.get(name)
        return "" if entry is None else entry.fault

    def meanings(self, describe: Callable[[RowT], str] = lambda row: row.meaning) -> dict[str, str]:
        """Return what ``describe`` says of every row, by default its meaning, with the package if it is another one."""
        origins = {name: f" (of the package {entry.package})" for name, entry in self._entries.items()}
        return {name: describe(row) + origins.get(name, "") for name, row in self.items()}
