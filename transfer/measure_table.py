"""A table of measures of transferability on the screen: one measure a row, one candidate a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.infrastructure.errors import InputError, as_typed
from similarity import MEASURES
from similarity.measures import Score, Unmeasured, reasons
from transfer.screen import console, say, show_table

#: Longest name of a candidate that heads a column; where there are longer ones, all are numbered.
LONGEST = 24

Measured = Mapping[str, Score | Unmeasured]


def require_one(taken: Sequence[Measured]) -> None:
    """Raise `InputError` if there are measures to take and none of them could be taken."""
    missing = reasons(taken)
    if missing and all(isinstance(one, Unmeasured) for row in taken for one in row.values()):
        name, reason = next(iter(missing.items()))
        raise InputError(f"`measures` {name}: {reason}")


def show_measures(
    heads: Sequence[str],
    taken: Sequence[Measured],
    agreement: Mapping[str, float] | None = None,
    more: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Print the values with the best of each row marked, then the measures that could not be taken, and why.

    Args:
        heads: Name of each candidate.
        taken: Measures of each candidate.
        agreement: Kendall's weighted τ of each measure with the accuracy, a column of its own; empty for none.
        more: Further rows, name → one value a candidate, of which a higher one is better.
    """
    rows = []
    for name in taken[0]:
        values = [one.value if isinstance(one := row[name], Score) else None for row in taken]
        known = [value for value in values if value is not None]
        if known:
            direction = MEASURES[name].direction
            best = (min if direction == "lower" else max)(known) if len(set(known)) > 1 else None
            cells = ["–" if value is None else f"{value:.5g}{'*' if value == best else ' '}" for value in values]
            tau = () if not agreement else (f"{agreement[name]:.2f}" if name in agreement else None,)
            rows.append((name, *tau, *cells, direction))
    for name, numbers in (more or {}).items():
        rows.append((name, *(() if not agreement else (None,)), *(f"{value:.5g} " for value in numbers), "higher"))
    tau_head = [">agreement"] if agreement else []
    show_table(["measure", *tau_head, *(f">{head}" for head in heads), "better"], rows)
    if any("*" in cell for row in rows for cell in row[1:-1] if cell):
        console.print("* the best of its row")
    missing = reasons(taken)
    for reason in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, why in missing.items() if why == reason)
        say(f"not taken: {names}: {as_typed(reason)}")
