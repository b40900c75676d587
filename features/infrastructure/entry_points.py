"""Rows that other installed packages add to a catalogue: the entry points of its group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

RowT = TypeVar("RowT")

#: The packages of which a row was loaded, with their versions: results may depend on them.
LOADED: dict[str, str] = {}


class Entry(Generic[RowT]):
    """A row of another package, which is imported when it is first asked for.

    Args:
        kind: What messages call the row, such as ``strategy``.
        row_type: The type of the row.
        points: The entry points of one name; several are of different packages, and none of them is used.
    """

    def __init__(self, kind: str, row_type: type[RowT], points: Sequence[EntryPoint]) -> None:
        self.kind, self.row_type, self.points = kind, row_type, points
        self.name = points[0].name

    @property
    def package(self) -> str:
        """The package and its version, such as ``birds 0.3``; of several packages all."""
        return " and ".join(f"{point.dist.name} {point.dist.version}" for point in self.points if point.dist)

    @property
    def row(self) -> RowT | None:
        """The row; None if it cannot be used."""
        return self._loaded[0]

    @property
    def fault(self) -> str:
        """Why the row cannot be used: one line that names the package and says what to do; empty if it can."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[RowT | None, str]:
        if len(self.points) > 1:
            return None, f"the packages {self.package} each add the {self.kind} {self.name}; uninstall all but one"
        (point,) = self.points
        try:
            row = point.load()
        except (Exception, SystemExit) as error:  # the code of the package may raise anything
            return None, self.unusable(f"{point.value} cannot be imported ({type(error).__name__}: {error})")
        if not isinstance(row, self.row_type):
            expected = f"{self.row_type.__module__}.{self.row_type.__qualname__}"
            return None, self.unusable(f"{point.value} is a {type(row).__name__}, not a {expected}")
        name = getattr(row, "name", None)
        if name != self.name:
            return None, self.unusable(f"{point.value} calls itself {name}, and the entry point must have that name")
        if point.dist:
            LOADED[point.dist.name] = point.dist.version
        return row, ""

    def unusable(self, why: str) -> str:
        """Say that the package adds a row that cannot be used, and why."""
        line = f"the package {self.package} adds the {self.kind} {self.name}, which cannot be used: {why}"
        return " ".join(f"{line}; repair or uninstall the package".split())


def find_entries(group: str, kind: str, row_type: type[RowT]) -> dict[str, Entry[RowT]]:
    """Find the rows that installed packages add to a group, in the order of their names, without importing them."""
    by_name: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.dist.name if point.dist else ""):
        by_name.setdefault(point.name, []).append(point)
    return {name: Entry(kind, row_type, points) for name, points in sorted(by_name.items())}
