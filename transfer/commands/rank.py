from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from features.bank import FeatureBank
from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.errors import InputError
from features.infrastructure.options import LARGEST_SEED, MOST_REPEATS, Range, check_ranges
from features.infrastructure.suggestions import choice
from similarity import DEFAULT_GEOMETRY, MEASURES, Ranking, explain, rank_domains, write_explanation
from similarity.measures import measure_names
from similarity.ranking.domain import BOOTSTRAP, DEFAULT_ORDER, ORDERS, TIED_BELOW
from similarity.uncertainty.interval import Interval
from transfer.measure_table import LONGEST, require_one, show_measures
from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import typed_command

#: Rows of the explanation that are printed.
EXPLAINED = 12


@dataclass(frozen=True, kw_only=True)
class RankConfig:
    """Rank source domains by their distance to a target, nearest first.

    Attributes:
        target: Feature bank of the target.
        source: Feature banks of the sources.
        order: What the sources are ranked by: nearest-class is the mean distance of the target's classes to their
            nearest source class; emd is the paper's Earth Mover's Distance, in which every source class counts,
            also one that is like no target class.
        measures: Other measures of transferability to print beside the distance, or all: see transfer inspect
            measures.
        geometry: Ground metric: euclidean is the paper's; see transfer inspect geometries.
        gamma: γ of the similarity exp(−γ·EMD), such as the paper's 0.01. By default a similarity of 0.5 is the mean
            distance between the target's own classes.
        min_count: Leave out source classes of fewer images (the paper: 200).
        bootstrap: Bootstrap replicates for the 95 % intervals, at least 2; 0 for none. Without them, sources are ranked
            by measured distances.
        seed: Seed of the bootstrap and of the measures.
        explain: A file (.csv) for which source classes serve which target classes, by the distance that ranks.
        overwrite: Replace an existing file instead of refusing.
    """

    target: str
    source: list[str]
    order: str = DEFAULT_ORDER
    measures: list[str] = field(default_factory=list)
    geometry: str = DEFAULT_GEOMETRY
    gamma: Annotated[float, Range(0, above=True)] | None = None
    min_count: Annotated[int, Range(0)] = 0
    bootstrap: Annotated[int, Range(0, MOST_REPEATS)] = BOOTSTRAP
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0
    explain: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.source:
            raise InputError("missing: `source`")
        if self.order not in ORDERS:
            raise InputError(f"`order` {self.order}: there is no such order; {choice(self.order, ORDERS)}")
        if self.bootstrap == 1:
            raise InputError("`bootstrap` 1: expected 0, or at least 2")
        of_models = [name for name in measure_names(self.measures) if MEASURES[name].compares == "models"]
        if of_models and "all" not in self.measures:
            raise InputError(
                f"`measures` {of_models[0]}: compares models, not sources; leave it out, or use: transfer rank-models"
            )


def rank(config: RankConfig) -> Ranking:
    """Rank source domains, and write the explanation if `explain` names a file.

    See :func:`similarity.rank_domains` and :func:`similarity.explain`.

    Raises:
        InputError: A bank cannot be read or compared, no measure could be taken, or `explain` exists.
    """
    check_new({"`explain`": config.explain}, read=[config.target, *config.source], overwrite=config.overwrite)
    if config.explain is not None:
        check_ending(config.explain, (".csv",), "`explain`")
    ranking = rank_domains(
        FeatureBank.open(config.target),
        [FeatureBank.open(path) for path in config.source],
        geometry=config.geometry,
        gamma=config.gamma,
        min_count=config.min_count,
        bootstrap=config.bootstrap,
        seed=config.seed,
        measures=config.measures,
        order=config.order,
    )
    require_one([domain.measures for domain in ranking.domains])
    if config.explain is not None:
        write_explanation(ranking, config.explain)
    return ranking


