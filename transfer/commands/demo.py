from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from similarity import STRATEGIES
from transfer.arm import SCRATCH
from transfer.arm_comparison import ArmComparison, compare_arms, listed
from transfer.commands.run import RunConfig, run, show_arms, show_duration
from transfer.intervals import Estimate, percent, points
from transfer.screen import console, say, show_next, show_page

if TYPE_CHECKING:
    from transfer.pipeline import Experiment

RECIPE = Path(__file__).parents[1] / "demo.yaml"
#: The arm whose classes are chosen at random.
_RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Run the whole job on embedded data, offline: from printed characters of many scripts to handwritten digits.

    Attributes:
        out: Directory of the results.
    """

    out: str = "runs/demo"


def demo(config: DemoConfig) -> Experiment:
    """Run the demo's recipe."""
    with one_thread():
        return run(RunConfig(recipe=str(RECIPE), out=config.out))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: the network of the demo is so small that a second thread costs more than it does."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def show(config: DemoConfig, result: Experiment) -> None:
    """Print the accuracy of each arm, what was seen and how sure it is, and the commands that follow."""
    show_arms(result.content)
    console.print()
    for sentence in sentences(result.content):
        say(sentence)
    show_duration(result.content)
    show_page(result.content["report"])
    show_next("transfer try PHOTOS/    (a folder of class folders)")


def sentences(content: Mapping[str, Any]) -> list[str]:
    """Three sentences: what pre-training gives, what choosing the classes gives, and which arms are tied.

    Args:
        content: The results of the demo's recipe.
    """
    arms = {arm["arm"]: arm for arm in content["arms"]}
    whole = compare_arms(list(arms.values()))
    chosen = [name for name, arm in arms.items() if arm["strategy"] and not _takes_no_choice(arm["strategy"])]
    best = max(chosen, key=lambda name: whole.accuracy[name].value)
    one, other = compare_arms([arms[best], arms[_RANDOM]]), compare_arms([arms[whole.best], arms[SCRATCH]])
    return [_pretraining(other, whole.seeds), _choosing(one, best), _ties(whole)]


def _takes_no_choice(strategy: str) -> bool:
    return strategy == _RANDOM or STRATEGIES[strategy].takes_all


def _pretraining(found: ArmComparison, seeds: int) -> str:
    """The best arm beside training on the target alone."""
    own, alone = (f"{percent(found.accuracy[name].value)} %" for name in (found.best, SCRATCH))
    if found.best == SCRATCH:
        return (
            f"Pre-training did not help: {SCRATCH}, trained on the target alone, is right on {own} of the test images."
        )
    shown = f"{seeds} seeds do not show that pre-training helps" if found.tied else "pre-training helps"
    return (
        f"{found.best} is right on {own} of the test images, and {SCRATCH}, trained on the target alone, on {alone}: a "
        f"lead of {_points(found.lead[SCRATCH])}, so {shown}."
    )


def _choosing(found: ArmComparison, chosen: str) -> str:
    """The best choice of classes beside as many at random."""
    other = _RANDOM if found.best == chosen else chosen
    gap = _points(found.lead[other])
    if found.tied:
        return f"It is not sure that choosing the classes beats chance: {found.best} leads {other} by {gap}."
    worth = "is worth it" if found.best == chosen else "does harm here"
    return f"Choosing the classes {worth}: {found.best} leads {other} by {gap}."


def _ties(found: ArmComparison) -> str:
    """The arms that the runs do not tell from the best."""
    if not found.tied:
        return f"{found.best} leads every other arm by more than the runs vary with the seed."
    return (
        f"{found.best} is tied with {listed(found.tied)}: {found.seeds} seeds, compared in pairs, do not tell these "
        f"arms apart; more seeds narrow the intervals."
    )


def _points(gap: Estimate) -> str:
    return f"{percent(gap.value)} points (95 % interval {points(gap.low)} to {points(gap.high)})"
