"""The keys of a recipe and of its arms, a row each: for the screen and for the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from features.infrastructure.options import default_of, ranges_of
from transfer.arm import Arm
from transfer.command_line import field_docs, in_words
from transfer.recipe import Recipe


@dataclass(frozen=True)
class RecipeKey:
    """One key.

    Attributes:
        name: As it is typed.
        takes: What it takes, in words.
        ranges: The ranges of its number.
        default: Its default; ``MISSING`` if it is required.
        meaning: What it says.
    """

    name: str
    takes: str
    ranges: tuple[str, ...]
    default: Any
    meaning: str

    def facts(self, mark: str = "") -> str:
        """What it takes, its ranges and its default between two marks, with commas between them."""
        found = [self.takes, *self.ranges]
        if self.default is MISSING:
            found.append("required")
        elif self.default not in (None, [], {}):
            found.append(f"default {mark}{self.default}{mark}")
        return ", ".join(found)


def _keys(config: type) -> tuple[RecipeKey, ...]:
    docs, hints = field_docs(config), get_type_hints(config, include_extras=True)
    plain = get_type_hints(config)
    return tuple(
        RecipeKey(
            option.name,
            in_words(plain[option.name]),
            tuple(map(str, ranges_of(hints[option.name]))),
            default_of(option),
            docs[option.name],
        )
        for option in fields(config)
    )


#: What has keys → its keys, in the order of the reference.
RECIPE_KEYS: Mapping[str, tuple[RecipeKey, ...]] = {"recipe": _keys(Recipe), "arm": _keys(Arm)}


def recipe_key_meanings() -> dict[str, str]:
    """Every key with its meaning and what it takes; those of an arm stand below ``arms: NAME:``.

    >>> recipe_key_meanings()["arms: NAME: classes"]
    "Classes to choose, instead of the recipe's number (a whole number, at least 1 and at most 1e+12)"
    """
    prefixes = {"recipe": "", "arm": "arms: NAME: "}
    return {
        f"{prefixes[part]}{key.name}": f"{key.meaning.rstrip('.')} ({key.facts()})"
        for part, keys in RECIPE_KEYS.items()
        for key in keys
    }
