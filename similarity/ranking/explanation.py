"""The transport plan as a table: which source classes serve which target classes, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.formats.tables import write_table
from features.infrastructure.storage.addresses import Location
from similarity.ranking.domain import ORDERS, Ranking
from similarity.transport.earth_movers_distance import TransportResult

COLUMNS = ("source", "target_class", "source_class", "share", "distance", "contribution")


@dataclass(frozen=True)
class ExplanationRow:
    """The mass that one source class sends to one target class.

    Attributes:
        target_class: The class that receives the mass.
        source_class: The class that sends it; empty in a row that aggregates several.
        share: Share of the target class's mass, 0 to 1; the shares of one target class sum to 1.
        distance: Ground distance between the two classes; over several, the mean weighted by mass.
        contribution: Mass times distance. All contributions sum to the distance of the plan.
        folded: Number of source classes that the row aggregates; 0 in a row of a single class.
    """

    target_class: str
    source_class: str
    share: float
    distance: float
    contribution: float
    folded: int = 0


def explain(
    transport: TransportResult,
    source_classes: Sequence[str],
    target_classes: Sequence[str],
    *,
    top: int | None = None,
) -> tuple[ExplanationRow, ...]:
    """Tabulate a transport plan.

    The optimal plan is a vertex of the transport polytope: at most S + T − 1 of the S × T pairs carry mass. If several
    plans are optimal, the table shows the one that the solver found.

    Args:
        transport: A plan, such as that of :attr:`similarity.ranking.domain.Order.plan`.
        source_classes: (S,) names of the plan's rows.
        target_classes: (T,) names of the plan's columns.
        top: Source classes to name for each target class, at least 1; if more than one is left, one row aggregates
            them. None names all.

    Returns:
        Rows of target classes by descending contribution to the distance, and for each target class source classes
        by descending share. A target class without mass has no row.

    Raises:
        ValueError: The numbers of names do not match the plan, or ``top`` is less than 1.
    """
    if transport.plan.shape != (len(source_classes), len(target_classes)):
        raise ValueError(
            f"source_classes and target_classes must name the plan's {transport.plan.shape[0]} rows and "
            f"{transport.plan.shape[1]} columns, got {len(source_classes)} and {len(target_classes)} names"
        )
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    rows, columns = transport.plan.tocoo().coords
    mass, distance = transport.plan.data, transport.distances.data
    costs = np.bincount(columns, mass * distance, minlength=len(target_classes))
    order = np.lexsort((rows, -mass, columns, -costs[columns]))
    ends = np.flatnonzero(np.diff(columns[order])) + 1
    table: list[ExplanationRow] = []
    for served in np.split(order, ends) if len(order) else []:
        name = target_classes[columns[served[0]]]
        total = mass[served].sum()
        kept = len(served) if top is None or len(served) == top + 1 else top
        for pair in served[:kept]:
            figures = _figures(mass[[pair]], distance[[pair]], total)
            table.append(ExplanationRow(name, source_classes[rows[pair]], *figures))
        if len(served) > kept:
            rest = served[kept:]
            table.append(ExplanationRow(name, "", *_figures(mass[rest], distance[rest], total), folded=len(rest)))
    return tuple(table)


def write_explanation(ranking: Ranking, path: str | Location) -> None:
    """Write the plans of all domains of a ranking as one CSV file, atomically: those of the distance it ranks by.

    The first line is ``#`` and one JSON object: target, geometry, γ, order, and each source's distance, which is the
    sum of the contributions in its rows.
    """
    plan = ORDERS[ranking.order].plan
    provenance = {
        "target": ranking.target,
        "geometry": ranking.geometry,
        "geometry_steps": ranking.geometry_steps,
        "gamma": ranking.gamma,
        "order": ranking.order,
        "sources": [{"source": domain.source, "distance": plan(domain).value} for domain in ranking.domains],
    }
    rows = (
        (domain.source, row.target_class, row.source_class, row.share, row.distance, row.contribution)
        for domain in ranking.domains
        for row in explain(plan(domain), domain.class_names, ranking.target_classes)
    )
    write_table(path, provenance, COLUMNS, rows)


def _figures(mass: NDArray[np.float64], distance: NDArray[np.float64], total: float) -> tuple[float, float, float]:
    """Share, mean distance and contribution of pairs that share a target class."""
    moved, contribution = float(mass.sum()), float(mass @ distance)
    mean = float(distance[0]) if len(distance) == 1 else contribution / moved
    return moved / float(total), mean, contribution
