"""The same command gives the same files, but for dates and durations, whatever the number of workers."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from disturbing.contents import contents
from disturbing.world import JOBS, SETTING, paint

from features import FeatureBank
from features.infrastructure.provenance import versions
from transfer.cli import main

#: The recipe trains four networks, which is what the single commands do.
SINGLE = [job for job in JOBS if job.name != "run"]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A folder in which every command has run once."""
    folder = tmp_path_factory.mktemp("world")
    paint(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for argv in (*SETTING, *(job.argv for job in SINGLE)):
            assert main(list(argv)) == 0
    return folder


def with_workers(argv):
    """The command with two workers instead of none."""
    place = argv.index("--workers") + 1 if "--workers" in argv else len(argv)
    return [*argv[:place], *(["2"] if place < len(argv) else []), *argv[place + 1 :]]


@pytest.mark.parametrize("job", SINGLE, ids=lambda job: f"{job.name}-{job.outputs[0]}")
def test_the_same_command_gives_the_same_files(job, setting, tmp_path, monkeypatch):
    again = tmp_path / "again"
    shutil.copytree(setting, again)
    for name in job.outputs:
        shutil.rmtree(again / name) if (again / name).is_dir() else (again / name).unlink()
    monkeypatch.chdir(again)
    assert main(with_workers(job.argv)) == 0
    for name in job.outputs:
        assert ignoring_workers(contents(again / name)) == ignoring_workers(contents(setting / name))


def ignoring_workers(files):
    """Without the number of workers, which the environment of a run records."""
    for content in files.values():
        if isinstance(content, dict):
            content.pop("workers", None)
    return files


def test_every_artefact_says_what_made_it(setting):
    for name in ("new.h5", "merged.h5", "groups.h5", "clean.h5"):
        assert json.loads(FeatureBank.open(setting / name).attrs["versions"]) == versions()
    for name in ("subset.csv", "curve.csv", "groups.csv", "copies.csv", "classes.csv", "flows.csv"):
        assert json.loads((setting / name).read_text().partition("\n")[0][1:])["versions"] == versions()
    for name in ("subset.csv", "curve.csv", "groups.csv"):
        assert json.loads((setting / name).read_text().partition("\n")[0][1:])["seed"] == 0
    for run in ("pre", "fine"):
        environment = json.loads((setting / run / "environment.json").read_text())
        assert environment["versions"] == versions() and environment["seed"] == 0
        assert yaml.safe_load((setting / run / "config.yaml").read_text())["seed"] == 0
