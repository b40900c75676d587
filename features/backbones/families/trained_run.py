"""Runs of this toolkit: the backbone of a trained model."""

from __future__ import annotations

from functools import partial

from features.backbones.backbone import Backbone
from features.backbones.family import Family, family_of
from features.backbones.foreign_config import check_numbers, check_size, described_by
from features.checkpoint import RESTORE, find_checkpoint, is_trained_model
from features.infrastructure.errors import InputError


def build_from_run(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build the backbone of a run directory or a checkpoint, with its weights and its preprocessing.

    Raises:
        InputError: ``weights`` is not ``default``, the checkpoint is damaged, or its architecture is unknown.
    """
    checkpoint = find_checkpoint(name)
    assert checkpoint is not None  # is_trained_model(name)
    if weights != "default":
        raise InputError(f"`weights` {weights}: {name} is a trained model with weights of its own; leave it out")
    size = checkpoint.preprocessing.image_size
    family, blueprint = family_of(checkpoint.backbone, but=TRAINED_RUN), checkpoint.blueprint
    if blueprint is not None and family.rebuild is not None:
        try:
            with described_by("'blueprint'"):
                check_numbers(blueprint, "'blueprint'")
                check_size("'blueprint'", partial(family.rebuild, blueprint, size), checkpoint.path)
                backbone = family.rebuild(blueprint, size)
        except InputError as error:
            raise InputError(f"{checkpoint.path.with_suffix('.json')}: {error}; {RESTORE}") from error
        backbone.name = checkpoint.backbone
    else:
        backbone = family.build(checkpoint.backbone, "none", size)
    backbone.fill(checkpoint.state("backbone."), str(checkpoint.path))
    backbone.weights, backbone.preprocessing = name, checkpoint.preprocessing
    return backbone


TRAINED_RUN = Family("run", "a run directory or a checkpoint of this toolkit", 0, is_trained_model, build_from_run)
