"""Top-1 error on long-tailed CIFAR-100 (imbalance factor 100), one row a loss, by the papers' protocol.

    OMP_NUM_THREADS=1 python benchmarks/long_tail.py                      # every row, one after the other
    OMP_NUM_THREADS=1 python benchmarks/long_tail.py --rows ldam-drw      # one of them; another core takes another

Every row trains a ResNet-32 by recipes/training/cifar-lt.yaml with the options in ROWS (best by cifar-lt-best.yaml),
and is evaluated once, after its last epoch, on the balanced test set of 10,000 images. The options were fixed before
any result was seen, but for the row with another weight decay, which was added when that with the papers' was known.
Classifiers on the features of balanced softmax and LDAM-DRW, and cRT on augmented images, were added later too, as the
paper has them. A killed row goes on from its last checkpoint in runs/benchmarks/long-tail. A finished row is recorded
in benchmarks/results/long-tail; --rows with none named only prints the table.

Expected: two to five hours a row on one core with bfloat16, eight for best, minutes for classifiers.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from typing import Any

import torch
from recording import DATA, RESULTS, ROOT, WORK, record, sized, unpacked

from finetune import FinetuneConfig, FitClassifierConfig, finetune, fit_classifier
from transfer.command_line import read_yaml

ROWS_OF_RESULTS = RESULTS / "long-tail"
PROTOCOL = ROOT / "recipes" / "training" / "cifar-lt.yaml"
#: Options of each row beside the protocol's. Cui et al. chose β for each dataset on its test set; here it is 0.9,
#: for with 5 to 500 images a class 0.9999 is inverse frequency, which hurts from the first epoch on.
ROWS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax"},
    "ldam-drw": {"loss": "ldam-drw"},
    "balanced-softmax": {"loss": "balanced-softmax"},
    # the protocol with the weight decay that later work on this network uses
    "balanced-softmax-wd5e-4": {"loss": "balanced-softmax", "weight_decay": 5e-4},
    "cb-softmax": {"loss": "cb-softmax", "beta": 0.9},
    "cb-focal": {"loss": "cb-focal", "beta": 0.9, "gamma": 1.0},
    "cb-sigmoid": {"loss": "cb-sigmoid", "beta": 0.9},
    # the toolkit's best recipe: what is known to help a small network most, longer; no option tuned on these images
    "best": read_yaml(ROOT / "recipes" / "training" / "cifar-lt-best.yaml"),
}
#: Classifiers on the frozen representation of a row above. τ is 1: to choose it, images would have to be held out of
#: the training.
STAGE_TWO: dict[str, dict[str, Any]] = {
    "softmax + ncm": {"method": "ncm"},
    "softmax + crt": {"method": "crt"},
    # as the paper has it: ten epochs of augmented images
    "softmax + crt-augmented": {
        "classifier": "new",
        "freeze": 1.0,
        "sampler": "class",
        "augment": "crop-flip",
        "epochs": 10,
        "batch_size": 128,
        "optimizer": "sgd",
        "lr": 0.1,
        "weight_decay": 5e-4,
        "warmup": 0.0,
    },
    "softmax + lws": {"method": "lws"},
    "softmax + tau": {"method": "tau", "tau": 1.0},
    "softmax + logit-adjusted": {"method": "logit-adjusted", "tau": 1.0},
    "balanced-softmax + crt": {"method": "crt"},
    "balanced-softmax-wd5e-4 + crt": {"method": "crt"},
    "ldam-drw + crt": {"method": "crt"},
}
#: The published figure that a row stands beside, in cifar100_lt_if100_top1_error_followups.csv.
PUBLISHED = {
    "softmax": "softmax",
    "cb-focal": "class_balanced_best",
    "ldam-drw": "ldam_drw",
    "balanced-softmax": "balanced_softmax",
    "softmax + crt": "crt",
    "softmax + crt-augmented": "crt",
    "softmax + lws": "lws",
    "softmax + tau": "tau_norm",
}


def run(row: str) -> None:
    """Train a row, or go on with it, and record it."""
    data = f"folder:{WORK}/cifar-100-lt-if100"
    options: dict[str, Any] = {"workers": 0, "precision": "bf16", "device": "cpu"}
    if row in STAGE_TWO:
        options |= STAGE_TWO[row] | (sized({}, {"epochs": 1}) if "epochs" in STAGE_TWO[row] else {})
        start = {"init": str(WORK / "long-tail" / row.partition(" + ")[0])}
    else:
        options |= read_yaml(PROTOCOL) | ROWS[row] | sized({}, {"epochs": 1})
        start = {}
    out = WORK / "long-tail" / row.replace(" + ", "-")
    began = time.process_time()
    fields = {"dataset": f"{data}@train", "test": f"{data}@test", "out": str(out), "seed": 0, **options, **start}
    result = fit_classifier(FitClassifierConfig(**fields)) if start else finetune(FinetuneConfig(**fields))
    path = ROWS_OF_RESULTS / f"{out.name}.json"
    if result.reused and path.is_file():
        return
    history = result.run / "history.csv"
    epochs = csv.DictReader(history.open(newline="")) if history.is_file() else ()
    content = {
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/long_tail.py --rows {row!r}",
        "options": options,
        "seed": 0,
        "metrics": {name: value for name, value in result.metrics.items() if name != "evaluated_on"},
        "training_seconds": round(sum(float(epoch["seconds"]) for epoch in epochs)),
        "cpu_seconds_of_this_process": round(time.process_time() - began),
    }
    record(path, content, "pillow")


def show() -> None:
    """Print the table of the rows that are recorded."""
    with (DATA / "published" / "cifar100_lt_if100_top1_error_followups.csv").open(newline="") as file:
        published = {line["method"]: line for line in csv.DictReader(file)}
    head = f"{'':<30}{'top-1 error %':>14}{'published':>11}{'many':>8}{'medium':>8}{'few':>8}"
    print(f"{head}  (accuracy %); what was published is of")
    for row in (*ROWS, *STAGE_TWO):
        file = ROWS_OF_RESULTS / f"{row.replace(' + ', '-')}.json"
        if file.is_file():
            metrics = json.loads(file.read_text())["metrics"]
            shares = (metrics[name] for name in ("many", "medium", "few"))
            groups = "".join(f"{'–' if share is None else format(100 * share, '.1f'):>8}" for share in shares)
            known = published.get(PUBLISHED.get(row, ""), {"top1_error_percent": "", "protocol": ""})
            error, protocol = known["top1_error_percent"], known["protocol"]
            print(f"{row:<30}{100 * (1 - metrics['top1']):14.2f}{error:>11}{groups}  {protocol}".rstrip())


def main() -> None:
    """Run the rows that are asked for, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    rows = [*ROWS, *STAGE_TWO]
    parser.add_argument(
        "--rows", nargs="*", choices=rows, default=sized(rows, ["softmax", "softmax + crt"]), metavar="ROW"
    )
    rows = parser.parse_args().rows
    unpacked("cifar-100-lt-if100.tar")
    for row in rows:
        run(row)
    show()


if __name__ == "__main__":
    main()
