"""``transfer fit-classifier``: fit a classifier to the frozen features of a backbone."""

from __future__ import annotations

from finetune import FitClassifierConfig, fit_classifier
from transfer.commands.finetune import show

__all__ = ["FitClassifierConfig", "fit_classifier", "show"]
