"""``python -m transfer``: the same as the command ``transfer``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python looks first in the working directory, which may hold a package of one of our names, such as features.
    safe = getattr(sys.flags, "safe_path", False)  # python -P, from 3.11 on
    if not safe and Path(sys.path[0] or ".").resolve() != Path(__file__).resolve().parents[1]:
        del sys.path[0]
    from transfer.cli import start

    start()
