"""Draws follow the seed."""

from similarity import select_classes


def test_random_follows_the_seed(target, sources):
    def draw(seed):
        subset = select_classes([target], sources, classes=5, strategy="random", seed=seed)
        return [(row.source, row.class_name) for row in subset.rows]

    assert draw(0) == draw(0)
    assert len({tuple(draw(seed)) for seed in range(5)}) > 1
