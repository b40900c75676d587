"""The geometries, as rows that name their steps: see :mod:`similarity.geometry`."""
