"""Take the pictures of the documentation with Chromium: the upper part of the demo's page.

``CHROMIUM`` names the program; without it, ``chromium`` is looked for on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "runs" / "demo" / "report.html"
#: Width and height in pixels of a page.
WIDTH, HEIGHT = 880, 745


def main() -> None:
    """Write ``report.png`` from the page of the last ``make demo``."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if browser is None:
        sys.exit("no Chromium: install it, or name the program in CHROMIUM")
    if not PAGE.is_file():
        sys.exit(f"{PAGE} is not there: run `make demo` first")
    picture = HERE / "report.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
    command = [browser, *options, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", PAGE.as_uri()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with Image.open(picture) as image:
        image.quantize(128).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
