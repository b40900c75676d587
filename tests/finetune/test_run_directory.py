"""The run directory: what it holds, when it is reused, and what it refuses."""

from __future__ import annotations

import csv
import json
import time

import numpy as np
import pytest
import yaml

from features.infrastructure import processes
from features.infrastructure.console import console, warn_once
from features.infrastructure.errors import InputError
from finetune import run_directory
from finetune.evaluation.metrics import evaluate_scores
from finetune.finetuning import FinetuneConfig
from finetune.pretraining import PretrainConfig
from finetune.run_directory import RunDirectory, open_run
from finetune.shared_options import resolve
from finetune.training import state

INPUTS = {"training data": "abc", "initial weights": "def"}


def config(out, **options) -> PretrainConfig:
    return resolve(PretrainConfig(**{"sources": ["digits:@train"], "out": str(out), "seed": 3} | options))[0]


#: Final figures, as :meth:`finetune.evaluation.metrics.Metrics.to_json` gives them.
FIGURES = {"evaluated_on": "digits:@test", **evaluate_scores(np.eye(3), [0, 1, 1], [200, 50, 5]).to_json()}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run", config(tmp_path / "run"), INPUTS)


def test_a_new_run_holds_its_configuration_and_its_environment(run):
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "config.yaml", "environment.json"]
    written = yaml.safe_load((run.path / "config.yaml").read_text())
    # resolved: defaults are written out, and it is a configuration again
    assert written["epochs"] == 30
    assert written["loss"] == "balanced-softmax"
    assert PretrainConfig(**written) == config(run.path)
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["run"] == "pretrain"
    assert environment["inputs"] == INPUTS
    assert environment["seed"] == 3
    assert {"python", "torch", "lightning", "numpy"} <= set(environment["versions"])
    assert run.metrics is None


def test_the_same_run_goes_on(run, tmp_path):
    again = RunDirectory(run.path, config(run.path), INPUTS)
    assert again.metrics is None
    run.finish(FIGURES)
    assert RunDirectory(run.path, config(run.path), INPUTS).metrics == FIGURES


def test_what_does_not_change_the_result_may_change(run, monkeypatch):
    monkeypatch.chdir(run.path.parent)
    assert RunDirectory("run", config("run", workers=0), INPUTS).metrics is None


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"lr": 0.5}, "lr is 0.1, asked for 0.5"),
        ({"seed": 4}, "seed is 3, asked for 4"),
        ({"steps": 10}, "epochs is 30, asked for without it"),
        ({"sources": ["digits:@test"]}, "sources is ['digits:@train'], asked for ['digits:@test']"),
        ({"subset": "s.csv"}, "subset is not given, asked for 's.csv'"),
    ],
)
def test_another_configuration_is_refused_by_its_field(run, options, difference):
    with pytest.raises(InputError) as refusal:
        RunDirectory(run.path, config(run.path, **options), INPUTS)
    assert f"{run.path}: holds another run ({difference})" in str(refusal.value)


@pytest.mark.parametrize("written", [None, "none"])  # null is what earlier versions wrote for the default
@pytest.mark.parametrize("asked", [{}, {"weights": "none"}])
def test_equal_weights_are_one_start_however_they_are_named(run, written, asked):
    path = run.path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"weights": written}))
    assert RunDirectory(run.path, config(run.path, **asked), INPUTS).metrics is None
    with pytest.raises(InputError, match=r"weights is .*, asked for 'default'"):
        RunDirectory(run.path, config(run.path, weights="default", lr=0.1), INPUTS | {"initial weights": "other"})


