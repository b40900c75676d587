"""Two banks with copies of each other's images."""

import numpy as np
import pytest
from kept_banks import SOURCE, TARGET, write_kept


@pytest.fixture
def planted(tmp_path):
    """Rectified features of 600 source and 80 target images of one kind, six sources near copies of targets.

    Images of the kind share three directions, and a copy differs from its original by a tenth of what is its own.
    """
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(3, 256))

    def draw(n):
        return 20 + rng.normal(size=(n, 3)) @ directions, rng.normal(size=(n, 256))

    (source, own), (target, of_target) = draw(600), draw(80)
    copies = {10 * i: 7 * i for i in range(1, 7)}  # position in the source → in the target
    for copy, original in copies.items():
        source[copy] = target[original]
        own[copy] = of_target[original] + 0.1 * rng.normal(size=256)
    paths = tmp_path / "source.h5", tmp_path / "target.h5"
    for path, values, spec in zip(paths, (source + own, target + of_target), (SOURCE, TARGET), strict=True):
        write_kept(path, np.maximum(values, 0).astype(np.float32), spec)
    return *map(str, paths), copies
