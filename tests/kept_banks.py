"""Feature banks of a dataset's images with any features."""

import numpy as np
import torch

from features import FeatureBank, open_dataset
from features.class_statistics import ClassStatistics

#: Dataset specs of 600 images and of 80 others.
SOURCE, TARGET = "digits:@train?per_class=60", "digits:@test?per_class=8"


def write_kept(path, features, spec, skip=(), **attrs):
    """A bank of the images of a dataset, with any features; positions in ``skip`` could not be read."""
    dataset = open_dataset(spec)
    kept = np.setdiff1d(np.arange(len(dataset)), list(skip))
    statistics = ClassStatistics(len(dataset.classes), features.shape[1])
    statistics.add(torch.from_numpy(features[kept]), torch.from_numpy(dataset.labels[kept]))
    common = {"dataset": spec, "manifest_sha256": dataset.manifest_sha256, "backbone": "b", "weights_sha256": "w"}
    bank = FeatureBank(
        dataset.classes,
        statistics.counts.numpy(),
        statistics.means(),
        statistics.variances(),
        statistics.within_covariance(),
        common | {"transform": "t", "pooling": "p", "created": "2020-01-01T00:00:00+00:00"} | attrs,
        tuple((dataset.ids[i], "broken") for i in skip),
    )
    return bank.write(path, (features[kept], dataset.labels[kept], [dataset.ids[i] for i in kept]))
