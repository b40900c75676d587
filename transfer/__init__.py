"""The person's side: commands, recipes, the whole job, reports.

Names are imported when they are first used, from where ``__init__.pyi`` says, so that the command line starts at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
