"""Samplers for class-imbalanced training, chosen by name with :func:`build_sampler`."""

from finetune.samplers.base import EpochSampler, SamplerOptions, SamplerRow
from finetune.samplers.catalogue import SAMPLERS, build_sampler, find_sampler, sampler_meanings
from finetune.samplers.class_sampler import ClassSampler, class_probabilities
from finetune.samplers.deferred import DeferredSampler
from finetune.samplers.effective import effective_probabilities
from finetune.samplers.progressive import progressive_probabilities
from finetune.samplers.shuffle import ShuffleSampler

__all__ = [
    "SAMPLERS",
    "ClassSampler",
    "DeferredSampler",
    "EpochSampler",
    "SamplerOptions",
    "SamplerRow",
    "ShuffleSampler",
    "build_sampler",
    "class_probabilities",
    "effective_probabilities",
    "find_sampler",
    "progressive_probabilities",
    "sampler_meanings",
]


def balances(name: str) -> bool:  # to be removed with its last use, for find_sampler(name).balanced
    """Whether a sampler re-balances the classes."""
    return find_sampler(name).balanced


check_sampler = find_sampler  # to be removed with its last use
