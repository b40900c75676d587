"""What a page shows of results that are too many for it, and a sentence on what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfer.intervals import Estimate
from transfer.plots.style import COLOURS, LINES

#: What a page of results shows: arms, runs of each, sources, and notes on what is not at hand.
ARMS, RUNS, SOURCES, NOTES = 60, 50, 60, 20
#: Feature banks: a plot has as many kinds of lines.
BANKS = len(COLOURS) * len(LINES)
#: Chosen classes of an arm that a page names, and of all arms.
CLASSES, ALL_CLASSES = 200, 6000
#: Characters of a recipe or a configuration that a page shows.
_TEXT = 100_000


def of_arms(arms: Sequence[Mapping[str, Any]], accuracy: Mapping[str, Estimate]) -> list[Mapping[str, Any]]:
    """The :data:`ARMS` most accurate arms in the order in which they were given, each with the first of its runs.

    Args:
        arms: Mappings with ``arm``, the name, and ``runs``.
        accuracy: Arm → its accuracy.
    """
    kept = {arm["arm"] for arm in sorted(arms, key=lambda arm: -accuracy[arm["arm"]].value)[:ARMS]}
    return [{**arm, "runs": arm["runs"][:RUNS]} for arm in arms if arm["arm"] in kept]


def say_shown(which: str, shown: int, number: int, what: str, where: str = "result.json") -> str:
    """A sentence on an excerpt, which says ``where`` the rest stands; empty if it shows everything.

    >>> say_shown("most accurate", 60, 3000, "arms")
    'The most accurate 60 of 3,000 arms are shown; all stand in result.json.'
    """
    return f"The {which} {shown} of {number:,} {what} are shown; all stand in {where}." if shown < number else ""


def of_notes(notes: Sequence[str]) -> list[str]:
    """The first :data:`NOTES` notes, and how many there are besides."""
    more = len(notes) - NOTES
    return [*notes[:NOTES], *([f"{more:,} more notes of this kind are left out."] if more > 0 else [])]


def of_text(text: str, file: str) -> str:
    """The beginning of the lines of a long text, and where the rest stands."""
    if len(text) <= _TEXT:
        return text
    lines = text[:_TEXT].rpartition("\n")[0] or text[:_TEXT]
    return f"{lines}\n# {len(text) - len(lines):,} more characters stand in {file}\n"
