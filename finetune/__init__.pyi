from .configuration import TrainingConfig
from .evaluation import EvaluateConfig, evaluate
from .finetuning import FinetuneConfig, finetune
from .losses import ClassBalancedLoss, class_balanced_weights, effective_number
from .metrics import Metrics
from .model import ImageClassifier
from .pretraining import PretrainConfig, pretrain
from .training import TrainingResult

__all__ = [
    "ClassBalancedLoss",
    "EvaluateConfig",
    "FinetuneConfig",
    "ImageClassifier",
    "Metrics",
    "PretrainConfig",
    "TrainingConfig",
    "TrainingResult",
    "class_balanced_weights",
    "effective_number",
    "evaluate",
    "finetune",
    "pretrain",
]
