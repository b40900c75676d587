"""Geometries that do without the covariance of the features."""

from similarity.geometry import GeometryRow

EUCLIDEAN = GeometryRow("euclidean", "the raw means, as in the paper")
COSINE = GeometryRow("cosine", "means scaled to length 1", unit_length=True)
CENTRED = GeometryRow(
    "centred", "the mean over all source classes subtracted, then scaled to length 1", centre=True, unit_length=True
)
