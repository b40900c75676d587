from .clustering import ClusterConfig, Clustering, cluster
from .curve import SelectionCurve, selection_curves, write_curves
from .duplicates import Duplicate, Duplicates, DuplicatesConfig, find_duplicates
from .explanation import ExplanationRow, explain, write_explanation
from .geometry import DEFAULT_GEOMETRY, GEOMETRIES, Geometry, fit_geometry
from .measures import MEASURES, Evidence, Measure, measure
from .pool import STRATEGIES, class_scores
from .ranking import Domain, Ranking, rank_domains
from .selection import DEFAULT_STRATEGY, select_classes
from .stability import ClassStability, SelectionStability, selection_stability
from .subset import Subset, SubsetRow
from .transport import TransportResult, emd, similarity

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
