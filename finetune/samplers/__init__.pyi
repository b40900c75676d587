from .catalogue import DEFAULT_SAMPLER, SAMPLERS, build_sampler, find_sampler, sampler_meanings
from .class_sampler import ClassSampler, class_probabilities
from .effective import effective_probabilities
from .epoch_sampler import DeferredSampler, EpochSampler
from .progressive import progressive_probabilities
from .sampler import SamplerOptions, SamplerRow
from .shuffle import ShuffleSampler

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
