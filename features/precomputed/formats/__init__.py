"""The formats of files of features, one module each: see :mod:`features.precomputed.feature_file`."""
