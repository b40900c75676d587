"""An arm of a recipe: one answer to the question which source classes to pre-train on, and how to use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from features.infrastructure.errors import InputError
from features.infrastructure.options import MOST_CLASSES, Range, check_ranges
from features.infrastructure.suggestions import choice
from finetune import FinetuneConfig, PretrainConfig
from similarity import DEFAULT_GEOMETRY, DEFAULT_STRATEGY, GEOMETRIES, STRATEGIES
from similarity.selection.strategy import with_shares
from transfer.command_line import from_mapping
from transfer.uses import USES, Use

#: Name of the arm that is trained on the target alone: the only one whose options may be empty.
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One answer to the question of an experiment.

    An arm makes use of classes chosen by its strategy, or starts from a published backbone, or both: the published
    backbone is trained on the choice before it is fine-tuned. With neither, the target alone is trained on.

    Attributes:
        strategy: How source classes are chosen; None for no source.
        use: What is done with the choice; see transfer inspect uses.
        geometry: Ground metric of the choice.
        classes: Classes to choose, instead of the recipe's number.
        drop: Classes to leave out, instead of a number to choose.
        floor: With use weighted, share of the images that are drawn from all classes whatever their weight.
        with_weight: With use co-trained, λ of the loss L = L_target + λ·L_source.
        init: The backbone to start from with its published weights: to fine-tune, or first to pre-train on the choice.
        finetune: Options of the last step for this arm, in place of the recipe's `finetune`.
    """

    strategy: str | None = None
    use: str = "subset"
    geometry: str = DEFAULT_GEOMETRY
    classes: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    drop: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    floor: Annotated[float, Range(0, 1, below=True)] = PretrainConfig.floor
    with_weight: Annotated[float, Range(0, above=True)] = FinetuneConfig.with_weight
    init: str | None = None
    finetune: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.strategy is not None:
            STRATEGIES.find(self.strategy)
        GEOMETRIES.find(self.geometry)
        if self.use not in USES:
            raise InputError(f"`use` {self.use}: there is no such use; {choice(self.use, USES)}")
        faults = [*self._without_effect(), *self._size_faults()]
        if faults:
            raise InputError("; ".join(faults))

    @property
    def how(self) -> Use:
        """The row of the use."""
        return USES[self.use]

    def _without_effect(self) -> Iterator[str]:
        """One sentence for each option that this arm does not read."""
        readers = {option: use.name for use in USES.values() for option in use.options - self.how.options}
        for name in (*readers, "use", "classes", "drop", "geometry"):
            value = getattr(self, name)
            if value == getattr(Arm, name):
                continue
            if name in readers:
                yield f"`{name}` {value}: is for `use` {readers[name]}; leave it out"
            elif self.strategy is None:
                yield f"`{name}` {value}: is for an arm that chooses; give it a `strategy`, such as {DEFAULT_STRATEGY}"

    def _size_faults(self) -> Iterator[str]:
        """One sentence for each size of the choice that does not fit."""
        sizes = [name for name in ("classes", "drop") if getattr(self, name) is not None]
        if len(sizes) > 1:
            yield "`classes` and `drop` both set the size of the choice: give one"
        if self.strategy is None:
            return
        row = STRATEGIES[self.strategy]
        if sizes and self.how.of_all:
            yield f"`{sizes[0]}`: is not for `use` {self.use}, which draws from all classes; leave it out"
        elif sizes and row.takes_all:
            yield f"`{sizes[0]}`: `strategy` {row.name} takes every class; leave it out"
        if self.how.of_all and not row.has_shares:
            yield f"`use` {self.use}: {row.without_shares()}; give one of the strategies {with_shares()}"

    def size(self, classes: int | None) -> dict[str, Any]:
        """Options of transfer select for the size of the choice; ``classes`` is the recipe's number, if it has one."""
        if self.strategy is None or STRATEGIES[self.strategy].takes_all:
            return {}
        if self.how.of_all:
            return {"coverage": 1.0}
        if self.drop is not None:
            return {"drop": self.drop}
        number = self.classes or classes
        return {} if number is None else {"classes": number}

    def pretraining(self, file: str) -> dict[str, Any]:
        """Options of transfer pretrain for the subset file of the choice; empty if no pre-training reads it."""
        return self._reading(self.how.pretrain_by, file)

    def tuning(self, file: str) -> dict[str, Any]:
        """Options of transfer finetune for the subset file of the choice; empty if fine-tuning does not read it."""
        return self._reading(self.how.finetune_by, file)

    def _reading(self, option: str | None, file: str) -> dict[str, Any]:
        """The options of a step that takes the subset file by ``option``, if it does."""
        if option is None:
            return {}
        return {option: file} | {name: getattr(self, name) for name in sorted(self.how.options)}

    def describe(self, classes: int | None) -> str:
        """What an arm pre-trains on, in a few words; ``classes`` is the recipe's number of them, if it has one."""
        if self.strategy is None:
            return f"none: {self.init} as published" if self.init else "none: from scratch"
        row = STRATEGIES[self.strategy]
        number = self.classes or classes or "as many as serve it" if self.drop is None else f"all but {self.drop}"
        chosen = row.describe(number, self.geometry)
        described = self.how.phrase.format(chosen=chosen, name=row.name, geometry=self.geometry)
        return f"{described}; from {self.init} as published" if self.init else described

    def subject(self, classes: int | None) -> str:
        """An arm as the subject of a sentence; ``classes`` is the recipe's number of them, if it has one."""
        if self.strategy is None:
            return f"Starting from {self.init} as published" if self.init else "Training on the target alone"
        how, number = "at random" if self.strategy == "random" else f"by {self.strategy}", self.classes or classes
        if STRATEGIES[self.strategy].takes_all:
            chosen = "all source classes"
        elif self.drop is not None:
            chosen = f"all source classes but {self.drop:,}, left out {how}"
        else:
            chosen = f"{'the' if number is None else f'{number:,}'} class{'' if number == 1 else 'es'} chosen {how}"
        found = self.how.subject.format(classes=chosen, how=how)
        return f"{found.rstrip(',')}, from {self.init} as published," if self.init else found


def arm_of(given: Mapping[str, Any]) -> Arm:
    """An arm of a recipe as it was run; earlier versions had fewer options. Raises ``InputError`` for a wrong value."""
    return from_mapping(Arm, {option.name: given[option.name] for option in fields(Arm) if option.name in given}, "arm")
