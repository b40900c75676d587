"""Classifiers on a frozen representation: features (N, D) in, class scores (N, C) out."""

from finetune.classifiers.feature_classifier import FeatureClassifier, LinearClassifier
from finetune.classifiers.nearest import NearestClassMean, NearestNeighbours
from finetune.classifiers.probe import LinearProbe
from finetune.classifiers.retraining import ClassifierRetraining, LearnableWeightScaling
from finetune.classifiers.tau import TauNormalisation, balanced_split, tau_normalise

__all__ = [
    "ClassifierRetraining",
    "FeatureClassifier",
    "LearnableWeightScaling",
    "LinearClassifier",
    "LinearProbe",
    "NearestClassMean",
    "NearestNeighbours",
    "TauNormalisation",
    "balanced_split",
    "tau_normalise",
]
