from .backbones.loading import Backbone, backbone_names, load_backbone
from .bank import FeatureBank
from .dataset import ImageDataset, concatenate
from .dataset_spec import DatasetSpec
from .extraction.extractor import extract
from .extraction.merging import MergeConfig, merge
from .extraction.options import ExtractConfig
from .extraction.own_parts import extract_features
from .extraction.result import Extraction
from .infrastructure.errors import InputError
from .precomputed.writing import write_features
from .preprocessing import Preprocessing
from .readers import open_dataset

__all__ = [
    "Backbone",
    "DatasetSpec",
    "ExtractConfig",
    "Extraction",
    "FeatureBank",
    "ImageDataset",
    "InputError",
    "MergeConfig",
    "Preprocessing",
    "backbone_names",
    "concatenate",
    "extract",
    "extract_features",
    "load_backbone",
    "merge",
    "open_dataset",
    "write_features",
]