def test_options_that_the_version_of_a_run_did_not_have_are_as_if_not_given(tmp_path):
    options = {"loss": "cb-softmax"}  # it reads the normalization
    run = RunDirectory(tmp_path / "run", config(tmp_path / "run", **options), INPUTS)
    written = yaml.safe_load((run.path / "config.yaml").read_text())
    del written["normalization"], written["lr"]
    (run.path / "config.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(InputError, match=r"holds another run \(lr is not given, asked for 0.1\)"):
        RunDirectory(run.path, config(run.path, **options), INPUTS)  # whose default is made from other options
    (run.path / "config.yaml").write_text(yaml.safe_dump(written | {"lr": 0.1}))
    assert RunDirectory(run.path, config(run.path, **options), INPUTS).metrics is None
    with pytest.raises(InputError, match=r"holds another run \(normalization is 'paper', asked for 'pytorch'\)"):
        RunDirectory(run.path, config(run.path, normalization="pytorch", **options), INPUTS)


def test_a_run_of_another_command_is_refused(run):
    with pytest.raises(InputError, match="holds another run"):
        RunDirectory(run.path, FinetuneConfig(dataset="digits:", init="resnet8", out=str(run.path)), INPUTS)


@pytest.mark.parametrize("name", list(INPUTS))
def test_changed_inputs_are_refused_by_name(run, name):
    with pytest.raises(InputError, match=f"its {name} has changed since the run began; name another directory"):
        RunDirectory(run.path, config(run.path), INPUTS | {name: "other"})


@pytest.mark.parametrize("name", ["lr", "training data"])
def test_a_job_whose_processes_differ_is_refused_before_it_writes(tmp_path, monkeypatch, name):
    """As on two machines with other options, or with another copy of the images."""
    monkeypatch.setattr(processes, "gather", lambda values: [values, values | {name: "other"}])
    with pytest.raises(InputError, match=f"run: {name} is .* in process 0 and 'other' in process 1; give every"):
        RunDirectory(tmp_path / "run", config(tmp_path / "run"), INPUTS)
    assert not (tmp_path / "run").exists()


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and holds no run"):
        RunDirectory(tmp_path, config(tmp_path), INPUTS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("content", "environment"), [("not: ours", None), ("- a\n- b\n", "{}"), ("a: [", "{}"), ("a: 1", "[]")]
)
def test_another_programs_config_file_is_no_run(tmp_path, content, environment):
    (tmp_path / "config.yaml").write_text(content)
    if environment is not None:
        (tmp_path / "environment.json").write_text(environment)
    with pytest.raises(InputError, match="no run there"):
        RunDirectory(tmp_path, config(tmp_path), INPUTS)
    with pytest.raises(InputError, match="no run there"):
        open_run(tmp_path)


def test_a_file_cannot_become_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; name a directory"):
        RunDirectory(tmp_path / "file", config("file"), INPUTS)
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory(tmp_path / "file" / "run", config("file/run"), INPUTS)


def test_an_empty_directory_can(tmp_path):
    RunDirectory(tmp_path, config(tmp_path), INPUTS)
    assert (tmp_path / "config.yaml").is_file()


def epochs_of(run: RunDirectory) -> list[tuple[str, str]]:
    with (run.path / "history.csv").open() as file:
        return [(row["epoch"], row["loss"]) for row in csv.DictReader(file)]


def test_the_history_holds_each_epoch_once(run):
    for epoch, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (2, 2.5), (3, 1.5), (10, 0.5)):
        run.record({"epoch": epoch, "loss": loss})
    assert epochs_of(run) == [("1", "3.0"), ("2", "2.5"), ("3", "1.5"), ("10", "0.5")]


def test_what_is_said_is_kept_as_it_is(run, capsys):
    run.log("left out: [/red] :dog: [bold]x")  # neither a style nor a picture
    run.log("second")
    assert "left out: [/red] :dog: [bold]x" in capsys.readouterr().err
    lines = (run.path / "log.txt").read_text().splitlines()
    assert lines[0].endswith("left out: [/red] :dog: [bold]x")
    assert lines[1].endswith("second")


def test_a_run_is_read_back_for_a_report(run):
    epoch = {"epoch": 1, "step": 6, "train_loss": 2.5, "images_per_second": 9.5, "seconds": 0.5}
    run.record(epoch)
    read = open_run(run.path)
    assert read["config"]["backbone"] == "resnet50"
    assert read["environment"]["seed"] == 3
    assert read["metrics"] is None
    assert read["history"] == [epoch]
    run.finish(FIGURES)
    assert open_run(run.path)["metrics"] == FIGURES


def test_a_run_that_an_earlier_version_began_keeps_its_columns(run):
    epoch = {"epoch": 1, "step": 6, "train_loss": 2.5, "images_per_second": 9.5, "seconds": 0.5}
    run.record(epoch)
    run.record(epoch | {"epoch": 2, "images": 384})  # counted since
    assert open_run(run.path)["history"] == [epoch, epoch | {"epoch": 2}]


