"""Catalogues of strategies, geometries, losses, samplers and other things that come in kinds.

Each thing is one row: a frozen dataclass with at least ``name`` and ``meaning``, defined in the module that implements
it. A :class:`Catalogue` collects the rows of one kind, so adding a thing touches its own file alone: help,
``transfer inspect``, recipes, reports and error messages read the row.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Generic, Protocol, TypeVar

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
    """The rows of one kind by name, in the order of their modules and of their definitions.

    A type of rows may have a field ``place``: rows of a lower place come first.

    Messages call a row ``kind``, such as ``strategy``. The modules of ``package`` define rows at their top level, as
    constants or in a tuple. They are imported when the catalogue is first read, so they must import heavy libraries
    where they use them.
    """

    def __init__(self, kind: str, row_type: type[RowT], package: str) -> None:
        self.kind, self.row_type, self.package = kind, row_type, package

    @cached_property
    def _rows(self) -> dict[str, RowT]:
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

    def __getitem__(self, name: str) -> RowT:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, name: str, argument: str | None = None) -> RowT:
        """Return the row called ``name``, which the user gave in ``argument`` (by default called like the kind).

        Raises:
            InputError: No row has this name; the message suggests the nearest.
        """
        if name not in self._rows:
            raise InputError(f"`{argument or self.kind}` {name}: there is no such {self.kind}; {choice(name, self)}")
        return self._rows[name]

    def meanings(self) -> dict[str, str]:
        """Return the meaning of every row by its name."""
        return {name: row.meaning for name, row in self.items()}
