"""The same command under torchrun: two processes give the bank, the metrics and the training of one."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from features import open_dataset
from features.bank import FeatureBank
from finetune import EvaluateConfig, FinetuneConfig, ImageClassifier, evaluate, finetune
from finetune.evaluation.evaluator import evaluate_model
from finetune.samplers import build_sampler
from finetune.training.batches import EpochBatches
from finetune.training.held_out import split_off
from finetune.training.state import read_resume
from similarity import Subset, SubsetRow
from transfer.cli import main

CPU = ["--device", "cpu", "--precision", "fp32", "--workers", "0"]


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
LAUNCHER = [*TORCHRUN, "-m", "transfer.cli"]


def two_processes(*command: str) -> subprocess.CompletedProcess[str]:
    """Run ``transfer`` as two processes of one job."""
    return subprocess.run(
        [*LAUNCHER, *command],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_extraction(tmp_path):
    common = ["digits:@train?per_class=7", "--backbone", "resnet8", "--weights", "none", "--keep-images", *CPU]
    assert main(["extract", *common, "--out", str(tmp_path / "one.h5")]) == 0
    found = two_processes("extract", *common, "--out", str(tmp_path / "two.h5"), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["images"] == 70  # one line, from one of them
    one, two = FeatureBank.open(tmp_path / "one.h5"), FeatureBank.open(tmp_path / "two.h5")
    np.testing.assert_allclose(two.means, one.means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two.within_covariance, one.within_covariance, rtol=1e-4, atol=1e-5)
    assert one.classes == two.classes and (one.counts == two.counts).all()
    assert one.images()[2] == two.images()[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "two.h5"]
    # What a job leaves that is killed after it has merged its shards, and before it has removed them.
    shutil.copy(tmp_path / "one.h5", tmp_path / "two.h5.2-of-2")
    again = two_processes("extract", *common, "--out", str(tmp_path / "two.h5"))
    assert again.returncode == 0 and again.stderr.count("already extracted, reused") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "two.h5"]


@pytest.fixture(scope="module")
def plain_network(tmp_path_factory) -> Path:
    """A run of few steps, to evaluate and to begin from."""
    out = tmp_path_factory.mktemp("plain") / "run"
    options = {"init": "resnet8", "weights": "none", "steps": 12, "augment": "none", "workers": 0}
    finetune(FinetuneConfig(dataset="digits:@train", out=str(out), device="cpu", precision="fp32", **options))
    return out


def test_evaluation(plain_network):
    dataset = "digits:@test?per_class=15"
    found = two_processes("evaluate", str(plain_network), dataset, "--json", *CPU)
    assert found.returncode == 0, found.stderr
    alone = evaluate(
        EvaluateConfig(run=str(plain_network), dataset=dataset, device="cpu", precision="fp32", workers=0)
    ).to_json()
    together = json.loads(found.stdout)
    assert together.pop("calibration_error") == pytest.approx(alone.pop("calibration_error"), abs=1e-6)
    assert together == alone


def test_prediction(plain_network, tmp_path):
    """Photos of which one process has an unreadable one, and lines of the file in the order of the images."""
    dataset, folder = open_dataset("digits:@test?per_class=3"), tmp_path / "photos"
    folder.mkdir()
    for i in range(len(dataset)):
        dataset.image(i).save(folder / f"{i:02d}.png")
    (folder / "20.png").write_bytes(b"no picture")
    common = ["predict", str(plain_network), str(folder), "--top", "3", "--batch-size", "4", *CPU]

    def files(name: str) -> list[str]:
        return ["--out", str(tmp_path / f"{name}.csv"), "--features", str(tmp_path / f"{name}.npz")]

    assert main([*common, *files("one")]) == 0
    found = two_processes(*common, *files("two"), "--json")
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert (said["images"], said["unreadable"]) == (30, 1)
    one, two = (list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("one", "two"))
    assert [row["image"] for row in two] == [f"{i:02d}.png" for i in range(30)]
    for before, after in zip(one, two, strict=True):
        for name, text in before.items():
            if name.startswith(("probability", "margin")) and text:
                assert float(after[name]) == pytest.approx(float(text), abs=1e-6)
            else:
                assert after[name] == text
    with np.load(tmp_path / "one.npz") as alone, np.load(tmp_path / "two.npz") as together:
        assert together["id"].tolist() == alone["id"].tolist() and len(alone["id"]) == 29
        np.testing.assert_allclose(together["feature"], alone["feature"], rtol=1e-4, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "one.npz", "photos", "two.csv", "two.npz"]


def test_a_job_that_a_scheduler_ends_keeps_its_state(tmp_path):
    command = ["pretrain", "digits:@train?per_class=9", "--backbone", "resnet8", "--epochs", "999", *CPU]
    job = subprocess.Popen(
        [*LAUNCHER, *command, "--batch-size", "30", "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while job.poll() is None and not (tmp_path / "run" / "history.csv").exists():
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=120)
    assert job.returncode != 0 and "transfer pretrain: stopped by SIGTERM; the same command resumes" in said
    assert read_resume(tmp_path / "run" / "checkpoints")["step"] > 0


@pytest.mark.parametrize("loss", ["softmax", "ldam-drw"])
def test_training(tmp_path, plain_network, loss):
    """With its layers frozen, and so without statistics of a batch, a network trains the same on halves of batches.

    The weights of ldam-drw, switched on for the last steps, are divided by their sum over the whole batch.
    """
    data = "digits:@train?imbalance=20"
    options = [data, "--test", "digits:@test?per_class=9", "--init", str(plain_network)]
    options += ["--steps", "9", "--batch-size", "64", "--augment", "none", "--freeze", "1.0", "--lr", "0.5", *CPU]
    options += ["--loss", loss]
    assert main(["finetune", *options, "--out", str(tmp_path / "one")]) == 0
    found = two_processes("finetune", *options, "--out", str(tmp_path / "two"), "--json")
    assert found.returncode == 0, found.stderr
    one, two = (load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    assert metrics[1]["top1"] == metrics[0]["top1"] == json.loads(found.stdout)["top1"]
    histories = [list(csv.DictReader((tmp_path / name / "history.csv").open())) for name in ("one", "two")]
    assert [row["step"] for row in histories[0]] == [row["step"] for row in histories[1]] == ["4", "8", "9"]
    for before, after in zip(*histories, strict=True):
        assert float(after["train_loss"]) == pytest.approx(float(before["train_loss"]), abs=1e-4)
    assert yaml.safe_load((tmp_path / "two" / "config.yaml").read_text())["batch_size"] == 64


@pytest.mark.parametrize("use", ["continued", "weighted", "co-trained"])
def test_every_use_of_a_choice(tmp_path, plain_network, use):
    """With the statistics of its start, a network trains the same on halves of batches."""
    source = "digits:@test"
    rows = (SubsetRow(source, f"digit {i}", 80, i + 1, 0.0, (), weight) for i, weight in enumerate((0.5, 0.2, 0.3)))
    Subset(tuple(rows)).write(tmp_path / "subset.csv")
    file, common = str(tmp_path / "subset.csv"), ["--batch-norm", "frozen", "--augment", "none", "--lr", "0.02", *CPU]
    common += ["--steps", "5", "--batch-size", "32", "--optimizer", "sgd"]
    command = {
        "continued": ["pretrain", "--subset", file, "--init", str(plain_network)],
        "weighted": ["pretrain", source, "--class-weights", file, "--init", str(plain_network)],
        "co-trained": ["finetune", "digits:@train", "--init", str(plain_network), "--with", file, "--with-weight", "1"],
    }[use]
    assert main([*command, *common, "--out", str(tmp_path / "one")]) == 0
    found = two_processes(*command, *common, "--out", str(tmp_path / "two"), "--json")
    assert found.returncode == 0, found.stderr
    one, two = (load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two"))
    start = load_file(plain_network / "checkpoints" / "last.safetensors")
    assert not torch.equal(one["backbone.stem.0.weight"], start["backbone.stem.0.weight"])
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow  # two processes that start PyTorch
def test_co_training_with_the_statistics_of_each_batch(tmp_path, plain_network):
    """The head of the source sees a batch of its own; the statistics that are saved are those of all processes."""
    rows = (SubsetRow("digits:@test", f"digit {i}", 80, i + 1, 0.0, ()) for i in range(3))
    Subset(tuple(rows)).write(tmp_path / "subset.csv")
    command = ["finetune", "digits:@train", "--init", str(plain_network), "--with", str(tmp_path / "subset.csv")]
    command += ["--batch-norm", "train", "--augment", "none", "--steps", "5", "--batch-size", "32", *CPU]
    callback = tmp_path / "watch.py"
    callback.write_text(WATCH)
    found = subprocess.run(
        [*LAUNCHER, *command, "--callbacks", "watch.Watch", "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    one, two = (load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two"))
    tracked = [name for name in one if name.endswith("num_batches_tracked")]
    assert tracked and all(two[name] == one[name] for name in tracked)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


#: A callback that saves the network of each process at the end of the training.
WATCH = """
import os, torch
from lightning.pytorch import Callback

