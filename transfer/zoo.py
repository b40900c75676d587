"""A model zoo: which pre-trained model will serve a target best, by every measure, and by a probe's test accuracy.

Cui et al. (CVPR 2018) name the choice of a model from a zoo as what domain similarity is for. Large comparisons find
no measure best everywhere, so all stand in one table, beside the size of the models and, where there is a test set,
the accuracy that a linear probe reaches on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from features import ExtractConfig, FeatureBank, extract, load_backbone, open_dataset
from features.checkpoint import find_checkpoint
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from finetune.classifiers import LinearProbe
from finetune.evaluation.evaluator import align_classes
from finetune.model import ImageClassifier, as_scores
from similarity import MEASURES, Evidence, measure
from similarity.measures import Score, Unmeasured, rank_correlation, reasons, values


@dataclass(frozen=True)
class Candidate:
    """One model of a zoo.

    Attributes:
        model: As the person named it.
        measures: What promises good transfer, by name.
        top1: Share of the test images that a linear probe on the model's features gets right; None without a test.
        bank: The target's feature bank under the model.
    """

    model: str
    measures: Mapping[str, Score | Unmeasured]
    top1: float | None
    bank: Path


@dataclass(frozen=True)
class ZooRanking:
    """Models, best first.

    Attributes:
        target: Dataset spec of the target.
        by: The measure that orders them.
        candidates: The models; those that could not be measured come last.
    """

    target: str
    by: str
    candidates: tuple[Candidate, ...]

    @property
    def agreement(self) -> dict[str, float]:
        """Of each measure, Kendall's weighted τ with the accuracy on the test set; empty without one."""
        found = {}
        for name in self.candidates[0].measures:
            pairs = [
                (one.value, candidate.top1)
                for candidate in self.candidates
                if isinstance(one := candidate.measures[name], Score) and candidate.top1 is not None
            ]
            if len(pairs) > 2:
                found[name] = rank_correlation(*zip(*pairs, strict=True), direction=MEASURES[name].direction)
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "by": self.by,
            "models": [
                {"model": c.model, "measures": values(c.measures), "test_top1": c.top1, "bank": str(c.bank)}
                for c in self.candidates
            ],
            "agreement": {name: None if np.isnan(tau) else tau for name, tau in self.agreement.items()},
            "unmeasured": reasons(c.measures for c in self.candidates),
        }


def rank_models(
    target: str,
    models: Sequence[str],
    names: Sequence[str],
    *,
    by: str,
    cache: str,
    test: str | None = None,
    seed: int = 0,
    **options: Any,
) -> ZooRanking:
    """Extract the target under each model, measure, and order the models.

    Args:
        target: Dataset spec of the target's training images.
        models: Names of backbones or run directories, each with its weights if wanted: MODEL[:WEIGHTS].
        names: Measures to take.
        by: The one that orders them, of ``names``.
        cache: Folder of the target's banks, which are reused.
        test: Dataset spec of the target's test images.
        seed: Of every draw, and of the weights of a model that has none.
        options: Of the extraction: device, precision, workers.

    Raises:
        InputError: A model or a dataset cannot be opened, or the test set has other classes.
    """
    learned_classes = open_dataset(target).classes  # all that may be wrong, before any work
    if len(learned_classes) < 2:
        raise InputError(f"{target}: has one class, {learned_classes[0]!r}; models are told apart on at least two")
    if test is not None:
        align_classes(open_dataset(test), learned_classes)
    for model in models:
        load_backbone(*_weights(model))
    candidates = []
    for number, model in enumerate(models, start=1):
        name, weights = _weights(model)
        console.print(f"model {number} of {len(models)}: {model}")
        torch.manual_seed(seed)  # what a model without weights gets, in every extraction the same
        backbone = load_backbone(name, weights)
        parameters = sum(p.numel() for p in backbone.parameters())
        key = f"{backbone.name}-{backbone.weights_sha256()[:8]}"

        def bank(spec: str, key: str = key, name: str = name, weights: str = weights) -> FeatureBank:
            torch.manual_seed(seed)
            out = str(Path(cache) / f"{hashlib.sha256(spec.encode()).hexdigest()[:8]}-{key}.h5")
            return extract(
                ExtractConfig(dataset=spec, backbone=name, weights=weights, out=out, keep_images=True, **options)
            ).bank

        learned = bank(target)
        features, labels, _ = learned.images()
        posterior = _posterior(name, backbone.classifier, features)
        taken = measure(names, Evidence(learned, posterior=posterior, parameters=parameters, seed=seed))
        top1 = None if test is None else _probe_accuracy(learned, features, labels, bank(test))
        candidates.append(Candidate(model, taken, top1, Path(str(learned.path))))
    sign = 1 if MEASURES[by].direction == "lower" else -1

    def place(candidate: Candidate) -> float:
        one = candidate.measures[by]
        return sign * one.value if isinstance(one, Score) else float("inf")

    return ZooRanking(target, by, tuple(sorted(candidates, key=place)))


def _weights(model: str) -> tuple[str, str]:
    """``MODEL[:WEIGHTS]`` taken apart."""
    name, colon, weights = model.rpartition(":")
    return (name, weights) if colon and not Path(model).exists() else (model, "default")


def _posterior(
    name: str, published: tuple[torch.Tensor, torch.Tensor] | None, features: NDArray[np.floating]
) -> NDArray[np.float64] | None:
    """(N, Z) what the model's own classifier says of the target's images; None where it has none."""
    rows = torch.from_numpy(np.asarray(features, dtype=np.float32))
    with torch.inference_mode():
        if find_checkpoint(name) is not None:
            model, card = ImageClassifier.open(name)
            scores = as_scores(model.head(rows) * card.get("scale", 1.0), card.get("sigmoid", False))
        elif published is not None:
            scores = as_scores(torch.nn.functional.linear(rows, *published), sigmoid=False)
        else:
            return None
    probabilities = scores.double().numpy()
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True), dtype=np.float64)


def _probe_accuracy(
    learned: FeatureBank, features: NDArray[np.floating], labels: NDArray[np.int64], test: FeatureBank
) -> float:
    """Top-1 of a linear probe on the test images."""
    position = {name: i for i, name in enumerate(learned.classes)}
    probe = LinearProbe().fit(features, labels, len(learned.classes))
    tested, places, _ = test.images()
    truth = np.array([position[name] for name in test.classes])[places]
    return float((probe.predict(tested) == truth).mean())
