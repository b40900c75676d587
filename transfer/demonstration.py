"""The demo: the whole job on data that the installed packages carry, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from transfer.pipeline import Experiment, RunConfig, run

RECIPE = Path(__file__).with_name("demo.yaml")


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Glyphs of many scripts to handwritten digits: the whole job on embedded data, offline.

    Attributes:
        out: Directory of everything that is made.
    """

    out: str = "runs/demo"


def demo(config: DemoConfig) -> Experiment:
    """Run the demo's recipe."""
    # Its network is so small that handing work to a second thread costs more than the work.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(RunConfig(recipe=str(RECIPE), out=config.out))
    finally:
        torch.set_num_threads(threads)
