"""Samplers for class-imbalanced training: first a class is drawn, then one of its images.

Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
2020, section 3: class j is drawn with probability p_j ∝ n_j^q.
"""

from finetune.samplers.build import SAMPLERS, balances, build_sampler, check_sampler
from finetune.samplers.draws import ClassSampler, DeferredSampler, EpochSampler, ShuffleSampler
from finetune.samplers.probabilities import class_probabilities, effective_probabilities, progressive_probabilities

__all__ = [
    "SAMPLERS",
    "ClassSampler",
    "DeferredSampler",
    "EpochSampler",
    "ShuffleSampler",
    "balances",
    "build_sampler",
    "check_sampler",
    "class_probabilities",
    "effective_probabilities",
    "progressive_probabilities",
]
