"""Every class, nearest first."""

from similarity import select_classes


def test_all_takes_every_class_nearest_first(target, sources):
    subset = select_classes([target], sources, strategy="all")
    distances = [row.distance for row in subset.rows]
    assert len(subset) == 11
    assert distances == sorted(distances)
