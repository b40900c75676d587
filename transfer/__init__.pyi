from .arm_comparison import ArmComparison, compare_arms
from .class_map import map_classes
from .commands.compare import CompareConfig, compare
from .commands.demo import DemoConfig, demo
from .commands.export import ExportConfig, export
from .commands.inspect import InspectConfig, inspect
from .commands.rank import RankConfig, rank
from .commands.rank_models import RankModelsConfig, rank_models
from .commands.report import ReportConfig, report
from .commands.run import RunConfig, run
from .commands.select import SelectConfig, select
from .pipeline import Experiment
from .recipe import Arm, Recipe

__all__ = [
    "Arm",
    "ArmComparison",
    "CompareConfig",
    "DemoConfig",
    "Experiment",
    "ExportConfig",
    "InspectConfig",
    "RankConfig",
    "RankModelsConfig",
    "Recipe",
    "ReportConfig",
    "RunConfig",
    "SelectConfig",
    "compare",
    "compare_arms",
    "demo",
    "export",
    "inspect",
    "map_classes",
    "rank",
    "rank_models",
    "report",
    "run",
    "select",
]
