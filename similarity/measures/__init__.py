"""Measures of transferability, computed from stored features.

Each measure is a pure function of arrays and a :class:`Measure` row in the same module; :data:`MEASURES` collects the
rows, and :func:`measure` computes them from an :class:`Evidence`. No measure is best in every large comparison, so
baselines are among them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
