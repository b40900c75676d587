from .classifier_fitting import FitClassifierConfig, fit_classifier
from .evaluation.evaluator import EvaluateConfig, evaluate
from .evaluation.metrics import Metrics
from .finetuning import FinetuneConfig, finetune
from .losses import ClassBalancedLoss, class_balanced_weights, effective_number
from .model import ImageClassifier
from .prediction.prediction import Prediction
from .prediction.predictor import PredictConfig, predict
from .pretraining import PretrainConfig, pretrain
from .shared_options import TrainingConfig
from .training.fitting import TrainingResult

__all__ = [
    "ClassBalancedLoss",
    "EvaluateConfig",
    "FinetuneConfig",
    "FitClassifierConfig",
    "ImageClassifier",
    "Metrics",
    "PredictConfig",
    "Prediction",
    "PretrainConfig",
    "TrainingConfig",
    "TrainingResult",
    "class_balanced_weights",
    "effective_number",
    "evaluate",
    "finetune",
    "fit_classifier",
    "predict",
    "pretrain",
]
