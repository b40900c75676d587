from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from features.bank import SUFFIXES
from features.infrastructure.errors import InputError
from features.infrastructure.options import LARGEST_SEED, Machine, Range, check_ranges
from features.infrastructure.storage.addresses import located
from similarity import MEASURES
from similarity.measures import DEFAULT_MEASURE, measure_names
from transfer.measure_table import LONGEST, require_one, show_measures
from transfer.screen import console, say, show_next
from transfer.typed_command import short_name, spec_of_test, typed_command

if TYPE_CHECKING:
    from transfer.model_ranking import ModelRanking


@dataclass(frozen=True, kw_only=True)
class RankModelsConfig(Machine):
    """Rank pre-trained models for a target by a measure of transferability, best first.

    Attributes:
        target: Dataset spec of the target's training images.
        model: Backbones or run directories, each with its weights if these are not the default: resnet50,
            resnet18:none, runs/pre, hf-hub:OWNER/NAME.
        measures: Measures to take; by default all that compare models: see transfer inspect measures.
        by: The measure that orders the models; by default linear-probe, or the first of `measures`.
        test: Dataset spec of the target's test images; the table then holds the accuracy that a linear probe on each
            model reaches there.
        cache: Folder of the target's feature banks, one per model; they are reused.
        seed: Seed of the measures, and of random weights.
    """

    target: str
    model: list[str]
    measures: list[str] = field(default_factory=list)
    by: str | None = None
    test: str | None = None
    cache: str = "banks/zoo"
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.model:
            raise InputError("missing: `model`")
        if twice := [name for name in self.model if self.model.count(name) > 1]:
            raise InputError(f"`model` {twice[0]}: is given twice; leave one out")
        if located(self.target).suffix in SUFFIXES:
            raise InputError(
                f"`target` {self.target}: is a bank, whose features come from one model; give the dataset spec of the "
                f"target's training images"
            )
        names = measure_names(self.measures)
        of_sources = [name for name in names if MEASURES[name].compares == "sources"]
        if of_sources and "all" not in self.measures:
            raise InputError(
                f"`measures` {of_sources[0]}: compares sources, not models; leave it out, or use: transfer rank"
            )
        if self.by is not None:
            measure_names([self.by], "by")
            if self.by not in (names or MEASURES):
                raise InputError(f"`by` {self.by}: is not one of `measures` {' '.join(self.measures) or 'all'}")
            if MEASURES[self.by].compares == "sources":
                raise InputError(f"`by` {self.by}: compares sources, not models")

    @property
    def taken(self) -> list[str]:
        """The measures to take."""
        if self.measures and "all" not in self.measures:
            return measure_names(self.measures)
        return [name for name, one in MEASURES.items() if one.compares != "sources"]

    @property
    def order(self) -> str:
        """The measure that orders the models."""
        return self.by or (DEFAULT_MEASURE if DEFAULT_MEASURE in self.taken else self.taken[0])


def rank_models(config: RankModelsConfig) -> ModelRanking:
    """Rank models for a target; see :func:`transfer.model_ranking.measure_models`.

    Raises:
        InputError: A model or a dataset cannot be opened, or no measure could be taken.
    """
    from transfer.model_ranking import measure_models  # imports PyTorch

    ranking = measure_models(config)
    require_one([candidate.measures for candidate in ranking.candidates])
    return ranking


def show(config: RankModelsConfig, result: ModelRanking) -> None:
    """Print every measure of every model, and the command that follows."""
    say(f"models for {result.target}, by {result.by}\n")
    tested = [candidate.top1 for candidate in result.candidates if candidate.top1 is not None]
    more = {"test top-1": tested} if tested else {}
    names = [candidate.model for candidate in result.candidates]
    numbered = sum(map(len, names)) > 2 * LONGEST
    heads = [f"model {number}" for number in range(1, len(names) + 1)] if numbered else names
    show_measures(heads, [candidate.measures for candidate in result.candidates], result.agreement, more)
    for head, name in zip(heads, names, strict=True) if numbered else ():
        say(f"{head}: {name}")
    if not config.measures or "all" in config.measures:
        others = ", ".join(name for name, one in MEASURES.items() if one.compares == "sources")
        say(f"not taken: {others}: these compare sources, not models")
    if tested:
        agreement = "; agreement: Kendall's weighted τ of each measure with it" if result.agreement else ""
        console.print(f"\ntest top-1: accuracy of a linear probe{agreement}")
    best = result.candidates[0]
    test, out = config.test or spec_of_test(config.target), f"runs/{short_name(config.target)}"
    given = {"dataset": config.target, "init": best.name, "weights": best.weights, "test": test, "out": out}
    show_next(typed_command("finetune", given))
