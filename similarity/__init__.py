"""Class statistics in, decisions out: which source domains and classes resemble a target."""

from similarity.curve import SelectionCurve, selection_curves, write_curves
from similarity.geometry import DEFAULT_GEOMETRY, GEOMETRIES, Geometry, fit_geometry
from similarity.pool import STRATEGIES, class_scores
from similarity.ranking import Domain, Ranking, rank_domains
from similarity.selection import DEFAULT_STRATEGY, select_classes
from similarity.subset import Subset, SubsetRow
from similarity.transport import TransportResult, emd, similarity

__all__ = [
    "DEFAULT_GEOMETRY",
    "DEFAULT_STRATEGY",
    "GEOMETRIES",
    "STRATEGIES",
    "Domain",
    "Geometry",
    "Ranking",
    "SelectionCurve",
    "Subset",
    "SubsetRow",
    "TransportResult",
    "class_scores",
    "emd",
    "fit_geometry",
    "rank_domains",
    "select_classes",
    "selection_curves",
    "similarity",
    "write_curves",
]
