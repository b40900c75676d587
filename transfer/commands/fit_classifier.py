from finetune import FitClassifierConfig, fit_classifier
from transfer.commands.finetune import show

__all__ = ["FitClassifierConfig", "fit_classifier", "show"]
