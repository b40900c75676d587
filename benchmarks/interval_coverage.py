"""How often do the 95 % intervals of ``transfer rank`` hold the distance between the true class means?

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --bank BANK.h5     # also on a bank's own images (--keep-images)

30 source and 15 target classes, true means drawn anew for each sample, then images drawn around them. Relations:
``apart`` (unrelated classes, the target's cloud shifted), ``near`` (each target class beside one of half of the source
classes), ``same`` (the same 15 classes: the true distance is 0). Images are Gaussian with correlated features; for
``sqrt-whitened`` they follow Gamma distributions, which are not negative. With ``--bank`` the bank's images are the
population: its classes are split at random and images drawn with replacement.

Columns: ``held``, the interval as printed; ``bare``, before it is stretched to the distance of the sample means; the
shares of samples whose truth lies below and above the printed one; ``naive / true``, the distance of the sample means
over the true one; the width of the bare interval over the true distance.

Expected (one core, 5 minutes, 10 with a bank): held 0.97 on average, 0.88 to 1.00 row by row (standard error 0.02);
more where noise is larger than the differences, for the interval is stretched. One row is low, 0.70: whitened points,
width 256, 5 images; the interval is 1.7 % wide there and misses by less. On real features (CIFAR-100, width 1280) 0.85
to 1.00, but 0.75 for whitened points of 5 images where both sides are the same classes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from recording import RESULTS, record

from features import FeatureBank
from similarity import emd, fit_geometry
from similarity.uncertainty.interval import distance_intervals
from similarity.uncertainty.sampling_error import mean_clouds

SOURCES, TARGETS = 30, 15
REPLICATES = 30
RELATIONS = ("apart", "near", "same")
WIDTHS, IMAGES = (16, 256), (5, 20, 100)
GEOMETRIES = ("euclidean", "whitened", "sqrt-whitened")
#: Deviation of class means, of a feature whose images deviate by 1.
SPREAD = 0.7

#: True means (C, D) of sources and targets, and a function that draws n images of each (C, n, D).
World = tuple[np.ndarray, np.ndarray, Callable[[np.ndarray, int], np.ndarray]]


def simulated(rng: np.random.Generator, relation: str, width: int, gamma: bool) -> World:
    """True means and how images lie around them, of unit variance on average over the features."""
    sources = rng.standard_normal((SOURCES, width))
    if relation == "apart":
        targets = rng.standard_normal((TARGETS, width)) + rng.standard_normal(width)
    else:
        targets = sources[:TARGETS] + (0.3 * rng.standard_normal((TARGETS, width)) if relation == "near" else 0)
        sources = sources if relation == "near" else sources[:TARGETS]
    if gamma:  # the variance is the mean: across classes real pooled features go with powers of 0.96 to 1.25 of it
        sources, targets = np.exp(SPREAD * sources), np.exp(SPREAD * targets)
        return sources, targets, lambda means, n: rng.gamma(np.repeat(means[:, None], n, axis=1))
    eigenvalues = 1 / np.sqrt(np.arange(1, width + 1))
    axes = np.linalg.qr(rng.standard_normal((width, width)))[0]
    root = axes * np.sqrt(eigenvalues * width / eigenvalues.sum()) @ axes.T

    def draw(means: np.ndarray, n: int) -> np.ndarray:
        return means[:, None] + rng.standard_normal((len(means), n, width)) @ root

    return SPREAD * sources @ root, SPREAD * targets @ root, draw


def from_images(rng: np.random.Generator, relation: str, images: list[np.ndarray]) -> World:
    """Classes of a bank as the population."""
    order = rng.permutation(len(images))
    source = order[: SOURCES if relation == "apart" else TARGETS]
    target = order[SOURCES : SOURCES + TARGETS] if relation == "apart" else source
    means = np.stack([of.mean(axis=0) for of in images])

    def draw(wanted: np.ndarray, n: int) -> np.ndarray:
        classes = source if wanted is sources else target
        return np.stack([images[i][rng.integers(0, len(images[i]), n)] for i in classes])

    sources, targets = means[source], means[target]
    return sources, targets, draw


def bank_of(features: np.ndarray, name: str) -> FeatureBank:
    """The bank of (C, n, D) features."""
    centred = (features - features.mean(axis=1, keepdims=True)).reshape(-1, features.shape[2])
    return FeatureBank(
        classes=tuple(f"{name}{i}" for i in range(len(features))),
        counts=np.full(len(features), features.shape[1]),
        means=features.mean(axis=1).astype(np.float32),
        variances=features.var(axis=1).astype(np.float32),
        within_covariance=(centred.T @ centred / len(centred)).astype(np.float32),
        attrs={"dataset": f"folder:{name}"},
    )


def one_sample(world: World, images: int, geometry: str, rng: np.random.Generator) -> tuple[float, ...]:
    """True distance, distance of the sample means, and the interval before it is stretched."""
    sources, targets, draw = world
    banks = [bank_of(draw(means, images), name) for means, name in ((sources, "source"), (targets, "target"))]
    metric = fit_geometry(geometry, banks[1:], banks[:1])
    truth, value = (
        emd(metric.points(x), banks[0].counts, metric.points(y), banks[1].counts).value
        for x, y in ((sources, targets), (banks[0].means, banks[1].means))
    )
    (interval,) = distance_intervals(
        *mean_clouds(metric, banks), unit_length=metric.unit_length, replicates=REPLICATES, generators=(rng, rng)
    )
    return truth, value, interval.low, interval.high


def row(samples: list[tuple[float, ...]], **setting: object) -> dict[str, object]:
    """What is recorded of one setting."""
    truth, value, low, high = np.array(samples).T
    bottom, top = np.minimum(low, value), np.maximum(high, value)
    tiny = truth.mean() < 1e-9
    return {
        **setting,
        "samples": len(truth),
        "held": float(np.mean((bottom <= truth) & (truth <= top))),
        "bare": float(np.mean((low <= truth) & (truth <= high))),
        "below": float(np.mean(truth < bottom)),
        "above": float(np.mean(truth > top)),
        "naive_over_true": None if tiny else float(value.mean() / truth.mean()),
        "width_over_true": None if tiny else float((high - low).mean() / truth.mean()),
    }


def shown(found: dict[str, object]) -> str:
    ratio, width = (found[name] for name in ("naive_over_true", "width_over_true"))
    ratios = f"{ratio:12.3f}{width:12.3f}" if isinstance(ratio, float) else f"{'–':>12}{'–':>12}"
    figures = "".join(f"{found[name]:8.2f}" for name in ("held", "bare", "below", "above"))
    return f"{found['geometry']:<15}{found['relation']:<7}{found['width']:>6}{found['images']:>7}{figures}{ratios}"


def main() -> None:
    """Measure, print the table, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=150, help="samples of each setting")
    parser.add_argument("--bank", help="a feature bank with kept images, as one more population")
    parser.add_argument("--bank-samples", type=int, default=20, help="samples of each setting of the bank")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    names = ("held", "bare", "below", "above")
    print(
        f"{'geometry':<15}{'':<7}{'width':>6}{'images':>7}{''.join(f'{n:>8}' for n in names)}  naive/true  width/true"
    )
    rows = []
    for place, (geometry, relation, width, images) in enumerate(product(GEOMETRIES, RELATIONS, WIDTHS, IMAGES)):
        rng = np.random.default_rng((options.seed, place))
        samples = [
            one_sample(simulated(rng, relation, width, geometry == "sqrt-whitened"), images, geometry, rng)
            for _ in range(options.samples)
        ]
        rows.append(row(samples, geometry=geometry, relation=relation, width=width, images=images))
        print(shown(rows[-1]), flush=True)
    real = []
    if options.bank:
        bank = FeatureBank.open(options.bank)
        features, labels, *_ = bank.images()
        population = [np.asarray(features[labels == label], dtype=np.float64) for label in range(len(bank.classes))]
        for place, (geometry, relation, images) in enumerate(product(GEOMETRIES, ("apart", "same"), (5, 20, 60))):
            rng = np.random.default_rng((options.seed, place, 1))
            samples = [
                one_sample(from_images(rng, relation, population), images, geometry, rng)
                for _ in range(options.bank_samples)
            ]
            width = bank.means.shape[1]
            real.append(row(samples, geometry=geometry, relation=relation, width=width, images=images))
            print(f"{shown(real[-1])}  images of {bank.attrs.get('backbone')}", flush=True)
    result = {
        "command": "python benchmarks/interval_coverage.py" + (" --bank BANK.h5" if options.bank else ""),
        "seed": options.seed,
        "level": 0.95,
        "replicates": REPLICATES,
        "classes": {"sources": SOURCES, "targets": TARGETS},
        "simulated": rows,
        "images_of_a_bank": {"dataset": Path(bank.name).name, "rows": real} if options.bank else None,
        "seconds": round(time.perf_counter() - started, 1),
    }
    record(RESULTS / "interval_coverage.json", result, "scipy")


if __name__ == "__main__":
    main()
