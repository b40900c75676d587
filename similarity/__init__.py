"""Class statistics in, decisions out: which source domains and classes resemble a target."""

from similarity.clustering import ClusterConfig, Clustering, cluster
from similarity.curve import SelectionCurve, selection_curves, write_curves
from similarity.duplicates import Duplicate, Duplicates, DuplicatesConfig, find_duplicates
from similarity.explanation import ExplanationRow, explain, write_explanation
from similarity.geometry import DEFAULT_GEOMETRY, GEOMETRIES, Geometry, fit_geometry
from similarity.measures import MEASURES, Evidence, Measure, measure
from similarity.pool import STRATEGIES, class_scores
from similarity.ranking import Domain, Ranking, rank_domains
from similarity.selection import DEFAULT_STRATEGY, select_classes
from similarity.stability import ClassStability, SelectionStability, selection_stability
from similarity.subset import Subset, SubsetRow
from similarity.transport import TransportResult, emd, similarity

__all__ = [
    "DEFAULT_GEOMETRY",
    "DEFAULT_STRATEGY",
    "GEOMETRIES",
    "MEASURES",
    "STRATEGIES",
    "ClassStability",
    "ClusterConfig",
    "Clustering",
    "Domain",
    "Duplicate",
    "Duplicates",
    "DuplicatesConfig",
    "Evidence",
    "ExplanationRow",
    "Geometry",
    "Measure",
    "Ranking",
    "SelectionCurve",
    "SelectionStability",
    "Subset",
    "SubsetRow",
    "TransportResult",
    "class_scores",
    "cluster",
    "emd",
    "explain",
    "find_duplicates",
    "fit_geometry",
    "measure",
    "rank_domains",
    "select_classes",
    "selection_curves",
    "selection_stability",
    "similarity",
    "write_curves",
    "write_explanation",
]
