"""Trained classifiers in the formats that other programs run or load."""

from finetune.exporting.export import Export, Exported, export_classifier, format_of
from finetune.exporting.format import FORMATS

__all__ = ["FORMATS", "Export", "Exported", "export_classifier", "format_of"]
