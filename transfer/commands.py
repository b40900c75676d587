"""The commands that compose packages without training: ``rank`` and ``select``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from features.bank import SUFFIXES, FeatureBank
from features.infrastructure.errors import InputError
from features.infrastructure.files import check_new
from features.infrastructure.options import default_of
from similarity import (
    DEFAULT_GEOMETRY,
    DEFAULT_STRATEGY,
    MEASURES,
    STRATEGIES,
    Ranking,
    SelectionCurve,
    SelectionStability,
    Subset,
    rank_domains,
    selection_stability,
    write_curves,
    write_explanation,
)
from similarity.measures import Score, Unmeasured, measure_names, reasons
from similarity.selection.choosing import select_from
from similarity.selection.curve import curves_from
from similarity.selection.pool import SourcePool

if TYPE_CHECKING:
    from transfer.zoo import ZooRanking


#: Options of a ranking of sources alone, and of models alone.
_OF_SOURCES = {"geometry", "gamma", "min_count", "bootstrap", "explain", "overwrite"}
_OF_MODELS = {"by", "test", "cache", "device", "precision", "workers"}


@dataclass(frozen=True, kw_only=True)
class RankConfig:
    """Rank source domains by their Earth Mover's Distance to a target, or pre-trained models by a measure, best first.

    Attributes:
        target: Feature bank of the target; with --model the dataset spec of its training images.
        source: Feature banks of the sources.
        model: Pre-trained models to rank instead of sources: names of backbones or run directories, each with its
            weights if wanted (resnet50, resnet18:none, runs/pre).
        measures: Other measures to set beside it, or all of them: see transfer inspect measures. With --model all are
            taken by default.
        by: The measure that orders the models; by default linear-probe, or the first of --measures.
        test: Dataset spec of the target's test images: how well a linear probe on each model does there.
        cache: Folder of the target's feature banks under each model.
        geometry: Ground metric: euclidean is the paper's; see transfer inspect geometries.
        gamma: γ of the similarity exp(−γ·EMD), such as the paper's 0.01; by default such that 0.5 means as far as
            the target's classes are from each other.
        min_count: Leave out source classes of fewer images (the paper: 200).
        bootstrap: Resamplings behind the 95 % intervals, at least 2; 0 for none.
        seed: Seed of the resampling, of the measures' draws, and of the weights of a model that has none.
        explain: A file (.csv) for the transport plans: which source classes serve which target classes.
        overwrite: Replace files that are there instead of refusing.
        device: Where models run: auto, cpu, cuda, mps.
        precision: Of the models: auto takes bfloat16 where the hardware has it.
        workers: Decoding processes; by default one a core.
    """

    target: str
    source: list[str] = field(default_factory=list)
    model: list[str] = field(default_factory=list)
    measures: list[str] = field(default_factory=list)
    by: str | None = None
    test: str | None = None
    cache: str = "banks/zoo"
    geometry: str = DEFAULT_GEOMETRY
    gamma: float | None = None
    min_count: int = 0
    bootstrap: int = 20
    seed: int = 0
    explain: str | None = None
    overwrite: bool = False
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        if bool(self.source) == bool(self.model):
            both = ", not both" if self.source else ""
            raise InputError(f"rank: give --source, banks of source domains, or --model, pre-trained models{both}")
        if twice := [name for name in self.model if self.model.count(name) > 1]:
            raise InputError(f"--model {twice[0]}: is given twice; leave one out")
        if self.model and Path(self.target).suffix in SUFFIXES:
            raise InputError(
                f"--target {self.target}: is a bank, made with one model; with --model give the dataset spec of the "
                f"target's training images"
            )
        sides = _OF_SOURCES, _OF_MODELS
        for option in fields(self):
            if option.name in sides[bool(self.source)] and getattr(self, option.name) != default_of(option):
                ranked = "models" if self.source else "sources"
                raise InputError(f"--{option.name.replace('_', '-')}: is for a ranking of {ranked}; leave it out")
        names = measure_names(self.measures)
        side, other = ("models", "sources") if self.model else ("sources", "models")
        if others := [name for name in names if MEASURES[name].compares == other and "all" not in self.measures]:
            raise InputError(f"--measures {others[0]}: tells {other} apart, not {side}; leave it out")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: expected at least 0")
        if self.by is not None:
            measure_names([self.by], "by")
            if self.by not in (names or MEASURES):
                raise InputError(f"--by {self.by}: not one of --measures {' '.join(self.measures) or 'all'}")
            if MEASURES[self.by].compares == "sources":
                raise InputError(f"--by {self.by}: tells sources apart, not models")
        if self.gamma is not None and not 0 < self.gamma < math.inf:
            raise InputError(f"--gamma {self.gamma}: expected a positive number")
        if self.min_count < 0:
            raise InputError(f"--min-count {self.min_count}: expected at least 0")
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise InputError(f"--bootstrap {self.bootstrap}: expected 0, or at least 2")


def rank(config: RankConfig) -> Ranking | ZooRanking:
    """Rank source domains, and write why, or models.

    See :func:`similarity.rank_domains`, :func:`similarity.explain` and :func:`transfer.zoo.rank_models`.
    """
    if config.model:
        from transfer.zoo import rank_models  # which imports the training code

        names = measure_names(config.measures)
        if not names or "all" in config.measures:
            names = [name for name, one in MEASURES.items() if one.compares != "sources"]
        by = config.by or ("linear-probe" if "linear-probe" in names else names[0])
        ranking_of_models = rank_models(
            config.target,
            config.model,
            names,
            by=by,
            cache=config.cache,
            test=config.test,
            seed=config.seed,
            device=config.device,
            precision=config.precision,
            workers=config.workers,
        )
        _require_one([candidate.measures for candidate in ranking_of_models.candidates])
        return ranking_of_models
    check_new({"--explain": config.explain}, read=[config.target, *config.source], overwrite=config.overwrite)
    ranking = rank_domains(
        FeatureBank.open(config.target),
        [FeatureBank.open(path) for path in config.source],
        geometry=config.geometry,
        gamma=config.gamma,
        min_count=config.min_count,
        bootstrap=config.bootstrap,
        seed=config.seed,
        measures=config.measures,
    )
    _require_one([domain.measures for domain in ranking.domains])
    if config.explain is not None:
        write_explanation(ranking, config.explain)
    return ranking


def _require_one(taken: Sequence[Mapping[str, Score | Unmeasured]]) -> None:
    """Refuse measures that were asked for, none of which could be taken."""
    missing = reasons(taken)
    if missing and all(isinstance(one, Unmeasured) for row in taken for one in row.values()):
        name, reason = next(iter(missing.items()))
        raise InputError(f"--measures {name}: {reason}")


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Choose source classes to pre-train on, and write them as a subset file.

    Attributes:
        target: Feature banks of the targets, each with an own number of classes if wanted: BANK[:QUOTA].
        source: Feature banks of the sources.
        classes: Classes to choose for each target without a quota.
        images: Budget of images for each target: classes are taken as long as all of theirs stay within it.
        out: The subset file (.csv).
        curve: Write what each number of classes gains, and the suggested number, as a table (.csv); where no
            number is given, the suggested one is taken.
        strategy: How classes are chosen: nearest is the paper's; see transfer inspect strategies.
        geometry: Ground metric: euclidean is the paper's; see transfer inspect geometries.
        min_count: Leave out source classes of fewer images (the paper: 200).
        resample: Choose so many times again, from class means drawn again, and say how often each class is chosen.
        seed: Seed of the random strategy and of the resampling.
        overwrite: Replace files that are there instead of refusing.
    """

    target: list[str]
    source: list[str]
    classes: int | None = None
    images: int | None = None
    out: str | None = None
    curve: str | None = None
    strategy: str = DEFAULT_STRATEGY
    geometry: str = DEFAULT_GEOMETRY
    min_count: int = 0
    resample: int = 0
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        STRATEGIES.find(self.strategy)
        if self.classes is not None and self.classes < 1:
            raise InputError(f"--classes {self.classes}: expected at least 1")
        if self.images is not None and self.images < 1:
            raise InputError(f"--images {self.images}: expected at least 1")
        if self.min_count < 0:
            raise InputError(f"--min-count {self.min_count}: expected at least 0")
        if self.resample < 0:
            raise InputError(f"--resample {self.resample}: expected at least 0")


