"""What an arm of a recipe does with the classes that it chooses, one row each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """One use of a choice.

    Attributes:
        name: What the user types.
        meaning: One line that says what is done with the chosen classes.
        trainings: Pre-trainings of an arm and a seed, those that other arms share included.
        halved: Whether it pre-trains on all classes for half of the steps.
        of_all: Whether it draws from all classes, so that the choice has no size.
        options: Options of an arm that this use alone reads.
        phrase: Describes an arm in reports; a format string of ``chosen``, the choice in words, and ``name`` and
            ``geometry`` of the strategy.
    """

    name: str
    meaning: str
    trainings: int = 1
    halved: bool = False
    of_all: bool = False
    options: frozenset[str] = frozenset()
    phrase: str = "{chosen}"


#: Every use by name.
USES = {
    use.name: use
    for use in (
        Use("subset", "pre-train on the chosen classes"),
        Use(
            "continued",
            "pre-train on all classes for half of the steps, then on the chosen ones",
            trainings=2,
            halved=True,
            phrase="{chosen}; continued after half of the steps on all",
        ),
        Use(
            "weighted",
            "pre-train on all classes, drawn by the share of the target that each serves",
            of_all=True,
            options=frozenset({"floor"}),
            phrase="all, drawn by {name}, {geometry}",
        ),
        Use(
            "co-trained",
            "pre-train on all classes for half of the steps, then fine-tune to the target and the chosen classes",
            halved=True,
            options=frozenset({"with_weight"}),
            phrase="{chosen}; co-trained after half of the steps on all",
        ),
    )
}
