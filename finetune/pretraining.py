"""Pre-training on source classes: one or several datasets, all of them or the subset that was selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from features.backbones.loading import load_backbone
from features.checkpoint import find_checkpoint
from features.dataset import ImageDataset, concatenate
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from finetune.configuration import TrainingConfig
from finetune.samplers import balances
from finetune.training.fitting import TrainingResult, fit
from finetune.training.search import best_options
from finetune.training.validation import check_validation
from similarity.selection.subset import Subset


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Pre-train a backbone on source classes with a class-balanced loss.

    Attributes:
        sources: Dataset specs of the sources; with --subset, by default those that it names.
        subset: Subset file of transfer select; by default every class.
        backbone: A torchvision or timm name, efficientnet_lite0, resnet8 … resnet56, or a run directory.
        weights: For a model's name: none starts from random weights (as if not given), default from
            published ones; or a state-dict file.
        loss: softmax, cb-softmax, cb-sigmoid, cb-focal, …: see transfer inspect losses. By default cb-softmax, or
            softmax where the sampler makes up for the sizes of the classes.
    """

    sources: list[str] = field(default_factory=list)
    subset: str | None = None
    backbone: str = "resnet50"
    weights: str | None = None
    loss: str = None  # type: ignore[assignment]

    def defaults(self) -> Mapping[str, Any]:
        return {**super().defaults(), "loss": "softmax" if balances(self.sampler) else "cb-softmax"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources and self.subset is None:
            raise InputError("pretrain needs a source: give dataset specs, or --subset FILE")


def pretrain(config: PretrainConfig) -> TrainingResult:
    """Pre-train, resume, or reuse the finished run at ``config.out``.

    Raises:
        InputError: A source cannot be opened, the subset does not fit it, or another run stands at
            ``out``.
    """
    dataset = source_images(config.sources, config.subset)
    if config.search:
        check_validation(config, dataset)
        config = best_options(config, pretrain, int(dataset.counts.min()))
    torch.manual_seed(config.seed)
    own = "default" if find_checkpoint(config.backbone) else "none"
    backbone = load_backbone(config.backbone, config.weights or own, config.image_size, config.crop_pct)
    return fit(backbone, dataset, config)


def source_images(sources: Sequence[str], subset_file: str | None) -> ImageDataset:
    """The images of the selected classes of all sources, as one dataset.

    With a subset, the order of its classes follows from their names alone: equal choices train equally.

    Raises:
        InputError: The subset names a source that is not given, or a class that it lacks.
    """
    if subset_file is None:
        return concatenate([open_dataset(spec) for spec in sources])
    subset = Subset.read(subset_file)
    named = subset.sources
    unknown = [spec for spec in named if sources and spec not in sources]
    if unknown:
        raise InputError(
            f"--subset {subset_file}: names the source {unknown[0]!r}, which is not given; given: {', '.join(sources)}"
        )
    try:
        return concatenate([_restricted(open_dataset(spec), subset) for spec in sorted(named)])
    except InputError as error:
        raise InputError(f"--subset {subset_file}: {error}") from error


def _restricted(dataset: ImageDataset, subset: Subset) -> ImageDataset:
    """The chosen classes in the dataset's own order: what is trained does not depend on who ranked first."""
    position = {name: i for i, name in enumerate(dataset.classes)}
    chosen = subset.classes_of(dataset.spec)
    return dataset.restrict(sorted(chosen, key=lambda name: position.get(name, len(position))))
