"""Pre-training on source classes: one or several datasets, all of them or the subset that was selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from features.backbones.loading import load_backbone
from features.checkpoint import is_trained_model
from features.dataset import ImageDataset, concatenate
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from finetune.losses.loss import DEFAULT_BALANCED_LOSS, DEFAULT_LOSS, LOSSES, Loss
from finetune.shared_options import TrainingOptions, resolve
from finetune.shared_options.base import Choice
from finetune.shared_options.training import Rates
from finetune.training.fitting import TrainingResult, fit
from finetune.training.search import best_options
from finetune.training.validation import check_validation
from similarity.selection.subset import Subset

RATES: Rates = {"nesterov": (0.1, 0.0005), "sgd": (0.1, 0.0005), "adamw": (0.001, 0.05)}


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingOptions):
    """Pre-train a backbone on source classes with a class-balanced loss.

    Attributes:
        sources: Dataset specs of the sources; with `subset`, by default those that it names.
        subset: Subset file of transfer select; by default every class.
        backbone: A torchvision or timm name, efficientnet_lite0, resnet8 … resnet56, or a run directory.
        weights: For a model's name: none (random weights, the default), default (published), or a state-dict file.
        crop_pct: Share of an image's shorter side that the network sees at test time, above 0 to 1; by default the
            network's own.
        loss: softmax, cb-softmax, cb-sigmoid, cb-focal, …: see transfer inspect losses. By default cb-softmax, or
            softmax if the sampler re-balances the classes.
    """

    sources: list[str] = field(default_factory=list)
    subset: str | None = None
    backbone: str = "resnet50"
    weights: str | None = None

    def defaults(self) -> dict[str, Choice]:
        balanced = self.balancing_sampler
        loss = DEFAULT_LOSS if balanced else DEFAULT_BALANCED_LOSS
        reason = f"the sampler {self.sampler} {'re-balances' if balanced else 'does not re-balance'} the classes"
        trained = is_trained_model(self.backbone)
        weights = ("default", "the backbone is a trained model") if trained else ("none", "pre-training starts anew")
        own = self.training_defaults("the classifier starts new", "nesterov", RATES, 30, "train")
        return {"loss": (loss, reason), "weights": weights, **own}

    @property
    def loss_row(self) -> Loss:
        """The row of the loss, given or by default."""
        return LOSSES[self.loss or self.defaults()["loss"][0]]

    def contradictions(self) -> list[str]:
        missing = not self.sources and self.subset is None
        sentence = "pre-training needs a source: give `sources`, dataset specs, or `subset`"
        return super().contradictions() + [sentence] * missing


def pretrain(config: PretrainConfig) -> TrainingResult:
    """Pre-train, resume, or reuse the finished run at ``config.out``.

    Raises:
        InputError: A source cannot be opened, the subset does not fit it, or another run stands at ``out``.
    """
    config, chosen = resolve(config)
    dataset = source_images(config.sources, config.subset)
    if config.search:
        check_validation(config.validation, config.test, dataset)
        config = best_options(config, pretrain, int(dataset.counts.min()))
    assert config.weights is not None  # the configuration is complete
    backbone = load_backbone(config.backbone, config.weights, config.image_size, config.crop_pct, seed=config.seed)
    return fit(backbone, dataset, config, chosen=chosen)


def source_images(sources: Sequence[str], subset_file: str | None) -> ImageDataset:
    """The images of the selected classes of all sources, as one dataset.

    The order of the classes of a subset follows from their names alone, so that equal choices train equally. Raises
    ``InputError`` if the subset names a source that is not given, or a class that the source lacks.
    """
    if subset_file is None:
        return concatenate([open_dataset(spec) for spec in sources])
    subset = Subset.read(subset_file)
    named = subset.sources
    unknown = [spec for spec in named if sources and spec not in sources]
    if unknown:
        raise InputError(
            f"`subset` {subset_file}: names the source {unknown[0]!r}, which is not given; given: {', '.join(sources)}"
        )
    try:
        return concatenate([_restricted(open_dataset(spec), subset) for spec in sorted(named)])
    except InputError as error:
        raise InputError(f"`subset` {subset_file}: {error}") from error


def _restricted(dataset: ImageDataset, subset: Subset) -> ImageDataset:
    """The chosen classes in the dataset's own order, whatever their ranks."""
    position = {name: i for i, name in enumerate(dataset.classes)}
    chosen = subset.classes_of(dataset.spec)
    return dataset.restrict(sorted(chosen, key=lambda name: position.get(name, len(position))))
