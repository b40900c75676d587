"""Geometries that whiten by the within-class covariance: see :func:`similarity.geometry.whitening_factor`."""

from similarity.geometry import GeometryRow

WHITENED = GeometryRow(
    "whitened",
    "centred, whitened by the within-class covariance, then scaled to length 1",
    centre=True,
    whiten=True,
    unit_length=True,
)
SQRT_WHITENED = GeometryRow(
    "sqrt-whitened",
    "the square root of the means first, if the features are rectified; then whitened",
    square_root=True,
    centre=True,
    whiten=True,
    unit_length=True,
)
