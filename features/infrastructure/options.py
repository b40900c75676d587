"""Configuration dataclasses, whose fields are the options of a command: their defaults, ranges and choices."""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, dataclass, fields
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

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
        return reaches and ends and (isinstance(value, int) or math.isfinite(value))  # of any size, unlike a float

    def __str__(self) -> str:
        low = "" if self.low == -math.inf else f"{'above' if self.above else 'at least'} {self.low:.10g}"
        high = "" if self.high == math.inf else f"{'below' if self.below else 'at most'} {self.high:.10g}"
        return " and ".join(filter(None, (low, high))) or "a finite number"


#: Bounds that no machine or training reaches, so that a slip is told before any work: images at once, passes, steps,
#: pixels of a side, repetitions, processes, and classes or images of a data set.
LARGEST_BATCH, MOST_EPOCHS, MOST_STEPS, LONGEST_SIDE = 2**20, 10**6, 10**8, 2**14
MOST_REPEATS, MOST_WORKERS, MOST_CLASSES, LARGEST_SEED = 10**6, 1024, 10**12, 2**32 - 1


#: Options of extractions and trainings that make no difference to a result: the number of worker processes, and
#: whether the time is measured.
SAME_RESULT = ("workers", "profile")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Machine.

    Attributes:
        device: auto, cpu, cuda, cuda:1, mps.
        precision: auto is bfloat16 if the hardware computes in it.
        workers: Processes that decode, and on a CPU also run the network; by default one per core.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: Annotated[int, Range(0, MOST_WORKERS)] | None = None

    def machine(self) -> dict[str, Any]:
        """Return the options of the machine alone, for the configurations of the steps of a command."""
        return {option.name: getattr(self, option.name) for option in fields(Machine)}


@dataclass(frozen=True, kw_only=True)
class Profiling:
    """Profile.

    Attributes:
        profile: Measure where the time goes, and say whether the disk, the CPU or the GPU is the bound. A table and a
            trace of some batches are written beside the output, which is the same as without it.
    """

    profile: bool = False


def check_ranges(config: Any) -> None:
    """Check the values of a configuration against the ranges and the literals that its fields are annotated with.

    Values of other types, such as None and texts without a literal, are not checked.

    Raises:
        InputError: Numbers are out of their ranges, or values are not among the choices; the message names all of them.
    """
    hints = get_type_hints(type(config), include_extras=True)
    faults = []
    for field in fields(config):
        value = getattr(config, field.name)
        choices, types = choices_of(hints[field.name])
        if choices and value not in choices and not isinstance(value, types):
            expected = f"one of {', '.join(map(str, choices))}" if len(choices) > 1 else str(choices[0])
            words = ", or ".join([expected, *map(str, ranges_of(hints[field.name]))])
            faults.append(f"`{field.name}` {value}: expected {words}")
        for given in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(given, (int, float)) and not isinstance(given, bool):
                faults += [
                    f"`{field.name}` {given}: expected {', or '.join([*map(str, choices), str(bounds)])}"
                    for bounds in ranges_of(hints[field.name])
                    if given not in bounds
                ]
    if faults:
        raise InputError("; ".join(faults))


def default_of(option: Field[Any]) -> object:
    """Return the default of a field of a configuration; ``dataclasses.MISSING`` if it is required."""
    return option.default if option.default_factory is MISSING else option.default_factory()


def choices_of(hint: Any) -> tuple[list[Any], tuple[type, ...]]:
    """Return the literals of a type hint, and the types of which other values may be.

    >>> choices_of(Literal["a", "b"] | int), choices_of(list[str] | None)
    ((['a', 'b'], (<class 'int'>,)), ([], (<class 'list'>, <class 'NoneType'>)))
    """
    if get_origin(hint) is Literal:
        return list(get_args(hint)), ()
    if get_origin(hint) is Annotated:
        return choices_of(get_args(hint)[0])
    if get_origin(hint) not in (Union, UnionType):
        return [], (int, float) if hint is float else (get_origin(hint) or hint,)
    parts = [choices_of(part) for part in get_args(hint)]
    return [one for choices, _ in parts for one in choices], tuple(one for _, types in parts for one in types)


def ranges_of(hint: Any) -> list[Range]:
    """Return the ranges at any depth of a type hint."""
    found = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    return found + [bounds for part in get_args(hint) for bounds in ranges_of(part)]
