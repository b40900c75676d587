"""Images in, class statistics out."""

from features.backbones import Backbone, backbone_names, load_backbone
from features.bank import FeatureBank
from features.dataset import ImageDataset, concatenate
from features.errors import InputError
from features.extraction import ExtractConfig, Extraction
from features.merging import MergeConfig, merge
from features.parallel import extract
from features.readers import open_dataset
from features.spec import DatasetSpec

__all__ = [
    "Backbone",
    "DatasetSpec",
    "ExtractConfig",
    "Extraction",
    "FeatureBank",
    "ImageDataset",
    "InputError",
    "MergeConfig",
    "backbone_names",
    "concatenate",
    "extract",
    "load_backbone",
    "merge",
    "open_dataset",
]
