"""Top-1 error on long-tailed CIFAR-100 (imbalance factor 100), one row a loss, by the papers' protocol.

    OMP_NUM_THREADS=1 python benchmarks/long_tail.py                      # every row, one after the other
    OMP_NUM_THREADS=1 python benchmarks/long_tail.py --rows ldam-drw      # one of them; another core takes another

Every row trains a ResNet-32 by recipes/cifar-lt.yaml with the options in ROWS, which were fixed before any result
was seen, and is evaluated once, after its last epoch, on the balanced test set of 10,000 images. A killed row goes
on from its last checkpoint in runs/benchmarks/long-tail. A finished row is recorded in benchmarks/results/long-tail;
--rows with none named only prints the table.

Expected: about two hours a row on one core with bfloat16, four for the last. The data lies in $TRANSFER_DATA, else
in ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from finetune import FinetuneConfig, finetune
from transfer.archives import unpack
from transfer.cli import read_yaml

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TRANSFER_DATA", ROOT.parent / "shared" / "data"))
WORK = ROOT / "runs" / "benchmarks"
RESULTS = ROOT / "benchmarks" / "results" / "long-tail"
PROTOCOL = ROOT / "recipes" / "cifar-lt.yaml"
#: Options of each row beside the protocol's. Cui et al. chose β for each dataset on its test set; here it is 0.9,
#: for with 5 to 500 images a class 0.9999 is inverse frequency, which hurts from the first epoch on.
ROWS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax"},
    "ldam-drw": {"loss": "ldam-drw"},
    "balanced-softmax": {"loss": "balanced-softmax"},
    "cb-softmax": {"loss": "cb-softmax", "beta": 0.9},
    "cb-focal": {"loss": "cb-focal", "beta": 0.9, "gamma": 1.0},
    "cb-sigmoid": {"loss": "cb-sigmoid", "beta": 0.9},
    # the toolkit's best recipe: what is known to help a small network most, longer; no option tuned on these images
    "best": {
        "loss": "balanced-softmax",
        "augment": "crop-flip+randaugment+cutout",
        "epochs": 400,
        "warmup": 0.0125,  # 5 epochs
        "schedule": "cosine",
        "optimizer": "nesterov",
        "weight_decay": 5e-4,
    },
}
#: The published figure that a row stands beside, in cifar100_lt_if100_top1_error_followups.csv.
PUBLISHED = {
    "softmax": "softmax",
    "cb-focal": "class_balanced_best",
    "ldam-drw": "ldam_drw",
    "balanced-softmax": "balanced_softmax",
}


def run(row: str) -> None:
    """Train a row, or go on with it, and record it."""
    data = f"folder:{WORK}/cifar-100-lt-if100"
    options: dict[str, Any] = {"workers": 0, "precision": "bf16", "device": "cpu"} | read_yaml(PROTOCOL) | ROWS[row]
    began = time.process_time()
    result = finetune(
        FinetuneConfig(
            dataset=f"{data}@train", test=f"{data}@test", out=str(WORK / "long-tail" / row), seed=0, **options
        )
    )
    if result.reused and (RESULTS / f"{row}.json").is_file():
        return
    with (result.run / "history.csv").open(newline="") as file:
        seconds = sum(float(epoch["seconds"]) for epoch in csv.DictReader(file))
    metrics = {name: value for name, value in result.metrics.items() if name not in ("per_class", "evaluated_on")}
    record = {
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/long_tail.py --rows {row}",
        "options": options,
        "seed": 0,
        "metrics": metrics,
        "training_seconds": round(seconds),
        "cpu_seconds_of_this_process": round(time.process_time() - began),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "lightning", "numpy", "pillow")},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{row}.json").write_text(json.dumps(record, indent=1) + "\n")


def show() -> None:
    """Print the table of the rows that are recorded."""
    with (DATA / "published" / "cifar100_lt_if100_top1_error_followups.csv").open(newline="") as file:
        published = {line["method"]: line["top1_error_percent"] for line in csv.DictReader(file)}
    print(f"{'':<18}{'top-1 error %':>14}{'published':>11}{'many':>8}{'medium':>8}{'few':>8}  (accuracy %)")
    for row in ROWS:
        file = RESULTS / f"{row}.json"
        if file.is_file():
            metrics = json.loads(file.read_text())["metrics"]
            groups = "".join(f"{100 * metrics[name]:8.1f}" for name in ("many", "medium", "few"))
            known = published.get(PUBLISHED.get(row, ""), "")
            print(f"{row:<18}{100 * (1 - metrics['top1']):14.2f}{known:>11}{groups}")


def main() -> None:
    """Run the rows that are asked for, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    rows = parser.parse_args().rows
    unpack(["cifar-100-lt-if100.tar"], DATA, WORK)
    for row in rows:
        run(row)
        show()


if __name__ == "__main__":
    main()
