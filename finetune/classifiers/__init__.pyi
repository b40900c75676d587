from .feature_classifier import FeatureClassifier, LinearClassifier
from .nearest import NearestClassMean, NearestNeighbours
from .probe import LinearProbe
from .retraining import ClassifierRetraining, LearnableWeightScaling
from .tau import TauNormalisation, balanced_split, tau_normalise

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