def show(config: RankConfig, result: Ranking) -> None:
    """Print the ranking with its intervals, the other measures, and the command that follows."""
    say(f"target {result.target}, geometry {result.geometry} ({result.geometry_steps})\n")
    numbered = max(len(domain.source) for domain in result.domains) > LONGEST
    # The numbers are those of the command line, as in transfer select.
    names = [result.given.index(one.source) + 1 if numbered else one.source for one in result.domains]
    _show_order(result, names, ">source" if numbered else "source")
    for number, source in enumerate(result.given if numbered else (), start=1):
        if source not in result.dropped:
            say(f"source {number}: {source}")
    bounded = [domain.transport.gap for domain in result.domains if domain.transport.solver == "semi-dual"]
    if bounded:
        console.print(f"sets of this size are solved approximately: an EMD is too large by at most {max(bounded):.2%}")
    if result.without_intervals is not None:
        say(f"no intervals: {result.without_intervals}")
    for domain in result.domains:
        if domain.classes == 1:
            say(
                f"{domain.source} has one class, so only its mean counts; transfer cluster makes classes of unlabelled "
                f"images"
            )
    if len(result.domains) > 1:
        first = f"source {names[0]}" if numbered else str(names[0])
        say(f"choosing {first}: {result.expected.describe('a source chosen at random')}")
    taken = [domain.measures for domain in result.domains]
    if taken[0]:
        console.print("\nother measures of transferability:")
        show_measures([f"source {name}" if numbered else str(name) for name in names], taken)
    if config.explain is not None:
        _show_explanation(config, result)
    same = {"geometry": config.geometry, "min_count": config.min_count}
    chosen = {"target": [config.target], "source": config.source, "out": "subset.csv"}
    show_next(typed_command("select", chosen | same))


def _show_order(result: Ranking, names: Sequence[str | int], source: str) -> None:
    """Print one table for each distance, that of the chosen order first, and name neighbours that are tied."""
    for order in sorted(ORDERS.values(), key=lambda row: row.name != result.order):
        found = [order.interval(domain) for domain in result.domains]
        columns: dict[str, Sequence[Any]] = {source: names}
        if any(found):
            columns[">estimate"] = [interval and interval.estimate for interval in found]
            columns[">95 % interval"] = [_ends(interval) for interval in found]
        columns[">measured"] = [order.plan(domain).value for domain in result.domains]
        if order.name == result.order and any(found):
            confidence = [domain.nearer_than_next for domain in result.domains]
            columns[">nearer than next, %"] = ["" if share is None else f"{100 * share:.0f}" for share in confidence]
        if order.name == "emd":
            columns[">similarity"] = [domain.similarity for domain in result.domains]
        if order.name == result.order:
            columns[">classes"] = [domain.classes for domain in result.domains]
            columns[">images"] = ["–" if domain.images is None else domain.images for domain in result.domains]
        say(f"{order.meaning}:")
        show_table(columns, zip(*columns.values(), strict=True))
        console.print()
    if any(order.interval(domain) for order in ORDERS.values() for domain in result.domains):
        say("measured: the distance of the class means, which few images make too large; estimate: less this noise")
    say(f"similarity = exp(−{result.gamma:.4g}·measured EMD); 0.5 is {result.half}")
    which = "sources " if isinstance(names[0], int) else ""
    for name, following, domain in zip(names, names[1:], result.domains, strict=False):
        sure = domain.nearer_than_next
        if sure is not None and 1 - TIED_BELOW < sure < TIED_BELOW:
            say(
                f"{which}{name} and {following} cannot be told apart by these images: the first is nearer with "
                f"{100 * sure:.0f} % confidence"
            )
        elif sure is not None and sure <= 1 - TIED_BELOW:
            say(f"after correction for sampling noise, {following} is nearer than {name} ({100 - 100 * sure:.0f} %)")
    ranked_by = [ORDERS[result.order].interval(domain) for domain in result.domains]
    unknown = [str(name) for name, found in zip(names, ranked_by, strict=True) if found and found.estimate is None]
    if unknown:
        of = which if len(unknown) > 1 else which.replace("sources", "source")
        say(f"{of}{', '.join(unknown)}: sampling noise alone explains the distance; more images a class would tell")


def _ends(interval: Interval | None) -> str:
    """The ends of an interval; none where noise alone explains the distance, because the estimate is unknown."""
    if interval is None or interval.estimate is None:
        return "–"
    return f"{interval.low:.4f}–{interval.high:.4f}"


def _show_explanation(config: RankConfig, result: Ranking) -> None:
    """Print the costliest target classes of the nearest domain, and the source classes that serve them."""
    nearest = result.domains[0]
    rows = explain(ORDERS[result.order].plan(nearest), nearest.class_names, result.target_classes, top=3)
    shown = []
    for row in rows[:EXPLAINED]:
        source_class = f"({row.folded} more)" if row.folded else row.source_class
        shown.append((row.target_class, source_class, f"{100 * row.share:.1f}", row.distance, row.contribution))
    say(f"\nclasses of {nearest.source} that serve {result.target}, the costliest first:")
    show_table(["target class", "source class", ">share of it, %", ">distance", ">of the sum"], shown)
    if len(rows) > len(shown):
        console.print("…")
    say(f"all rows of all sources: {config.explain}")
