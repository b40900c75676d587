"""Pre-training on source classes: one or several datasets, all of them or the subset that was selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from features.backbones import load_backbone
from features.dataset import ImageDataset, concatenate
from features.errors import InputError
from features.readers import open_dataset
from finetune.configuration import TrainingConfig
from finetune.training import TrainingResult, fit
from similarity.subset import Subset


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Pre-train a backbone on source classes with a class-balanced loss.

    Attributes:
        sources: Dataset specs of the sources; with --subset, by default those that it names.
        subset: Subset file of transfer select; by default every class.
        backbone: A torchvision or timm name, efficientnet_lite0, resnet8 … resnet56, or a run directory.
        weights: none starts from random weights; default from published ones; or a state-dict file.
    """

    sources: list[str] = field(default_factory=list)
    subset: str | None = None
    backbone: str = "resnet50"
    weights: str = "none"
    loss: str = "cb-softmax"

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
    torch.manual_seed(config.seed)
    backbone = load_backbone(config.backbone, config.weights, config.image_size)
    return fit(backbone, dataset, config)


def source_images(sources: Sequence[str], subset_file: str | None) -> ImageDataset:
    """The images of the selected classes of all sources, as one dataset.

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
        return concatenate([open_dataset(spec).restrict(subset.classes_of(spec)) for spec in named])
    except InputError as error:
        raise InputError(f"--subset {subset_file}: {error}") from error
