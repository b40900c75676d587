"""Changes of images that neither their names nor their sizes tell: by the dates of their files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

import numpy as np


def last_change(times: Iterable[float]) -> float:
    """Return the latest of some times, in seconds since the epoch, that is not in the future; 0 without one.

    A date in the future says nothing, and must not hide a later change of another file.
    """
    found = np.fromiter(times, dtype=np.float64)
    return float(found[found <= time.time()].max(initial=0.0))


def changed_since(modified: float, began: str | None) -> bool:
    """Whether images were last changed after a moment in ISO format, or whether that is unknown."""
    try:
        return modified > datetime.fromisoformat(began or "").timestamp()
    except ValueError:
        return modified > 0.0
