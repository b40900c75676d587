"""Samplers for class-imbalanced training, chosen by name with :func:`build_sampler`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