@dataclass(frozen=True)
class Selection:
    """What was chosen, and where it was written.

    Attributes:
        subset: The chosen classes.
        out: The subset file, if one was asked for.
        curves: What each number of classes gains for each target, if that was asked for.
        stability: How often each class is chosen again, if that was asked for.
    """

    subset: Subset
    out: str | None
    curves: tuple[SelectionCurve, ...] = ()
    stability: SelectionStability | None = None

    def to_json(self) -> dict[str, Any]:
        return self.subset.to_json() | {
            "out": self.out,
            "targets": self.subset.provenance["targets"],
            "knees": [curve.to_json() for curve in self.curves],
            "stability": self.stability and self.stability.to_json(),
        }


def select(config: SelectConfig) -> Selection:
    """Choose source classes; see :func:`similarity.select_classes`."""
    paths, quotas = zip(*(_quota(text) for text in config.target), strict=True)
    written = {"--out": config.out, "--curve": config.curve}
    check_new(written, read=[*paths, *config.source], overwrite=config.overwrite)
    targets, sources = ([FeatureBank.open(path) for path in group] for group in (paths, config.source))
    pool = SourcePool.of(targets, sources, config.geometry, config.min_count)
    options: dict[str, Any] = {"strategy": config.strategy, "seed": config.seed}
    curves: tuple[SelectionCurve, ...] = ()
    if config.curve is not None:  # first: one who asks for it may not know how many classes to choose yet
        curves = curves_from(pool, targets, **options)
        write_curves(curves, config.curve, options | {"geometry": config.geometry, "min_count": config.min_count})
        if config.classes is None and config.images is None and config.strategy != "all":
            quotas = tuple(curve.knee if quota is None else quota for curve, quota in zip(curves, quotas, strict=True))
    sizes: dict[str, Any] = {"classes": config.classes, "quotas": quotas, "images": config.images}
    subset = select_from(pool, targets, **sizes, **options)
    if config.out is not None:
        subset.write(config.out)
    stability = None
    if config.resample:
        options |= {"geometry": config.geometry, "min_count": config.min_count}
        stability = selection_stability(targets, sources, config.resample, **sizes, **options)
    return Selection(subset, config.out, curves, stability)


def _quota(text: str) -> tuple[str, int | None]:
    """``BANK[:QUOTA]`` taken apart."""
    path, colon, quota = text.rpartition(":")
    if colon and quota.lstrip("-").isdigit():
        if int(quota) < 1:
            raise InputError(f"--target {text}: the quota must be at least 1")
        return path, int(quota)
    return text, None
