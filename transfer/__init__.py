"""The user interface: commands, recipes, the whole job, reports.

Names are imported from the modules that ``__init__.pyi`` lists when they are first used, so that the command line
starts at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
