"""The person's side: commands, recipes, the whole job, reports.

Names are imported when they are first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "Arm": "recipe",
    "DemoConfig": "demonstration",
    "Experiment": "pipeline",
    "InspectConfig": "inspection",
    "RankConfig": "commands",
    "Recipe": "recipe",
    "ReportConfig": "reporting",
    "RunConfig": "pipeline",
    "SelectConfig": "commands",
    "demo": "demonstration",
    "inspect": "inspection",
    "rank": "commands",
    "report": "reporting",
    "run": "pipeline",
    "select": "commands",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
