from features import MergeConfig, merge
from transfer.commands.extract import show

__all__ = ["MergeConfig", "merge", "show"]
