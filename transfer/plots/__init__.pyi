from .accuracies import arms_plot, classes_plot, models_plot
from .choice import curve_plot, map_plot, shares_plot
from .class_sizes import counts_plot
from .confusion import confusion_plot
from .distances import domains_plot
from .images import contact_sheet, examples
from .training import history_plot

__all__ = [
    "arms_plot",
    "classes_plot",
    "confusion_plot",
    "contact_sheet",
    "counts_plot",
    "curve_plot",
    "domains_plot",
    "examples",
    "history_plot",
    "map_plot",
    "models_plot",
    "shares_plot",
]
