from .catalogue import AUGMENTATIONS, AugmentationRow, augmentation
from .geometric import Augmentation
from .mixing import Mixing

__all__ = ["AUGMENTATIONS", "Augmentation", "AugmentationRow", "Mixing", "augmentation"]
