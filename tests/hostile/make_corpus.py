"""All hostile inputs that stand where a dataset is expected; their files are made when they are used."""

from __future__ import annotations

from hostile import annotations, archives, class_names, feature_files, images, label_lists, special_files, specs

_PARTS = (special_files, images, label_lists, annotations, archives, feature_files, class_names, specs)
#: Modules that reading them needs, whose own memory does not count.
NEEDS = ("datasets", "pyarrow.parquet", "safetensors.torch", "scipy.io", "torchvision.datasets", "lightning")
CASES = tuple(case for part in _PARTS for case in part.cases())
