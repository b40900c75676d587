from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from features.bank import FeatureBank
from features.dataset_spec import DatasetSpec
from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.disk.joint_files import atomic_files, finish_joint_files
from features.infrastructure.disk.regular_files import file_sha256
from features.infrastructure.errors import InputError
from features.infrastructure.options import LARGEST_SEED, MOST_CLASSES, MOST_REPEATS, Range, check_ranges
from features.infrastructure.storage.addresses import is_address, located
from features.readers.scheme import holds_images
from similarity import (
    DEFAULT_GEOMETRY,
    DEFAULT_STRATEGY,
    STRATEGIES,
    SelectionCurve,
    SelectionStability,
    Strategy,
    Subset,
    write_curves,
)
from similarity.selection.choosing import CERTIFICATE, select_from
from similarity.selection.curve import curves_from
from similarity.selection.influence import by_influence
from similarity.selection.limits import Sizes
from similarity.selection.payoff import expected_gains
from similarity.selection.pool import SourcePool
from similarity.selection.stability import stability_from
from similarity.selection.subset import DIRECTORY
from similarity.uncertainty.expected_gain import Expectation
from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import again

#: Chosen classes that are printed.
SHOWN = 30
#: Images below which a smaller backbone is proposed for pre-training.
FEW_IMAGES = 20_000


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Choose source classes to pre-train on, and write them as a subset file.

    Attributes:
        target: Feature banks of the targets, each with its own number of classes if wanted: BANK[:QUOTA].
        source: Feature banks of the sources.
        classes: Classes to choose for each target without a quota.
        images: Budget of images for each target: classes are taken for as long as their images stay within it.
        coverage: Share of each target that the chosen classes serve, greater than 0 and at most 1. By default 0.9 if no
            size is given and the strategy has shares.
        drop: Leave out this many classes, those that every target ranks last, and take all others, instead of a size.
        out: The subset file (.csv).
        curve: A file (.csv) with a row for each number of classes: their images, the mean distance of the target's
            classes to their nearest chosen class, the gain in it (1 is that of all classes), and the share served.
        strategy: How classes are chosen, by default mutual-proximity; nearest is the paper's. See transfer inspect
            strategies.
        influence: A table (.csv) of measured influences, source,class,target,influence: classes are taken from the
            largest influence on, instead of by a strategy.
        geometry: Ground metric: euclidean is the paper's; see transfer inspect geometries.
        min_count: Leave out source classes of fewer images (the paper: 200).
        resample: Times to choose again from resampled class means, to report how often each class is chosen; 0 for
            none.
        seed: Seed of the random strategy and of the resampling.
        overwrite: Replace existing files instead of refusing.
    """

    target: list[str]
    source: list[str]
    classes: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    images: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    coverage: Annotated[float, Range(0, 1, above=True)] | None = None
    drop: Annotated[int, Range(1, MOST_CLASSES)] | None = None
    out: str | None = None
    curve: str | None = None
    strategy: str | None = None
    influence: str | None = None
    geometry: str = DEFAULT_GEOMETRY
    min_count: Annotated[int, Range(0)] = 0
    resample: Annotated[int, Range(0, MOST_REPEATS)] = 0
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.strategy is not None:
            STRATEGIES.find(self.strategy)
        if self.influence is not None and self.strategy is not None:
            raise InputError(f"`strategy` {self.strategy} and `influence` both order the classes: give one")
        if self.influence is not None and self.resample:
            raise InputError("`resample`: measured `influence` does not depend on the class means; leave one out")


@dataclass(frozen=True)
class Selection:
    """The chosen classes.

    Attributes:
        subset: The chosen classes.
        out: The subset file, if one was written.
        curves: What each number of classes gains, one curve a target; empty without ``curve``.
        expected: What each target can be expected to gain in accuracy, by its dataset spec.
        stability: How often each class is chosen again; None without ``resample``.
    """

    subset: Subset
    out: str | None
    expected: Mapping[str, Expectation]
    curves: tuple[SelectionCurve, ...] = ()
    stability: SelectionStability | None = None

    def to_json(self) -> dict[str, Any]:
        return self.subset.to_json() | {
            "out": self.out,
            "targets": self.subset.provenance["targets"],
            "dropped": self.subset.provenance.get("dropped", []),
            "expected_gain": {name: expected.to_json() for name, expected in self.expected.items()},
            "stability": self.stability and self.stability.to_json(),
        }


def select(config: SelectConfig) -> Selection:
    """Choose source classes, and write the files that the configuration names; see :func:`similarity.select_classes`.

    Everything is computed before the first file is written, so that a wrong option leaves no file behind.

    Raises:
        InputError: A bank cannot be read or compared, a size is not possible, or a file exists.
    """
    paths, quotas = zip(*(_quota(text) for text in config.target), strict=True)
    named = {"`out`": config.out, "`curve`": config.curve}
    written = {argument: located(path) for argument, path in named.items() if path is not None}
    tables = [] if config.influence is None else [config.influence]
    finish_joint_files([*written.values()])
    check_new(written, read=[*paths, *config.source, *tables], overwrite=config.overwrite)
    for argument, path in written.items():
        check_ending(path, (".csv",), argument)
    targets, sources = ([FeatureBank.open(path) for path in group] for group in (paths, config.source))
    pool = SourcePool.of(targets, sources, config.geometry, config.min_count)
    strategy, seed = _strategy(config), config.seed
    curves: tuple[SelectionCurve, ...] = ()
    if config.curve is not None:
        curves = curves_from(pool, targets, strategy, seed=seed)
    sizes = Sizes(
        classes=config.classes, quotas=quotas, images=config.images, coverage=config.coverage, drop=config.drop
    )
    subset = select_from(pool, targets, strategy, sizes, seed=seed)
    of_table: dict[str, Any] = {}
    if config.influence is not None:
        digest = file_sha256(located(config.influence), "table of influences")
        of_table = {"influence": config.influence, "influence_sha256": digest}
        subset = replace(subset, provenance={**subset.provenance, **of_table})
    expected = expected_gains(pool, targets, subset)
    stability = None
    if config.resample:
        stability = stability_from(pool, targets, subset, strategy, sizes, replicates=config.resample, seed=seed)
    if config.out is not None:
        subset = replace(subset, provenance={**subset.provenance, DIRECTORY: os.getcwd()})
    with atomic_files([*written.values()]) as asides:
        beside = dict(zip(written, asides, strict=True))
        if "`out`" in beside:
            subset.write(beside["`out`"])
        if "`curve`" in beside:
            options = {"strategy": strategy.name, "seed": seed, "geometry": config.geometry}
            write_curves(curves, beside["`curve`"], options | {"min_count": config.min_count} | of_table)
    return Selection(subset, config.out, expected, curves, stability)


def _strategy(config: SelectConfig) -> Strategy:
    """What orders the classes: the table of influences, or the strategy."""
    if config.influence is not None:
        return by_influence(config.influence)
    return STRATEGIES[config.strategy or DEFAULT_STRATEGY]


def _quota(text: str) -> tuple[str, int | None]:
    """The path and the quota of ``BANK[:QUOTA]``."""
    path, colon, quota = text.rpartition(":")
    if colon and quota.lstrip("-").isdigit():
        if int(quota) < 1:
            raise InputError(f"`target` {text}: the quota must be at least 1")
        return path, int(quota)
    if colon and not is_address(text) and Path(path).is_file():
        raise InputError(f"`target` {text}: the quota {quota!r} must be a whole number")
    return text, None


def show(config: SelectConfig, result: Selection) -> None:
    """Print the first chosen classes, what ended the choice, and the command that follows."""
    rows = result.subset.rows
    shown = rows[:SHOWN]
    ranked_by = STRATEGIES[config.strategy or DEFAULT_STRATEGY].ranked_by
    sources = list(dict.fromkeys(row.source for row in rows))
    # The numbers are those of the command line, as in transfer rank; a score has the column distance in the file.
    given = [source["dataset"] for source in result.subset.provenance["sources"]]
    numbers = {source: number for number, source in enumerate(given, start=1) if source in sources}
    columns: dict[str, list[Any]] = {
        ">rank": [row.rank for row in shown],
        "class": [row.class_name for row in shown],
        ">images": ["–" if row.count is None else row.count for row in shown],
        f">{ranked_by}": [row.distance for row in shown],
    }
    if rows[0].weight is not None:
        columns[">weight, %"] = [f"{100 * (row.weight or 0):.1f}" for row in shown]
    if result.stability is not None:
        repeated = {(row.source, row.class_name): row.share for row in result.stability.classes}
        columns[">chosen again, %"] = [f"{100 * repeated[row.source, row.class_name]:.0f}" for row in shown]
    if len(given) > 1:
        columns[">source"] = [numbers[row.source] for row in shown]
    targets = [target["dataset"] for target in result.subset.provenance["targets"]]
    if len(targets) > 1:
        columns[">target"] = [", ".join(str(targets.index(name) + 1) for name in row.targets) for row in shown]
    show_table(columns, zip(*columns.values(), strict=True))
    if len(rows) > len(shown):
        console.print(f"… and {len(rows) - len(shown)} more classes")
    for source, number in numbers.items():
        say(f"source {number}: {source}" if len(given) > 1 else f"source: {source}")
    if len(targets) > 1:
        for number, name in enumerate(targets, start=1):
            say(f"target {number}: {name}")
    images = sum(row.count or 0 for row in rows)
    size = f"{len(rows)} classes" + (f" of {images} images" if all(row.count is not None for row in rows) else "")
    written = "" if config.out is None else f", written to {config.out}"
    scores = [row.distance for row in rows]
    say(f"{size}{written}")
    named = "the mean distance to the target" if ranked_by == "distance" else "the score of the strategy"
    direction = ", of which the lowest is chosen first" if scores == sorted(scores) else ""
    shares = "" if rows[0].weight is None else "; weight: the share of the target that a class serves"
    say(f"{ranked_by}: {named}{direction}{shares}")
    if dropped := result.subset.provenance.get("dropped"):
        names = ", ".join(row["class"] for row in dropped[:SHOWN]) + (", …" if len(dropped) > SHOWN else "")
        say(f"left out, the last one first: {names}")
    for target in result.subset.provenance["targets"]:
        _show_budget(config, target)
        if expected := result.expected.get(target["dataset"]):
            say(f"{target['dataset']}: {expected.describe('the same number of classes chosen at random')}")
    if result.stability is not None:
        say(
            f"{result.stability.replicates} choices from resampled class means overlap with this one by "
            f"{100 * result.stability.jaccard:.0f} % on average (intersection over union)"
        )
    if config.curve is not None:
        say(f"what each number of classes gains: {config.curve}")
    if config.out is None:
        show_next(f"{again('select', config, out='subset.csv')}    (the file to pre-train on)")
    else:
        backbone = "resnet18" if images < FEW_IMAGES else "resnet50"
        read, subset = sources, f"--subset {shlex.quote(config.out)}"
        if config.coverage == 1:  # the shares of all classes, those that were not chosen included
            read, subset = given, f"{shlex.join(given)} --class-weights {shlex.quote(config.out)}"
        if without := [source for source in read if not holds_images(DatasetSpec.parse(source))]:
            say(f"{without[0]} has no images: write the dataset spec of its images into the column source, then")
        show_next(f"transfer pretrain {subset} --backbone {backbone} --out runs/pre")


def _show_budget(config: SelectConfig, target: Mapping[str, Any]) -> None:
    """Print how much of a target its choice serves, which budget ended it, and how near it is to the best one."""
    if "share" in target:
        needed = [f"{n} for {100 * float(share):.0f} %" for share, n in target["classes_for"].items() if n is not None]
        say(
            f"{target['dataset']}: {target['chosen']} classes serve {100 * target['share']:.0f} % of it, as far as "
            f"these sources can" + (f" (classes needed: {', '.join(needed)})" if needed else "")
        )
    if target["ended_by"] == "images":
        say(
            f"{target['dataset']}: the budget of {config.images} images ends the choice; classes chosen: "
            f"{target['chosen']}"
        )
    if found := target.get(CERTIFICATE):
        say(
            f"{target['dataset']}: mean distance to the nearest chosen class {found['distance']:.4f}; no choice of "
            f"{target['chosen']} classes reaches less than {found['bound']:.4f}"
        )
