"""Pages in a browser: every chart is drawn, nothing is loaded, nothing is cut off, and axe-core has no serious finding.

It needs Node.js with the packages axe-core and puppeteer-core in NODE_PATH, and a Chromium, whose program CHROMIUM may
name: ``npm install --prefix DIR axe-core puppeteer-core``, then ``NODE_PATH=DIR/node_modules``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from transfer import ReportConfig, report

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SCRIPT = Path(__file__).with_name("axe.cjs")


def has_packages() -> bool:
    if shutil.which("node") is None:
        return False
    asked = "require.resolve('axe-core'); require.resolve('puppeteer-core')"
    return subprocess.run(["node", "-e", asked], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(CHROMIUM is None or not has_packages(), reason="needs Chromium, and axe-core in NODE_PATH")
def test_pages_are_whole_in_a_browser(results, write_run, tmp_path):
    classes = ["</script>", "$x^{2$", *(f"A_very_long_name_of_a_class_{i}" for i in range(8))]
    out = results(classes=classes, sources=("glyphs:DIGIT,MATHEMATICAL,GREEK",))  # a word wider than a card on a phone
    runs = [str(write_run(tmp_path / name, wrong)) for name, wrong in (("one", 3), ("other", 4))]
    written = [
        report(ReportConfig(run=run, out=str(tmp_path / name))).path
        for run, name in (([str(out)], "recipe.html"), (runs[:1], "run.html"), (runs, "runs.html"))
    ]
    done = subprocess.run(
        ["node", str(SCRIPT), str(CHROMIUM), *map(str, written)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert len(found) == 3 * 3 * 2
    for one in found:
        assert not (one["serious"] or one["console"] or one["requests"] or one["wide"]), one
        assert one["charts"], one
