from .classifier_fitting import fit_classifier
from .command_options.classifier_fitting import FitClassifierConfig
from .command_options.evaluation import EvaluateConfig
from .command_options.finetuning import FinetuneConfig
from .command_options.prediction import PredictConfig
from .command_options.pretraining import PretrainConfig
from .evaluation.evaluator import evaluate
from .evaluation.metrics import Metrics
from .finetuning import finetune
from .heads import CosineHead
from .losses import (
    ClassBalancedLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    build_loss,
    class_balanced_weights,
    effective_number,
    prior_bias,
)
from .model import ImageClassifier
from .prediction.prediction import Prediction
from .prediction.predictor import predict
from .pretraining import pretrain
from .run_directory import open_run
from .run_tables import read_classes
from .samplers import build_sampler
from .shared_options import TrainingConfig
from .training.fitting import TrainingResult

__all__ = [
    "ClassBalancedLoss",
    "CosineHead",
    "EvaluateConfig",
    "FinetuneConfig",
    "FitClassifierConfig",
    "ImageClassifier",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "Metrics",
    "PredictConfig",
    "Prediction",
    "PretrainConfig",
    "TrainingConfig",
    "TrainingResult",
    "build_loss",
    "build_sampler",
    "class_balanced_weights",
    "effective_number",
    "evaluate",
    "finetune",
    "fit_classifier",
    "open_run",
    "predict",
    "pretrain",
    "prior_bias",
    "read_classes",
]
