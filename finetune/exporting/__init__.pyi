from .export import Export, Exported, export_classifier, format_of
from .format import FORMATS

__all__ = ["FORMATS", "Export", "Exported", "export_classifier", "format_of"]
