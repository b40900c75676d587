"""Damage to the bytes of a file."""

from __future__ import annotations

import numpy as np


def damage(whole: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done to the bytes of a file, and what is left of them."""
    size = len(whole)
    at = int(rng.integers(size))
    kind = str(
        rng.choice(
            ["bit", "bytes", "zeros", "cut", "swapped", "doubled", "empty"], p=[0.4, 0.2, 0.1, 0.15, 0.08, 0.05, 0.02]
        )
    )
    changed = bytearray(whole)
    length = int(min(size - at, 2 ** rng.integers(0, 12)))
    if kind == "bit":
        changed[at] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        changed[at : at + length] = rng.bytes(length)
    elif kind == "zeros":
        changed[at : at + length] = bytes(length)
    elif kind == "cut":
        del changed[at:]
    elif kind == "swapped":
        other = int(rng.integers(size))
        length = min(length, abs(other - at), size - max(other, at))
        first, second = changed[at : at + length], changed[other : other + length]
        changed[at : at + length], changed[other : other + length] = second, first
    elif kind == "doubled":
        changed[at:at] = changed[at : at + length]
    else:
        changed.clear()
    return f"{kind} at {at} of {size}", bytes(changed)
