from .commands import RankConfig, SelectConfig, rank, select
from .comparison import CompareConfig, compare
from .demonstration import DemoConfig, demo
from .inspection import InspectConfig, inspect
from .pipeline import Experiment, RunConfig, run
from .recipe import Arm, Recipe
from .reporting import ReportConfig, report

__all__ = [
    "Arm",
    "CompareConfig",
    "DemoConfig",
    "Experiment",
    "InspectConfig",
    "RankConfig",
    "Recipe",
    "ReportConfig",
    "RunConfig",
    "SelectConfig",
    "compare",
    "demo",
    "inspect",
    "rank",
    "report",
    "run",
    "select",
]
