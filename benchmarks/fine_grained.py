"""Fine-tuning with no option on a small fine-grained target, beside a linear probe, and what the default crop rests on.

    python benchmarks/fine_grained.py

EfficientNet-Lite0 with ImageNet weights; the 50 classes of CUB-200-2011 that are at hand, 1,452 training and 1,500
official test images, 224 px.

1. `transfer finetune` with its defaults, and a linear probe (`transfer fit-classifier --method linear`), on the test
   images.
2. The probe where the network sees 87.5 % of the shorter side, as it was published, instead of all of it: on the test
   images, and on images held out of the training images (5 folds, twice), by which the default was chosen.

About 15 minutes on two cores. Recorded in benchmarks/results/fine_grained.json; each finished run is kept and reused.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch
from recording import RESULTS, ROOT, WORK, record, sized, standard_error, unpacked
from sklearn.model_selection import RepeatedStratifiedKFold

from features import load_backbone, open_dataset
from finetune import EvaluateConfig, FinetuneConfig, FitClassifierConfig, finetune, fit_classifier
from finetune.classifiers import LinearProbe
from finetune.evaluation.image_pass import score_images

NETWORK = "efficientnet_lite0"
PUBLISHED, WHOLE = 0.875, 1.0


def run(name: str, cub: str, **given: Any) -> dict[str, Any]:
    """One run: its figures on the test images, and what it took."""
    out, began = os.path.relpath(WORK / "finetune" / name), time.perf_counter()
    options = (
        given
        | sized({}, {"image_size": 64})
        | {"dataset": f"{cub}@train", "test": f"{cub}@test", "init": NETWORK, "out": out}
    )
    result = (
        fit_classifier(FitClassifierConfig(**options)) if "method" in options else finetune(FinetuneConfig(**options))
    )
    seconds = None if result.reused else round(time.perf_counter() - began)
    figures = {key: result.metrics[key] for key in ("top1", "macro", "images", "calibration_error")}
    print(f"{name}: top-1 {figures['top1']:.4f} in {seconds} s", flush=True)
    return {"options": given, "seconds": seconds, **figures}


def held_out(cub: str, crop_pct: float) -> dict[str, Any]:
    """Accuracy of the probe on images held out of the training images."""
    dataset, backbone = open_dataset(f"{cub}@train"), load_backbone(NETWORK, crop_pct=crop_pct)
    options = EvaluateConfig(run="", dataset="")
    features, labels, _ = score_images(backbone, dataset, backbone.preprocessing, options)
    found = []
    for learned, held in RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0).split(features, labels):
        probe = LinearProbe().fit(features[learned], labels[learned], len(dataset.classes))
        found.append(float((probe.predict(features[held]) == labels[held]).mean()))
    print(f"held out, crop {crop_pct}: {np.mean(found):.4f}", flush=True)
    return {
        "crop_pct": crop_pct,
        "top1": float(np.mean(found)),
        "standard_error": standard_error(found),
    }


def main() -> None:
    """Measure, print, record."""
    os.chdir(ROOT)  # what is recorded names no folder of this machine
    unpacked("cub50.tar")
    cub = f"cub:{os.path.relpath(WORK)}/CUB_200_2011"
    result = {
        "command": "python benchmarks/fine_grained.py",
        "seed": 0,
        "threads": torch.get_num_threads(),
        "default": run("default", cub, **sized({}, {"epochs": 1})),
        "linear": run("linear", cub, method="linear"),
        "linear, published crop": run("linear-published", cub, method="linear", crop_pct=PUBLISHED),
        "held out": [held_out(cub, crop_pct) for crop_pct in (PUBLISHED, WHOLE)],
    }
    record(RESULTS / "fine_grained.json", result)


if __name__ == "__main__":
    main()
