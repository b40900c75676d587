"""The wheel holds all that the commands need: it is built, installed aside and run outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    copy = place / "checkout"  # setuptools writes into the tree that it builds
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("the files of the project are known by git alone, and this is no checkout")
    for name in filter(None, files.stdout.split("\0")):
        if not name.startswith(("tests/", "benchmarks/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", str(place), str(copy)], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", *options, "--target", str(place / "site"), str(wheel)], check=True)
    return place / "site"


def run(installed: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-m", "transfer", *words],
        cwd=installed.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_wheel_that_runs(installed):
    code = "import transfer, features; print(transfer.__file__, features.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=True)
    assert all(Path(file).is_relative_to(installed) for file in done.stdout.split())


@pytest.mark.parametrize("what", ["strategies", "schemes", "losses", "measures"])
def test_every_kind_is_listed(installed, what):
    assert len(run(installed, "inspect", what).splitlines()) > 5


def test_the_demo_starts(installed):
    assert "18 fine-tunings" in run(installed, "demo", "--dry-run")


def test_files_beside_the_modules_are_there(installed):
    missing = [
        name
        for name in ("transfer/demo.yaml", "transfer/templates/experiment.html.j2", "features/py.typed")
        if not (installed / name).is_file()
    ]
    tables = [path.name for path in (ROOT / "similarity" / "uncertainty").glob("*.csv")]
    missing += [name for name in tables if not (installed / "similarity" / "uncertainty" / name).is_file()]
    assert tables and not missing
