"""How long does domain similarity at the paper's scale take, beside the solvers that there are?

    python benchmarks/emd.py                 # ours and POT
    python benchmarks/emd.py --pyemd 600     # and pyemd, for at most about 600 seconds (pip install pyemd)
    python benchmarks/emd.py --scale         # sets that no exact solver takes: the semi-dual, up to a million classes

Cui et al. (CVPR 2018) rank 3 sources for 7 targets: ImageNet (1,000 classes), iNaturalist 2017 (5,089) and the two
together (6,089) for CUB (200), NABirds (555), Dogs (120), Flowers (102), Cars (196), Aircraft (100) and Food (101),
with features of width 2,048. Their code printed 2,515.8 seconds for the 21 distances.

The features here are drawn (rectified Gaussians around a tree of centres, as class means lie; counts have a long
tail), since the datasets are not at hand; every solver gets the same arrays, and all must agree.

- ours: from the ten feature banks on the disk: opened, checked, measured, solved, certified; in the paper's
  geometry and in the default one, whose fit of 2,048 × 2,048 covariances is part of the time.
- POT: ot.emd2 on SciPy's distances, in the paper's geometry, arrays in memory.
- pyemd: the same; it solves on the union of both sets, so its cost grows with the square of S + T. Pairs in the
  order of their size, until the time is used up.

Expected on 2 cores: all 21 in less than 20 seconds in either geometry; distances equal to 1e-9.

--scale leaves the other rows as they were recorded. Each size is a process of its own, for its peak memory; 256
features, drawn as above, raw and brought to length 1. 20,000 × 1,000 is solved by ot.emd2 too, in the same process:
ours and ot.emd2 in turn, five times after a first call of each, of which the medians are recorded. A million × 1,000
takes about half a minute and 3 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from recording import RESULTS, WORK, in_child, memory, record, sized
from scipy.spatial.distance import cdist

from features import FeatureBank
from similarity import DEFAULT_GEOMETRY, emd, fit_geometry

BANKS = WORK / "emd"
RESULT = RESULTS / "emd.json"
SOURCES = sized({"imagenet": 1000, "inat": 5089, "both": 6089}, {"imagenet": 60, "inat": 80, "both": 140})
TARGETS = {"cub": 200, "nabirds": 555, "dogs": 120, "flowers": 102, "cars": 196, "aircraft": 100, "food": 101}
WIDTH = sized(2048, 32)
SEED = 0
#: Source classes of the growth curve, and whether ot.emd2 solves them too.
SCALE = sized({20_000: True, 50_000: False, 100_000: False, 300_000: False, 1_000_000: False}, {2_000: True})
TURNS = sized(5, 2)
SCALE_TARGETS, SCALE_WIDTH = sized((1000, 256), (50, 32))


def banks() -> dict[str, Path]:
    """The ten feature banks, drawn once."""
    rng = np.random.default_rng(SEED)
    roots = rng.normal(size=(12, WIDTH))
    branches = np.repeat(roots, 20, axis=0) + 0.7 * rng.normal(size=(240, WIDTH))
    within = np.diag(rng.gamma(2.0, 0.02, WIDTH)).astype(np.float32)

    def draw(name: str, n_classes: int) -> FeatureBank:
        means = np.maximum(branches[rng.integers(0, 240, n_classes)] + 0.6 * rng.normal(size=(n_classes, WIDTH)), 0)
        counts = np.maximum(10, 1000 * np.arange(1, n_classes + 1) ** -0.5).astype(np.int64)
        attrs = {"dataset": f"drawn:{name}", "backbone": "drawn", "weights_sha256": "", "transform": "", "pooling": ""}
        names = tuple(f"{name} {i}" for i in range(n_classes))
        return FeatureBank(names, counts, means.astype("f4"), np.full(means.shape, 0.04, "f4"), within, attrs)

    paths = {name: BANKS / f"{name}-{SEED}.h5" for name in (*SOURCES, *TARGETS)}
    if not all(path.exists() for path in paths.values()):
        parts = {name: draw(name, SOURCES[name]) for name in ("imagenet", "inat")}
        for name, size in TARGETS.items():
            draw(name, size).write(paths[name])
        first, second = parts.values()
        both = FeatureBank(
            classes=first.classes + second.classes,
            counts=np.concatenate([first.counts, second.counts]),
            means=np.concatenate([first.means, second.means]),
            variances=np.concatenate([first.variances, second.variances]),
            within_covariance=within,
            attrs=dict(first.attrs) | {"dataset": "drawn:both"},
        )
        for name, bank in (parts | {"both": both}).items():
            bank.write(paths[name])
    return paths


def ours(paths: dict[str, Path], geometry: str) -> tuple[dict[str, float], float]:
    """The 21 distances from the files, and the seconds."""
    started = time.perf_counter()
    opened = {name: FeatureBank.open(path) for name, path in paths.items()}
    found = {}
    for target in TARGETS:  # one fit a target, as `transfer rank` does it
        metric = fit_geometry(geometry, [opened[target]], [opened[name] for name in SOURCES])
        points = metric.points(opened[target].means)
        for source in SOURCES:
            bank = opened[source]
            result = emd(metric.points(bank.means), bank.counts, points, opened[target].counts)
            found[f"{source}-{target}"] = result.value
    return found, time.perf_counter() - started


def pairs(paths: dict[str, Path]) -> dict[str, tuple[np.ndarray, ...]]:
    """Means and normalised counts of both sides of each pair."""

    def side(name: str) -> tuple[np.ndarray, np.ndarray]:
        bank = FeatureBank.open(paths[name])
        return bank.means.astype(np.float64), bank.counts / bank.counts.sum()

    sides = {name: side(name) for name in paths}
    return {f"{s}-{t}": (*sides[s], *sides[t]) for s, t in product(SOURCES, TARGETS)}


def pot(pair: tuple[np.ndarray, ...]) -> float:
    import ot

    x, a, y, b = pair
    return float(ot.emd2(a, b, cdist(x, y), numItermax=100_000_000))


def pyemd(pair: tuple[np.ndarray, ...]) -> float:
    from pyemd import emd as solve

    x, a, y, b = pair
    z = np.concatenate([x, y])
    first, second = np.concatenate([a, 0 * b]), np.concatenate([0 * a, b])
    return float(solve(first, second, cdist(z, z)))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and the seconds that it took."""
    started = time.perf_counter()
    found = work()
    return found, round(time.perf_counter() - started, 3)


