"""How long does selection from a million source classes take, and how much memory?

    python benchmarks/selection_scale.py

The source and the target are banks of drawn class means on the disk (256 features, rectified Gaussians around a tree of
centres, as class means lie; counts have a long tail). Measured is the whole command `transfer select --out`, without a
size, from opening the banks to the written subset, in a process of its own for its peak memory.

Expected on 2 quiet cores: a million × 1,000 classes in less than a minute and 8 GiB with the default strategy.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from recording import RESULTS, record, run_transfer, sized

from features import FeatureBank
from similarity import DEFAULT_STRATEGY, Subset

WIDTH, TARGETS, SEED = 256, 1_000, 0
SIZES = sized((10_000, 100_000, 1_000_000), (1_000,))


def drawn(name: str, classes: int, branches: np.ndarray, rng: np.random.Generator) -> FeatureBank:
    """A bank of drawn class means."""
    means = rng.standard_normal((classes, WIDTH), dtype=np.float32) * np.float32(0.6)
    means += branches[rng.integers(0, len(branches), classes)]
    np.maximum(means, 0, out=means)
    counts = np.maximum(10, 1000 * np.arange(1, classes + 1) ** -0.5).astype(np.int64)
    attrs = {"dataset": f"drawn:{name}", "backbone": "drawn", "weights_sha256": "", "transform": "", "pooling": ""}
    within = np.diag(rng.gamma(2.0, 0.02, WIDTH)).astype(np.float32)
    names = tuple(f"{name} {i}" for i in range(classes))
    return FeatureBank(names, counts, means, np.full_like(means, 0.04), within, attrs)


def measure(classes: int) -> dict[str, Any]:
    """Seconds and peak memory of one selection."""
    rng = np.random.default_rng(SEED)
    roots = rng.normal(size=(12, WIDTH))
    branches = (np.repeat(roots, 20, axis=0) + 0.7 * rng.normal(size=(240, WIDTH))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        banks = {name: Path(folder) / f"{name}.h5" for name in ("source", "target")}
        drawn("source", classes, branches, rng).write(banks["source"])
        drawn("target", TARGETS, branches, rng).write(banks["target"])
        options = ["--target", str(banks["target"]), "--source", str(banks["source"]), "--out", f"{folder}/subset.csv"]
        run = run_transfer("select", *options)
        chosen = len(Subset.read(f"{folder}/subset.csv"))
    return {
        "sources": classes,
        "targets": TARGETS,
        "seconds": round(run.seconds, 1),
        "peak_gib": round(run.peak_gib, 2),
        "chosen": chosen,
    }


def main() -> None:
    """Measure every size; record."""
    rows = []
    for classes in SIZES:
        rows.append(measure(classes))
        print(rows[-1], flush=True)
    result = {"command": "python benchmarks/selection_scale.py", "seed": SEED, "width": WIDTH, "cores": os.cpu_count()}
    record(RESULTS / "selection_scale.json", result | {"strategy": DEFAULT_STRATEGY, "rows": rows})


if __name__ == "__main__":
    main()
