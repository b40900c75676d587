"""Take the classes that are nearer to the target than to their own neighbours: see ``class_scores`` of the pool.

A hub, a class that lies near everything, loses its lead: CSLS (Conneau et al., ICLR 2018), scaled within the sources.
"""

from similarity.selection.strategy import Strategy, by_score

LOCAL_SCALING = Strategy(
    "local-scaling",
    "as nearest, less the distance to the class's own neighbours: hubs lose their lead",
    by_score(lambda pool, target: pool.scores(target, pool.crowding)),
    ranked_by="score",
)
