"""Random transforms of a whole batch of training images, chosen by name with :func:`augmentation`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
