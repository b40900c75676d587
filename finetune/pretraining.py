"""Pre-training on source classes: all of them or a subset, from random weights or continued from a trained model."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

from features.backbones.loading import Backbone, load_backbone
from features.checkpoint import is_trained_model
from features.infrastructure.errors import InputError
from finetune.class_shares import class_shares
from finetune.classifiers.kept_classes import ORIGIN, kept_classifier
from finetune.command_options.pretraining import PretrainConfig
from finetune.samplers.shares import share_probabilities
from finetune.shared_options import resolve
from finetune.source_classes import SourceClasses, open_sources
from finetune.training.extras import Extras
from finetune.training.fitting import TrainingResult, fit
from finetune.training.search import best_options
from similarity import Subset


def pretrain(config: PretrainConfig) -> TrainingResult:
    """Pre-train, resume, or reuse the finished run at ``config.out``.

    Raises:
        InputError: A source cannot be opened, the subset or the class weights do not fit it, the classifier of ``init``
            does not know a class, or another run stands at ``out``.
    """
    config, chosen = resolve(config)
    source, targets = open_sources(config.sources, config.subset), _targets(config)
    if config.search:
        config = best_options(config, pretrain, source.images, config.start)
    backbone = network_of(config)
    result = fit(backbone, source.images, config, extras_of(config, backbone, source), chosen)
    return replace(result, targets=targets)


def _targets(config: PretrainConfig) -> tuple[str, ...]:
    """The dataset specs of the targets that the classes, or their weights, were chosen for."""
    chosen = config.subset or config.class_weights
    return () if chosen is None else Subset.read(chosen).targets


def network_of(config: PretrainConfig) -> Backbone:
    """The network to train: a new one, or that of the trained model to continue from; ``config`` is complete.

    Raises ``InputError`` if the model is not there, or it does not take the options.
    """
    assert config.weights is not None  # the configuration is complete
    try:
        return load_backbone(config.start, config.weights, config.image_size, config.crop_pct, seed=config.seed)
    except InputError as error:
        if config.init is None or is_trained_model(config.init) or _is_there(config.init, config.weights):
            raise
        raise InputError(
            f"`init` {config.init}: neither a finished run nor a published model with its weights "
            f"({str(error).partition(';')[0]}); give one of them, or start a new classifier with `backbone`"
        ) from error


def _is_there(name: str, weights: str) -> bool:
    """Whether a model can be loaded with its own input size, so that another option is wrong."""
    try:
        load_backbone(name, weights)
    except InputError:
        return False
    return True


def extras_of(config: PretrainConfig, backbone: Backbone, source: SourceClasses) -> Extras:
    """What the training takes besides the images and the backbone: a kept classifier, and the shares of classes.

    ``config`` is complete. Errors are those of :func:`pretrain`.
    """
    extras = Extras(start=config.start, card={ORIGIN: [list(class_) for class_ in source.origin]})
    if config.init is not None:
        kept = kept_classifier(config.init, backbone, source.origin)
        extras = extras.keeping(kept, config)
    if config.class_weights is not None:
        shares = class_shares(config.class_weights, source)
        if config.floor == 0 and not shares.all():
            never = source.images.classes[int(shares.argmin())]
            raise InputError(
                f"`floor` 0.0: class {never!r} and all others without a weight would never be drawn; leave them out by "
                f"`subset`, or give a `floor`"
            )
        extras = replace(
            extras,
            probabilities=partial(share_probabilities, shares=shares, floor=config.floor),
            inputs={**extras.inputs, "class-weight file": hashlib.sha256(shares.tobytes()).hexdigest()},
        )
    return extras
