"""The geometries by their steps; :func:`similarity.geometry.whitening_factor` says how points are whitened."""

from similarity.geometry import GeometryRow

EUCLIDEAN = GeometryRow("euclidean", "the raw means, as in the paper")
COSINE = GeometryRow("cosine", "means scaled to length 1", unit_length=True)
CENTRED = GeometryRow(
    "centred", "the mean over all source classes subtracted, then scaled to length 1", centre=True, unit_length=True
)
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
