from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer.commands.run import RunConfig, run, show
from transfer.pipeline import Experiment

__all__ = ["DemoConfig", "demo", "show"]

RECIPE = Path(__file__).parents[1] / "demo.yaml"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Run the whole job on embedded data, offline: from printed characters of many scripts to handwritten digits.

    Attributes:
        out: Directory of the results.
    """

    out: str = "runs/demo"


def demo(config: DemoConfig) -> Experiment:
    """Run the demo's recipe."""
    import torch

    # The network is so small that a second thread costs more than it does.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(RunConfig(recipe=str(RECIPE), out=config.out))
    finally:
        torch.set_num_threads(threads)
