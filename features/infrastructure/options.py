"""Configuration dataclasses, whose fields are the options of a command: their defaults and their ranges."""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, get_args, get_type_hints

from features.infrastructure.errors import InputError


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high`` that an option takes, as in ``epochs: Annotated[int, Range(1)] = 30``.

    ``low`` itself is excluded if ``above``, and ``high`` itself if ``below``.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        reaches = value > self.low if self.above else value >= self.low
        ends = value < self.high if self.below else value <= self.high
        return reaches and ends and math.isfinite(value)

    def __str__(self) -> str:
        low = "" if self.low == -math.inf else f"{'above' if self.above else 'at least'} {self.low:.10g}"
        high = "" if self.high == math.inf else f"{'below' if self.below else 'at most'} {self.high:.10g}"
        return " and ".join(filter(None, (low, high))) or "a finite number"


def check_ranges(config: Any) -> None:
    """Check the numbers of a configuration against the ranges that its fields are annotated with.

    Values that are not numbers, such as None and ``auto``, are not checked.

    Raises:
        InputError: Numbers are out of their ranges; the message names all of them.
    """
    hints = get_type_hints(type(config), include_extras=True)
    faults = []
    for field in fields(config):
        value = getattr(config, field.name)
        for given in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(given, (int, float)) and not isinstance(given, bool):
                faults += [
                    f"`{field.name}` {given}: expected {bounds}"
                    for bounds in _ranges(hints[field.name])
                    if given not in bounds
                ]
    if faults:
        raise InputError("; ".join(faults))


def default_of(option: Field[Any]) -> object:
    """Return the default of a field of a configuration; ``dataclasses.MISSING`` if it is required."""
    return option.default if option.default_factory is MISSING else option.default_factory()


def _ranges(hint: Any) -> list[Range]:
    """Return the ranges at any depth of a type hint."""
    found = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    return found + [bounds for part in get_args(hint) for bounds in _ranges(part)]
