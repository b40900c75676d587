"""Samplers for class-imbalanced training, chosen by name with :func:`build_sampler`."""

from finetune.samplers.catalogue import DEFAULT_SAMPLER, SAMPLERS, build_sampler, find_sampler, sampler_meanings
from finetune.samplers.class_sampler import ClassSampler, class_probabilities
from finetune.samplers.effective import effective_probabilities
from finetune.samplers.progressive import progressive_probabilities
from finetune.samplers.sampler import DeferredSampler, EpochSampler, SamplerOptions, SamplerRow
from finetune.samplers.shuffle import ShuffleSampler

__all__ = [
    "DEFAULT_SAMPLER",
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
