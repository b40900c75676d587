"""What an artefact says of how it came about: the versions of the packages that decide a result."""

from __future__ import annotations

import importlib.metadata
import platform

_PACKAGES = ("transfer-toolkit", "torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn", "POT")


def versions(*more: str) -> dict[str, str]:
    """Versions of Python and of the packages that decide a result, by name; packages that are missing are left out.

    Args:
        more: Further packages to name.
    """
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
