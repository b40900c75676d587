from .clustering import ClusterConfig, Clustering, cluster
from .copies.duplicates import Duplicate, Duplicates, DuplicatesConfig, find_duplicates
from .geometry import DEFAULT_GEOMETRY, GEOMETRIES, Geometry, GeometryRow, fit_geometry
from .measures import MEASURES, Evidence, Measure, measure
from .ranking.domain import Domain, Ranking
from .ranking.domains import rank_domains
from .ranking.explanation import ExplanationRow, explain, write_explanation
from .selection.choosing import select_classes
from .selection.curve import SelectionCurve, selection_curves, write_curves
from .selection.influence import by_influence
from .selection.pool import class_scores
from .selection.stability import ClassStability, SelectionStability, selection_stability
from .selection.strategy import DEFAULT_STRATEGY, STRATEGIES, Strategy
from .selection.subset import Subset, SubsetRow
from .transport.earth_movers_distance import TransportResult, emd, similarity

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
    "GeometryRow",
    "Measure",
    "Ranking",
    "SelectionCurve",
    "SelectionStability",
    "Strategy",
    "Subset",
    "SubsetRow",
    "TransportResult",
    "by_influence",
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
