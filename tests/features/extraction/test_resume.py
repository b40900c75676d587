"""An extraction that is killed resumes; two processes never write one bank."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from same_bits import assert_same_bits

from features import InputError, extract
from features.class_statistics import ClassStatistics
from features.extraction.shard import Shard
from features.infrastructure.disk.locks import locked
from features.infrastructure.interruptions import Interrupted


@pytest.mark.parametrize("after", [1, 9, 29])
def test_an_interrupted_extraction_resumes_bit_for_bit(
    checkpointed, interrupted, photos, whole, tmp_path, after, capfd
):
    settings = checkpointed(photos, tmp_path / "bank.h5")
    interrupted(settings, after)
    assert not (tmp_path / "bank.h5").exists() and (tmp_path / "bank.h5.resume").exists()
    done = Shard.open(tmp_path / "bank.h5.resume").position
    result = extract(settings)
    assert f"resuming after {done} of 120 images" in capfd.readouterr().err and done == 4 * after
    assert result.read == 120 - done and result.images == 119 and result.skipped == 1
    assert_same_bits(result.path, whole.path)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.h5"]


def test_it_goes_on_with_another_batch_size_too(checkpointed, interrupted, photos, whole, tmp_path):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    bank = extract(checkpointed(photos, tmp_path / "bank.h5", batch_size=7, workers=1)).bank
    assert bank.counts.tolist() == whole.counts.tolist() and bank.skipped == whole.skipped
    np.testing.assert_allclose(bank.means, whole.means, rtol=1e-4, atol=1e-6)  # kernels round by the shape of a batch
    assert bank.images()[1:][0].tolist() == whole.images()[1].tolist() and bank.images()[2] == whole.images()[2]


def test_no_checkpoint_is_written_before_it_is_due(checkpointed, interrupted, photos, tmp_path):
    interrupted(checkpointed(photos, tmp_path / "bank.h5", checkpoint_seconds=3600), 9)
    assert not (tmp_path / "bank.h5.resume").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"backbone": "resnet14"}, "backbone is 'resnet8'"), ({"keep_images": False}, "another `keep_images`")],
)
def test_an_unfinished_other_extraction_is_not_lost(checkpointed, interrupted, photos, tmp_path, options, named):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    with pytest.raises(InputError, match=r"an unfinished .*name another file or give `overwrite`") as caught:
        extract(checkpointed(photos, tmp_path / "bank.h5", **options))
    assert named in str(caught.value) and Shard.open(tmp_path / "bank.h5.resume").position == 20
    assert extract(checkpointed(photos, tmp_path / "bank.h5", overwrite=True, **options)).read == 120


def test_images_that_changed_meanwhile_are_read_anew(checkpointed, interrupted, photos, tmp_path, capfd):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    os.utime(photos / "class0" / "00.png")
    assert extract(checkpointed(photos, tmp_path / "bank.h5")).read == 120
    said = " ".join(capfd.readouterr().err.split())
    assert "have changed since, or were copied without their dates (cp -a keeps them); starting from the first" in said


def test_rows_written_after_the_last_checkpoint_do_not_count(checkpointed, interrupted, photos, whole, tmp_path):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    with (tmp_path / "bank.h5.resume.features").open("ab") as file:
        file.write(b"half a row")
    assert_same_bits(extract(checkpointed(photos, tmp_path / "bank.h5")).path, whole.path)


# Killed


def command(photos, out):
    options = ["--backbone", "resnet8", "--weights", "none", "--device", "cpu", "--precision", "fp32", "--json"]
    options += ["--batch-size", "4", "--workers", "1", "--checkpoint-seconds", "0", "--keep-images"]
    return [sys.executable, "-m", "transfer.cli", "extract", f"folder:{photos}", "--out", str(out), *options]


def kill_until_done(photos, out, kills, seed):
    """Run the command, kill it at random moments of its pass, then let it end."""
    clock = random.Random(seed)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    positions = []
    while len(positions) < kills:
        process = subprocess.Popen(
            command(photos, out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        resume, before = out.with_name(out.name + ".resume"), positions[-1] if positions else 0
        while process.poll() is None and position(resume) <= before:
            time.sleep(0.002)
        time.sleep(clock.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the extraction ended before it was killed"
        assert not out.exists()
        positions.append(position(resume))
    subprocess.run(command(photos, out), check=True, env=environment, stdout=subprocess.DEVNULL)
    return positions


def position(resume):
    try:
        return Shard.open(resume).position
    except InputError:
        return 0


def test_a_killed_extraction_goes_on_bit_for_bit(photos, whole, tmp_path):
    (at,) = kill_until_done(photos, tmp_path / "bank.h5", 1, 0)
    assert 0 < at < 120
    assert_same_bits(tmp_path / "bank.h5", whole.path)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_writes_a_checkpoint_before_one_is_due(
    checkpointed, photos, whole, tmp_path, monkeypatch, listening, name
):
    settings = checkpointed(photos, tmp_path / "bank.h5", checkpoint_seconds=3600)
    add, batches = ClassStatistics.add, []

    def counted(self, *arguments):
        add(self, *arguments)
        batches.append(None)
        if len(batches) == 7:
            signal.raise_signal(signal.Signals[name])

    with monkeypatch.context() as patched, pytest.raises(Interrupted, match=f"^{name}$"):
        patched.setattr(ClassStatistics, "add", counted)
        extract(settings)
    assert Shard.open(tmp_path / "bank.h5.resume").position == 28
    assert extract(settings).read == 92
    assert_same_bits(tmp_path / "bank.h5", whole.path)


@pytest.mark.slow
def test_an_extraction_killed_ten_times_goes_on_bit_for_bit(photos, whole, tmp_path):
    positions = kill_until_done(photos, tmp_path / "bank.h5", 10, 1)
    assert positions == sorted(set(positions))
    assert_same_bits(tmp_path / "bank.h5", whole.path)


# One process at a time


def hold(path, ready, leave):
    with locked(path):
        ready.set()
        leave.wait(30)


def test_a_second_process_on_the_same_output_is_refused(checkpointed, photos, tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "bank.h5", ready, leave))
    other.start()
    assert ready.wait(30)
    with pytest.raises(InputError, match=f"another process is writing it .process {other.pid} on "):
        extract(checkpointed(photos, tmp_path / "bank.h5"))
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    assert extract(checkpointed(photos, tmp_path / "bank.h5")).images == 119  # a dead process holds nothing
    assert [path.name for path in tmp_path.iterdir()] == ["bank.h5"]


def test_nothing_of_a_discarded_extraction_gets_into_another(checkpointed, interrupted, photos, whole, tmp_path):
    """Interrupted, overwritten by another kind that dies before its first checkpoint, and asked for again."""
    out = tmp_path / "bank.h5"
    interrupted(checkpointed(photos, out), 5)
    other = checkpointed(photos, out, backbone="resnet14", overwrite=True, checkpoint_seconds=3600)
    interrupted(other, 7)
    result = extract(checkpointed(photos, out))
    assert result.read == 120
    assert_same_bits(out, whole.path)


def test_features_that_were_lost_are_extracted_again(checkpointed, interrupted, photos, whole, tmp_path, capfd):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    os.truncate(tmp_path / "bank.h5.resume.features", 1000)
    assert extract(checkpointed(photos, tmp_path / "bank.h5")).read == 120
    assert "its file of features is not complete; starting from the first image" in capfd.readouterr().err
    assert_same_bits(tmp_path / "bank.h5", whole.path)


def test_a_damaged_checkpoint_is_named_and_can_be_overwritten(checkpointed, photos, tmp_path):
    resume = tmp_path / "bank.h5.resume"
    resume.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"not a readable shard .*; remove .*bank\.h5\.resume, or give `overwrite`"):
        extract(checkpointed(photos, tmp_path / "bank.h5"))
    assert extract(checkpointed(photos, tmp_path / "bank.h5", overwrite=True)).read == 120 and not resume.exists()


def test_features_that_are_not_finite_end_it_and_are_in_no_checkpoint(checkpointed, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("features.backbones.loading.check_tensors", lambda *_: None)  # as a network that overflows
    out = tmp_path / "bank.h5"
    torch = pytest.importorskip("torch")
    from features.backbones.families.cifar_resnet import CifarResNet

    weights = CifarResNet(1).state_dict()
    weights["conv1.weight" if "conv1.weight" in weights else next(iter(weights))].fill_(float("nan"))
    torch.save(weights, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"gave NaN or infinite features in . classes; check its weights"):
        extract(checkpointed(photos, out, weights=str(tmp_path / "nan.pth")))
    assert sorted(path.name for path in tmp_path.iterdir() if ".resume.features" not in path.name) == ["nan.pth"]


def test_a_changed_byte_of_the_features_is_noticed(checkpointed, interrupted, photos, whole, tmp_path, capsys):
    out = tmp_path / "bank.h5"
    interrupted(checkpointed(photos, out), 9)
    features = tmp_path / "bank.h5.resume.features"
    content = bytearray(features.read_bytes())
    content[1001] ^= 4
    features.write_bytes(content)
    extract(checkpointed(photos, out))
    assert "its file of features is damaged; starting from the first image" in capsys.readouterr().err
    assert_same_bits(out, whole.path)


@pytest.mark.parametrize("left", [(".resume.features",), (".resume", ".resume.features")])
def test_what_a_kill_has_left_beside_a_finished_bank_goes(checkpointed, photos, tmp_path, left):
    settings = checkpointed(photos, tmp_path / "bank.h5")
    extract(settings)
    for ending in left:
        (tmp_path / f"bank.h5{ending}").write_bytes(b"left")
    assert extract(settings).reused
    assert [entry.name for entry in tmp_path.iterdir()] == ["bank.h5"]