def bounded(sources: int, targets: int, unit_length: bool, exact: bool) -> dict[str, Any]:
    """A distance by the semi-dual: its bounds, seconds and peak memory."""
    rng = np.random.default_rng(SEED)
    roots = rng.normal(size=(12, SCALE_WIDTH))
    branches = np.repeat(roots, 20, axis=0) + 0.7 * rng.normal(size=(240, SCALE_WIDTH))

    def draw(classes: int) -> tuple[np.ndarray, np.ndarray]:
        points = rng.standard_normal((classes, SCALE_WIDTH), dtype=np.float32) * np.float32(0.6)
        points += branches.astype(np.float32)[rng.integers(0, 240, classes)]
        np.maximum(points, 0, out=points)
        if unit_length:
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        return points, np.maximum(10, 1000 * np.arange(1, classes + 1) ** -0.5)

    (x, a), (y, b) = draw(sources), draw(targets)
    found, first = timed(lambda: emd(x, a, y, b, solver="semi-dual"))
    row: dict[str, Any] = {
        "sources": sources,
        "targets": targets,
        "points": "length 1" if unit_length else "raw",
        "seconds": first,
        "peak_gib": round(memory("VmHWM") / 2**30, 2),
        "lower_bound": found.lower_bound,
        "upper_bound": found.upper_bound,
        "gap": found.gap,
    }
    if exact:
        pair = x.astype(np.float64), a / a.sum(), y.astype(np.float64), b / b.sum()
        value, pot_first = timed(lambda: pot(pair))
        turns = [
            (timed(lambda: emd(x, a, y, b, solver="semi-dual"))[1], timed(lambda: pot(pair))[1]) for _ in range(TURNS)
        ]
        seconds, pot_seconds = (float(np.median(of)) for of in zip(*turns, strict=True))
        row |= {"first_seconds": first, "seconds": seconds, "pot_first_seconds": pot_first, "pot_seconds": pot_seconds}
        row |= {"turns": turns, "pot": value, "ours / POT": seconds / pot_seconds}
        row["between the bounds"] = found.lower_bound * (1 - 1e-9) <= value <= found.upper_bound * (1 + 1e-9)
    return row


def scale() -> None:
    """The growth curve, recorded beside what stands in the result."""
    rows = []
    for sources, exact in SCALE.items():
        for unit_length in (False, True):
            rows.append(in_child(bounded, sources, SCALE_TARGETS, unit_length, exact))
            print(rows[-1], flush=True)
    result = json.loads(RESULT.read_text())
    result["semi-dual"] = {
        "command": "python benchmarks/emd.py --scale",
        "width": SCALE_WIDTH,
        "cores": os.cpu_count(),
        "rows": rows,
    }
    record(RESULT, result, "scipy")


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pyemd", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--scale", action="store_true")
    arguments = parser.parse_args()
    if arguments.scale:
        scale()
        return
    paths = banks()
    before = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    result: dict[str, Any] = {name: row for name, row in before.items() if name == "semi-dual"}
    result |= {"command": " ".join(["python", "benchmarks/emd.py", *sys.argv[1:]]), "seed": SEED}
    for geometry in ("euclidean", DEFAULT_GEOMETRY):
        values, seconds = ours(paths, geometry)
        result[f"ours, {geometry}"] = {"seconds": round(seconds, 2), "pairs": len(values)}
        print(f"ours, {geometry}: {len(values)} distances in {seconds:.1f} s", flush=True)
        if geometry == "euclidean":
            expected = values
    data = pairs(paths)
    started, worst = time.perf_counter(), 0.0
    for name, pair in data.items():
        worst = max(worst, abs(pot(pair) / expected[name] - 1))
    result["POT, euclidean"] = {"seconds": round(time.perf_counter() - started, 2), "pairs": len(data)}
    result["largest relative difference of ours and POT"] = worst
    print(
        f"POT, euclidean: {len(data)} distances in {result['POT, euclidean']['seconds']:.1f} s; differs by {worst:.1e}"
    )
    if arguments.pyemd:
        rows = []
        started = time.perf_counter()
        for name in sorted(data, key=lambda name: len(data[name][1]) + len(data[name][3])):
            if time.perf_counter() - started > arguments.pyemd:
                break
            before = time.perf_counter()
            value = pyemd(data[name])
            between = time.perf_counter()
            pot(data[name])
            after = time.perf_counter()
            rows.append(
                {
                    "pair": name,
                    "pyemd_seconds": round(between - before, 2),
                    "pot_seconds": round(after - between, 2),
                    "relative_difference": abs(value / expected[name] - 1),
                }
            )
            print(rows[-1], flush=True)
        result["pyemd, euclidean"] = rows
    record(RESULT, result, "scipy", *(["pyemd"] if arguments.pyemd else []))


if __name__ == "__main__":
    main()
