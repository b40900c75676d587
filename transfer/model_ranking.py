"""Which pre-trained model will serve a target best: every measure, and a linear probe's test accuracy.

Cui et al. (CVPR 2018) name the choice of a pre-trained model as a use of domain similarity. Large comparisons find no
measure that is best everywhere, so all of them stand in one table, with the number of parameters and, where there is
a test set, the accuracy that a linear probe reaches on it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from features import ExtractConfig, FeatureBank, extract, load_backbone, open_dataset
from features.backbones.family import is_model_address
from features.checkpoint import find_checkpoint, is_trained_model
from features.infrastructure.console import console
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, located
from finetune.classifiers import LinearProbe
from finetune.evaluation.class_matching import align_classes
from finetune.model import ImageClassifier, as_scores
from similarity import MEASURES, Evidence, measure
from similarity.measures import Score, Unmeasured, rank_correlation, reasons, values

if TYPE_CHECKING:
    from transfer.commands.rank_models import RankModelsConfig


@dataclass(frozen=True)
class Candidate:
    """One model of a ranking.

    Attributes:
        model: ``MODEL[:WEIGHTS]`` as the user typed it.
        name: The model without its weights.
        weights: Its weights, ``default`` unless they were typed.
        measures: Name → value, or the reason why there is none.
        top1: Accuracy of a linear probe on the test images, 0 to 1; None without a test set.
        bank: File of the target's feature bank under the model.
    """

    model: str
    name: str
    weights: str
    measures: Mapping[str, Score | Unmeasured]
    top1: float | None
    bank: Location


@dataclass(frozen=True)
class ModelRanking:
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
        """Measure → Kendall's weighted τ with the test accuracy; empty without a test set."""
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


def measure_models(config: RankModelsConfig) -> ModelRanking:
    """Extract the target's features under each model, take the measures, and order the models.

    Raises:
        InputError: A model or a dataset cannot be opened, the target has one class, or the test set has other classes.
    """
    target = open_dataset(config.target)  # everything that may be wrong is checked before any work
    if len(target.classes) < 2:
        raise InputError(f"{config.target}: has one class, {target.classes[0]!r}; comparing models takes at least two")
    place_of = None
    if config.test is not None:
        place_of = align_classes(open_dataset(config.test), target.classes, target.numbers)
    for model in config.model:
        try:
            load_backbone(*model_and_weights(model), seed=config.seed)
        except InputError as error:  # in words: here `weights` and `backbone` are no options
            raise InputError(f"`model` {model}: {str(error).replace('`', '')}") from error
    candidates = []
    for number, model in enumerate(config.model, start=1):
        console.print(f"model {number} of {len(config.model)}: {model}")
        candidates.append(_measured(model, config, place_of))
    sign = 1 if MEASURES[config.order].direction == "lower" else -1

    def place(candidate: Candidate) -> float:
        one = candidate.measures[config.order]
        return sign * one.value if isinstance(one, Score) else float("inf")

    return ModelRanking(config.target, config.order, tuple(sorted(candidates, key=place)))


def _measured(model: str, config: RankModelsConfig, place_of: NDArray[np.int64] | None) -> Candidate:
    """The measures of a model; ``place_of`` is the position in the target of each class of the test set."""
    name, weights = model_and_weights(model)
    backbone = load_backbone(name, weights, seed=config.seed)
    parameters = sum(p.numel() for p in backbone.parameters())

    def bank(spec: str) -> FeatureBank:
        called = backbone.name.replace("/", "-")  # of an address
        key = f"{hashlib.sha256(os.fsencode(spec)).hexdigest()[:8]}-{called}-{backbone.weights_sha256()[:8]}"
        extraction = ExtractConfig(
            dataset=spec,
            out=str(located(config.cache) / f"{key}.h5"),
            backbone=name,
            weights=weights,
            seed=config.seed,
            keep_images=True,
            device=config.device,
            precision=config.precision,
            workers=config.workers,
        )
        return extract(extraction).bank

    learned = bank(config.target)
    features, labels, _ = learned.images()
    posterior = _posterior(name, backbone.classifier, features)
    taken = measure(config.taken, Evidence(learned, posterior=posterior, parameters=parameters, seed=config.seed))
    top1 = None
    if config.test is not None and place_of is not None:
        probe = LinearProbe().fit(features, labels, len(learned.classes))
        tested, places, _ = bank(config.test).images()
        top1 = float((probe.predict(tested) == place_of[places]).mean())
    return Candidate(model, name, weights, taken, top1, located(str(learned.path)))


def model_and_weights(model: str) -> tuple[str, str]:
    """The model and the weights of ``MODEL[:WEIGHTS]``."""
    name, colon, weights = model.rpartition(":")
    whole = is_trained_model(model) or (
        is_model_address(model) and not is_model_address(name)
    )  # hf-hub: is a part of the name
    return (name, weights) if colon and not whole else (model, "default")


def _posterior(
    name: str, published: tuple[torch.Tensor, torch.Tensor] | None, features: NDArray[np.floating]
) -> NDArray[np.float64] | None:
    """(N, Z) class probabilities of the target's images by the model's own classifier; None if it has none."""
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
