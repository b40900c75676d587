"""What an arm of a recipe does with the classes that it chooses, one row each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """One use of a choice.

    Attributes:
        name: What the user types.
        meaning: One line that says what is done with the chosen classes.
        pretrain_by: The option of transfer pretrain that takes the subset file; None if no pre-training reads it.
        finetune_by: The same of transfer finetune.
        halved: Whether it pre-trains on all classes for half of the steps first.
        of_all: Whether it draws from all classes, so that the choice has no size.
        options: Options of an arm that this use alone reads: those of the step that takes the subset file.
        phrase: Describes an arm in reports; a format string of ``chosen``, the choice in words, and ``name`` and
            ``geometry`` of the strategy.
        subject: Describes an arm as the subject of a sentence; a format string of ``classes``, the chosen classes in
            words, and ``how``, such as ``by nearest``.
    """

    name: str
    meaning: str
    pretrain_by: str | None = "subset"
    finetune_by: str | None = None
    halved: bool = False
    of_all: bool = False
    options: frozenset[str] = frozenset()
    phrase: str = "{chosen}"
    subject: str = "Pre-training on {classes}"

    @property
    def trainings(self) -> int:
        """Pre-trainings of an arm and a seed, those that other arms share included."""
        return self.halved + (self.pretrain_by is not None)


#: Every use by name.
USES = {
    use.name: use
    for use in (
        Use("subset", "pre-train on the chosen classes"),
        Use(
            "continued",
            "pre-train on all classes for half of the steps, then on the chosen ones",
            halved=True,
            phrase="{chosen}; continued after half of the steps on all",
            subject="Pre-training on all source classes, continued on {classes},",
        ),
        Use(
            "weighted",
            "pre-train on all classes, drawn by the share of the target that each serves",
            pretrain_by="class_weights",
            of_all=True,
            options=frozenset({"floor"}),
            phrase="all, drawn by {name}, {geometry}",
            subject="Pre-training on all source classes, weighted {how},",
        ),
        Use(
            "co-trained",
            "pre-train on all classes for half of the steps, then fine-tune to the target and the chosen classes",
            pretrain_by=None,
            finetune_by="with_",
            halved=True,
            options=frozenset({"with_weight"}),
            phrase="{chosen}; co-trained after half of the steps on all",
            subject="Pre-training on all source classes, then co-training on {classes},",
        ),
    )
}
