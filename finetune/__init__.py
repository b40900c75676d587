"""Images and decisions in, models out."""

from finetune.configuration import TrainingConfig
from finetune.evaluation import EvaluateConfig, evaluate
from finetune.finetuning import FinetuneConfig, finetune
from finetune.losses import ClassBalancedLoss, class_balanced_weights, effective_number
from finetune.metrics import Metrics
from finetune.model import ImageClassifier
from finetune.pretraining import PretrainConfig, pretrain
from finetune.training import TrainingResult

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