def test_what_a_run_does_not_read_is_not_written_and_it_is_reused_all_the_same(tmp_path):
    config = PretrainConfig(sources=["digits:"], out=str(tmp_path / "run"), loss="softmax")
    RunDirectory(config.out, config, {}, config.unread())
    written = open_run(config.out)["config"]
    assert {"loss", "epochs", "sampler"} <= set(written)
    assert not {"beta", "gamma", "tau", "margin", "scale", "milestones", "decay", "deferred"} & set(written)
    RunDirectory(config.out, config, {}, config.unread())
    again = PretrainConfig(**written)
    RunDirectory(again.out, again, {}, again.unread())
    other = PretrainConfig(sources=["digits:"], out=str(tmp_path / "run"), loss="cb-softmax", beta=0.9)
    with pytest.raises(InputError, match="holds another run"):
        RunDirectory(other.out, other, {}, other.unread())


def test_where_no_run_is(tmp_path):
    with pytest.raises(InputError, match=r"nothing: no such run directory$"):
        open_run(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no run there; .* config\.yaml and environment\.json$"):
        open_run(tmp_path)


def test_a_run_at_an_address_is_refused_before_any_work():
    for given in ("s3://b/run", "memory://run"):
        with pytest.raises(InputError, match=f"`out` {given}: is an address, but a run directory is on the disk"):
            config(given)
    with pytest.raises(InputError, match="is an address, but a run directory is on the disk"):
        open_run("s3://b/run")


def test_no_file_of_a_run_has_a_secret_and_a_new_signature_is_the_same_run(tmp_path, monkeypatch):
    for signature in ("SECRET1", "SECRET2"):
        sources = [f"list:<https://me:{signature}@h/a.txt?sig={signature}>@train?seed=1"]
        monkeypatch.setattr("sys.argv", ["transfer", "pretrain", *sources])
        run = RunDirectory(tmp_path / "run", config(tmp_path / "run", sources=sources), INPUTS)
    for file in run.path.rglob("*.*"):
        assert "SECRET" not in file.read_text()
    assert yaml.safe_load((run.path / "config.yaml").read_text())["sources"] == ["list:<https://h/a.txt>@train?seed=1"]


@pytest.mark.parametrize("name", ["log.txt", "history.csv", "checkpoints/last.json"])
def test_a_link_out_of_a_run_is_not_followed(run, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(precious)
    with pytest.raises(InputError, match="is a link that leads out of the directory"):
        RunDirectory(run.path, config(run.path), INPUTS)
    assert precious.read_text() == "precious"


@pytest.fixture
def begun(run, monkeypatch) -> RunDirectory:
    """A run that was killed after a step; a note is said to every test anew."""
    state.write_resume(run.checkpoints, {"step": 1})
    monkeypatch.setattr(run_directory, "warn_once", warn_once.__wrapped__)
    return run


def again(run, modified):
    return RunDirectory(run.path, config(run.path), INPUTS, modified=modified)


def test_a_killed_run_goes_on_with_images_of_newer_dates_and_says_so_for_good(begun, capfd, monkeypatch):
    before, after = time.time() - 60, time.time()
    again(begun, before)
    assert "newer dates" not in capfd.readouterr().err and not (begun.path / "log.txt").exists()
    monkeypatch.setattr(console, "quiet", True)
    assert again(begun, after).metrics is None
    said = f"{begun.path}: images have newer dates than the run, with the same names and sizes; the training goes on"
    assert said in " ".join(capfd.readouterr().err.split()).replace("- ", "-")
    assert said in (begun.path / "log.txt").read_text()


def test_a_run_that_has_learnt_nothing_begins_with_the_images_of_now(run, capfd):
    changed = time.time()
    again(run, changed)
    assert "newer dates" not in capfd.readouterr().err
    run.finish(FIGURES)
    assert again(run, changed).metrics == FIGURES


@pytest.mark.parametrize("learnt", [True, False])
def test_a_run_that_has_gone_on_with_newer_images_is_reused_with_them(run, learnt):
    began, copied = json.loads((run.path / "environment.json").read_text())["started"], time.time()
    if learnt:
        state.write_resume(run.checkpoints, {"step": 1})
    assert again(run, copied).metrics is None
    run.finish(FIGURES)
    assert again(run, copied).metrics == FIGURES
    assert json.loads((run.path / "environment.json").read_text())["started"] == began
    with pytest.raises(InputError, match="changed after the run began, or copied without their dates; name another"):
        again(run, time.time())


def test_a_finished_run_is_not_reused_with_images_of_newer_dates(begun):
    begun.finish(FIGURES)
    assert again(begun, time.time() - 60).metrics == FIGURES
    with pytest.raises(InputError, match="changed after the run began, or copied without their dates; name another"):
        again(begun, time.time())
