"""A job of two machines, each with an agent of torchrun of its own: the bank and the training of one process."""

from __future__ import annotations

import json
import subprocess
import time

import numpy as np
import pytest
import torch
from nodes import ROOT, Nodes, ended, kill_node, on_two_nodes
from safetensors.torch import load_file

from features.bank import FeatureBank
from transfer.cli import main

CPU = ["--device", "cpu", "--precision", "fp32", "--workers", "0"]
#: With the statistics of its start, a network trains the same on shares of batches.
PRETRAIN = ["pretrain", "digits:@train?per_class=9", "--backbone", "resnet8", "--batch-norm", "frozen", "--lr", "0.02"]
PRETRAIN += ["--steps", "5", "--batch-size", "24", "--augment", "none", *CPU]
EXTRACT = ["extract", "digits:@train?per_class=7", "--backbone", "resnet8", "--weights", "none", "--keep-images", *CPU]
#: A training with statistics of batch normalisation, an average of weights and augmentation, in several epochs.
WHOLE = ["pretrain", "digits:@train?per_class=8", "--backbone", "resnet8", "--batch-size", "16"]
WHOLE += ["--ema", "0.5", *CPU]
KILLED = [str(ROOT / "tests" / "killed_process.py")]


def weights(run):
    return load_file(run / "checkpoints" / "last.safetensors")


def assert_trained_alike(two, one):
    """Compare with the tolerance of two processes on one machine."""
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)


def assert_same_bank(two, one):
    np.testing.assert_allclose(two.means, one.means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two.within_covariance, one.within_covariance, rtol=1e-4, atol=1e-5)
    assert one.classes == two.classes and (one.counts == two.counts).all()
    assert one.images()[2] == two.images()[2]


def said_once(job):
    """The JSON that one of the nodes has printed; the other one has printed nothing, and shows no progress."""
    spoken = [node for node in (0, 1) if job.stdout[node]]
    assert len(spoken) == 1 and not job.stderr[1 - spoken[0]], job.stderr
    return json.loads(job.stdout[spoken[0]])


def test_training(tmp_path):
    assert main([*PRETRAIN, "--out", str(tmp_path / "one")]) == 0
    job = on_two_nodes(*PRETRAIN, "--out", str(tmp_path / "two"), "--json").done()
    assert said_once(job)["run"] == str(tmp_path / "two")
    assert_trained_alike(weights(tmp_path / "two"), weights(tmp_path / "one"))
    files = [{str(path.relative_to(tmp_path / run)) for path in (tmp_path / run).rglob("*")} for run in ("one", "two")]
    assert files[0] == files[1]
    assert (tmp_path / "two" / "log.txt").read_text().count("5 steps") == 1


@pytest.mark.slow
def test_machines_with_different_numbers_of_processes(tmp_path):
    assert main([*PRETRAIN, "--out", str(tmp_path / "one")]) == 0
    on_two_nodes(*PRETRAIN, "--out", str(tmp_path / "three"), processes=(2, 1)).done()
    assert_trained_alike(weights(tmp_path / "three"), weights(tmp_path / "one"))


@pytest.mark.slow
def test_extraction(tmp_path):
    assert main([*EXTRACT, "--out", str(tmp_path / "one.h5")]) == 0
    job = on_two_nodes(*EXTRACT, "--out", str(tmp_path / "two.h5"), "--json").done()
    assert said_once(job)["images"] == 70
    assert_same_bank(*(FeatureBank.open(tmp_path / name) for name in ("two.h5", "one.h5")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "two.h5"]


@pytest.fixture
def spaces():
    """Two network namespaces that are joined by a cable: 10.77.0.1 and 10.77.0.2 on its ends, ``v0`` in each."""
    names = ["transfer-test-1", "transfer-test-2"]
    cable = "ip link add v0 netns transfer-test-1 type veth peer name v0 netns transfer-test-2"
    commands = [f"ip netns add {name}" for name in names] + [cable]
    for number, name in enumerate(names, 1):
        inside = [f"addr add 10.77.0.{number}/24 dev v0", "link set lo up", "link set v0 up"]
        commands += [f"ip -n {name} {command}" for command in inside]
    try:
        for command in commands:
            try:
                subprocess.run(command.split(), check=True, capture_output=True, text=True)
            except FileNotFoundError:
                pytest.skip("network namespaces need the program ip")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield names
    finally:
        for name in names if commands else ():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.mark.slow
def test_machines_with_different_addresses(tmp_path, spaces):
    assert main([*PRETRAIN, "--out", str(tmp_path / "one")]) == 0
    interface = {"GLOO_SOCKET_IFNAME": "v0"}
    on_two_nodes(*PRETRAIN, "--out", str(tmp_path / "two"), spaces=spaces, environment=interface).done()
    assert_trained_alike(weights(tmp_path / "two"), weights(tmp_path / "one"))


@pytest.mark.slow
def test_a_training_with_a_killed_process_restarts_from_its_checkpoint(tmp_path):
    """It ends with the weights of a job that was not disturbed, bit for bit."""
    (tmp_path / "never").touch()
    where = {"program": KILLED, "environment": {"PYTHONPATH": str(ROOT)}}
    on_two_nodes(str(tmp_path / "never"), *WHOLE, "--steps", "12", "--out", str(tmp_path / "whole"), **where).done()
    killed = [str(tmp_path / "mark"), *WHOLE, "--steps", "12", "--out", str(tmp_path / "killed")]
    job = on_two_nodes(*killed, "--json", restarts=1, **where).done()
    assert (tmp_path / "mark").exists()
    assert "stops, because another process of the job has ended" in "".join(job.stderr)
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert "killed: resumed after step 4 of 12" in log or "killed: resumed after step 5 of 12" in log
    whole, again = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert whole.keys() == again.keys() and all(torch.equal(again[name], value) for name, value in whole.items())


@pytest.mark.slow
def test_a_training_with_a_killed_machine_goes_on_when_that_joins_again(tmp_path):
    (tmp_path / "never").touch()
    # Without it a torchrun that joins later is not told where the first process is.
    where = {"PYTHONPATH": str(ROOT), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    nodes = Nodes(program=KILLED, environment=where, restarts=1)
    command = [str(tmp_path / "never"), *WHOLE, "--steps", "200", "--out", str(tmp_path / "run")]
    first, second = (nodes.start(node, *command) for node in (0, 1))
    patience = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "resume.ckpt").exists() and time.monotonic() < patience:
        time.sleep(0.05)
    kill_node(second)
    ended([first, nodes.start(1, *command)]).done()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("run: resumed after step") == 1 and (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.slow
def test_an_extraction_with_a_killed_process_restarts_from_its_checkpoint(tmp_path):
    assert main([*EXTRACT, "--out", str(tmp_path / "one.h5")]) == 0
    options = [*EXTRACT, "--batch-size", "4", "--checkpoint-seconds", "0", "--out", str(tmp_path / "two.h5")]
    where = {"program": KILLED, "environment": {"PYTHONPATH": str(ROOT)}}
    job = on_two_nodes(str(tmp_path / "mark"), *options, restarts=1, **where).done()
    assert (tmp_path / "mark").exists() and "exitcode: -9" in "".join(job.stderr)
    assert_same_bank(*(FeatureBank.open(tmp_path / name) for name in ("two.h5", "one.h5")))
    # The killed process had half of the 70 images, in nine batches, and died before it added the fifth.
    before, after = (part.count("batch") for part in (tmp_path / "mark.1").read_text().split("start")[1:])
    assert (before, after) == (4, 5)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mark", "mark.0", "mark.1", "one.h5", "two.h5"]
