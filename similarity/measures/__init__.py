"""Measures of transferability, computed from stored features.

Each measure is a pure function of arrays and a :class:`Measure` row in the same module; :data:`MEASURES` collects the
rows, and :func:`measure` computes them from an :class:`Evidence`. No measure is best in every large comparison, so
baselines are among them.
"""

from similarity.measures.accuracy import knn_accuracy, linear_probe
from similarity.measures.agreement import rank_correlation
from similarity.measures.catalogue import (
    MEASURES,
    Measure,
    Score,
    Unmeasured,
    measure,
    measure_names,
    reasons,
    values,
)
from similarity.measures.coding_rate import transrate
from similarity.measures.dataset_transport import label_distances, otdd
from similarity.measures.discriminability import h_score
from similarity.measures.evidence import Evidence, side_by_side
from similarity.measures.gaussian import frechet, total_moments
from similarity.measures.kernel import median_distance, mmd
from similarity.measures.marginal_likelihood import logme
from similarity.measures.overlap import gbc, principal_gaussians
from similarity.measures.source_classifier import source_posterior
from similarity.measures.source_labels import leep, nce

__all__ = [
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
