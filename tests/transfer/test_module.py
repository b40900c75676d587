"""``python -m transfer`` in a folder that has packages of our names."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_folder_called_features_is_not_imported(tmp_path):
    for name in ("features", "similarity", "finetune"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "transfer", "inspect", "commands"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "extract: " in done.stdout
