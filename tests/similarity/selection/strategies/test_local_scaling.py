"""Local scaling passes over hubs."""

import numpy as np

from similarity import select_classes


def test_local_scaling_passes_over_a_hub(make_bank):
    """Class 0 is the middle of a crowd and nearest to the target; class 5 is out there with the target."""
    crowd = np.array([[0.0, 0], [0.1, 0], [0, 0.1], [-0.1, 0], [0, -0.1]])
    source = make_bank(np.vstack([crowd, [[2.2, 0.0]]]))
    target = make_bank([[1.05, 0.0]], dataset="folder:target")
    paper = select_classes([target], [source], classes=1, strategy="nearest", geometry="euclidean")
    corrected = select_classes([target], [source], classes=1, strategy="local-scaling", geometry="euclidean")
    assert [row.class_name for row in paper.rows] == ["c1"]
    assert [row.class_name for row in corrected.rows] == ["c5"]
