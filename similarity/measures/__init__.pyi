from .accuracy import knn_accuracy, linear_probe
from .agreement import rank_correlation
from .catalogue import (
    DEFAULT_MEASURE,
    MEASURES,
    Measure,
    Score,
    Unmeasured,
    measure,
    measure_names,
    reasons,
    values,
)
from .coding_rate import transrate
from .dataset_transport import label_distances, otdd
from .discriminability import h_score
from .evidence import Evidence, side_by_side
from .gaussian import frechet, total_moments
from .kernel import median_distance, mmd
from .marginal_likelihood import logme
from .overlap import gbc, principal_gaussians
from .source_classifier import source_posterior
from .source_labels import leep, nce

__all__ = [
    "DEFAULT_MEASURE",
    "MEASURES",
    "Evidence",
    "Measure",
    "Score",
    "Unmeasured",
    "frechet",
    "gbc",
    "h_score",
    "knn_accuracy",
    "label_distances",
    "leep",
    "linear_probe",
    "logme",
    "measure",
    "measure_names",
    "median_distance",
    "mmd",
    "nce",
    "otdd",
    "principal_gaussians",
    "rank_correlation",
    "reasons",
    "side_by_side",
    "source_posterior",
    "total_moments",
    "transrate",
    "values",
]
