"""Take the classes nearer to the target than to their own neighbours: see :func:`similarity.class_scores`."""

from similarity.selection.strategy import Strategy, by_score

LOCAL_SCALING = Strategy(
    "local-scaling",
    "as nearest, less the distance to the class's own neighbours: hubs lose their lead",
    by_score(lambda pool, target: pool.scores(target, pool.crowding)),
    ranked_by="score",
)
