"""Plots: results in, a matplotlib figure out.

Results are given as the commands write them in their JSON, and every number that is drawn is an argument or computed
from one. A figure is a :class:`matplotlib.figure.Figure` of a given width in inches, with labels and units, in colours
that are told apart without colour vision. In a notebook, ``%matplotlib inline`` shows it. Names of data are drawn as
they are, never as mathematical text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
