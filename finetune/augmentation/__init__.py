"""Random transforms of a whole batch of training images, chosen by name with :func:`augmentation`."""

from finetune.augmentation.catalogue import AUGMENTATIONS, augmentation
from finetune.augmentation.geometric import Augmentation, AugmentationRow
from finetune.augmentation.mixing import Mixing

__all__ = ["AUGMENTATIONS", "Augmentation", "AugmentationRow", "Mixing", "augmentation"]
