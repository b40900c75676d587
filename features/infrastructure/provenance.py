"""The provenance of a result: the versions of the packages that it depends on."""

from __future__ import annotations

import importlib.metadata
import platform

from features.infrastructure.entry_points import LOADED

_PACKAGES = ("transfer-toolkit", "torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn", "POT")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the installed packages that a result depends on, and ``more``, by name.

    Among them are the packages of which a row of a catalogue was loaded.
    """
    found = {"python": platform.python_version(), **LOADED}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
