"""What all groups of options share: their checks, and their defaults that depend on other options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

from features.infrastructure.errors import InputError
from features.infrastructure.options import check_ranges, default_of

#: What would read an option, in words; a function of them where they name all rows of a catalogue, which would have to
#: import those of other packages.
Reader = str | Callable[[], str]
#: Default of an option that depends on other options, and the reason for it in a few words.
Choice = tuple[Any, str]


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Options that are checked when the configuration is made."""

    def checks(self) -> list[Callable[[], object]]:
        """Functions that raise ``InputError`` if a value is wrong by itself."""
        return [partial(check_ranges, self)]

    def contradictions(self) -> list[str]:
        """One sentence for each pair of options that contradict each other."""
        return []

    def unread(self) -> dict[str, Reader]:
        """Options without effect on this run, each with what would read it."""
        return {}

    def normalised(self) -> dict[str, Any]:
        """Options that were given as text and are used as numbers, as numbers."""
        return {}

    def defaults(self) -> Mapping[str, Choice]:
        """The default of every option for which None stands for one."""
        return {}

    def __post_init__(self) -> None:
        """Check the values one by one, then together; ``InputError`` names every fault found."""
        faults = []
        for check in self.checks():
            try:
                check()
            except InputError as error:
                faults.append(str(error))
        if not faults:
            unread = self.unread()
            for option in fields(self):
                value = getattr(self, option.name)
                if option.name in unread and value != default_of(option):
                    reader = unread[option.name]
                    words = reader if isinstance(reader, str) else reader()
                    faults.append(f"`{option.name}` {value}: is for {words}; leave it out")
            faults += self.contradictions()
        if faults:
            raise InputError("; ".join(faults))


ConfigT = TypeVar("ConfigT", bound=OptionGroup)


def resolve(config: ConfigT) -> tuple[ConfigT, tuple[str, ...]]:
    """Fill in the options of a configuration that are None and have a default; a complete one stays as it is.

    The second result is one sentence for each reason, with the defaults that follow from it.
    """
    chosen, by_reason = config.normalised(), dict[str, list[str]]()
    for name, (value, reason) in config.defaults().items():
        if getattr(config, name) is None:
            chosen[name] = value
            by_reason.setdefault(reason, []).append(f"{name} {value}")
    return replace(config, **chosen), tuple(f"by default {', '.join(them)}: {why}" for why, them in by_reason.items())
