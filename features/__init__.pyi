from .backbones import Backbone, backbone_names, load_backbone
from .bank import FeatureBank
from .dataset import ImageDataset, concatenate
from .errors import InputError
from .extraction import ExtractConfig, Extraction
from .merging import MergeConfig, merge
from .parallel import extract
from .readers import open_dataset
from .spec import DatasetSpec

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