class Watch(Callback):
    def on_train_end(self, trainer, step):
        torch.save(step.model.state_dict(), f"rank{os.environ['RANK']}.pt")
"""


def test_the_validation_judges_what_is_kept(tmp_path):
    """Statistics of batch normalisation differ between the processes until an epoch ends."""
    options = ["digits:@train?per_class=12", "--init", "resnet8", "--weights", "none", "--validation", "4", *CPU]
    options += ["--epochs", "3", "--batch-size", "16", "--augment", "none", "--lr", "0.05", "--ema", "0.5"]
    found = two_processes("finetune", *options, "--out", str(tmp_path / "run"), "--json")
    assert found.returncode == 0, found.stderr
    judged = json.loads(found.stdout)["validation"]
    held = split_off(open_dataset("digits:@train?per_class=12"), 4, 0).validation
    model, card = ImageClassifier.open(tmp_path / "run")
    options = EvaluateConfig(run="", dataset="", device="cpu", precision="fp32", workers=0)
    alone = evaluate_model(model, held, card, options).metrics
    assert (judged["macro"], judged["top5"]) == pytest.approx((alone.macro, alone.top5))
    read = [float(row["images_per_second"]) for row in csv.DictReader((tmp_path / "run" / "history.csv").open())]
    assert len(read) == 3


def test_each_process_takes_its_own_share_of_a_batch(monkeypatch):
    sampler = build_sampler("shuffle", [0, 1] * 20, seed=1)
    whole = list(EpochBatches(sampler, 8, 7))
    parts = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for own in ("0", "1"):
        monkeypatch.setenv("RANK", own)
        parts.append(list(EpochBatches(sampler, 8, 7)))
    for batch, one, other in zip(whole, *parts, strict=True):
        assert len(one) == len(other) == 4 and sorted(one + other) == sorted(batch)


def test_a_batch_that_cannot_be_shared_out(tmp_path):
    options = ["digits:@train?per_class=8", "--init", "resnet8", "--weights", "none", "--steps", "2", *CPU]
    found = two_processes("finetune", *options, "--batch-size", "15", "--out", str(tmp_path / "run"))
    assert found.returncode != 0
    said = "--batch-size 15: cannot be divided evenly among 2 processes; give a multiple of 2"
    assert found.stderr.count(said) == 1  # by one of them
    assert not (tmp_path / "run").exists()
