"""An extraction that is killed goes on; two processes never write one bank; shards add up to the whole."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from PIL import Image

from features import ExtractConfig, FeatureBank, InputError, MergeConfig, extract, merge
from features.class_statistics import ClassStatistics
from features.extraction.shard import Shard
from features.infrastructure.locks import locked

CLASSES, PER_CLASS = 6, 20


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Class folders of noise, one image damaged."""
    root = tmp_path_factory.mktemp("photos") / "data"
    generator = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
        for i in range(PER_CLASS):
            pixels = generator.integers(0, 40 * (label + 1), (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"class{label}" / f"{i:02}.png")
    (root / "class2" / "07.png").write_bytes(b"damaged")
    return root


def config(photos, out, **options):
    defaults = {
        "dataset": f"folder:{photos}",
        "out": str(out),
        "backbone": "resnet8",
        "weights": "none",
        "device": "cpu",
        "precision": "fp32",
        "batch_size": 4,
        "workers": 0,
        "keep_images": True,
        "checkpoint_seconds": 0,
    }
    return ExtractConfig(**{**defaults, **options})


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The bank of an extraction that nothing disturbed."""
    return extract(config(photos, tmp_path_factory.mktemp("whole") / "bank.h5")).bank


def contents(path):
    """Every dataset of an HDF5 file, by name, and its attributes but for the time."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        attributes = {name: value for name, value in file.attrs.items() if name != "created"}
    return found, attributes


def assert_same_bits(path, other):
    (found, attributes), (expected, other_attributes) = contents(path), contents(other)
    assert attributes == other_attributes and set(found) == set(expected)
    for name, value in expected.items():
        assert value.dtype == found[name].dtype
        assert value.tolist() == found[name].tolist() if value.dtype == object else np.array_equal(value, found[name])


class Stop(Exception):
    pass


def interrupted(settings, monkeypatch, after):
    """An extraction that breaks off after some batches."""
    seen = []

    def add(statistics, *arguments, original=ClassStatistics.add):
        if len(seen) == after:
            raise Stop
        seen.append(1)
        original(statistics, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("features.class_statistics.ClassStatistics.add", add)
        with pytest.raises(Stop):
            extract(settings)


@pytest.mark.parametrize("after", [1, 9, 29])
def test_an_extraction_that_broke_off_goes_on_bit_for_bit(photos, whole, tmp_path, monkeypatch, after, capfd):
    settings = config(photos, tmp_path / "bank.h5")
    interrupted(settings, monkeypatch, after)
    assert not (tmp_path / "bank.h5").exists() and (tmp_path / "bank.h5.resume").exists()
    done = Shard.open(tmp_path / "bank.h5.resume").position
    result = extract(settings)
    assert f"resuming after {done} of 120 images" in capfd.readouterr().err and done == 4 * after
    assert result.read == 120 - done and result.images == 119 and result.skipped == 1
    assert_same_bits(result.path, whole.path)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.h5"]


def test_it_goes_on_with_another_batch_size_too(photos, whole, tmp_path, monkeypatch):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    bank = extract(config(photos, tmp_path / "bank.h5", batch_size=7, workers=1)).bank
    assert bank.counts.tolist() == whole.counts.tolist() and bank.skipped == whole.skipped
    np.testing.assert_allclose(bank.means, whole.means, rtol=1e-4, atol=1e-6)  # kernels round by the shape of a batch
    assert bank.images()[1:][0].tolist() == whole.images()[1].tolist() and bank.images()[2] == whole.images()[2]


def test_no_checkpoint_is_written_before_it_is_due(photos, tmp_path, monkeypatch):
    interrupted(config(photos, tmp_path / "bank.h5", checkpoint_seconds=3600), monkeypatch, 9)
    assert not (tmp_path / "bank.h5.resume").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"backbone": "resnet14"}, "backbone is 'resnet8'"), ({"keep_images": False}, "another `keep_images`")],
)
def test_an_unfinished_extraction_of_another_kind_is_not_lost(photos, tmp_path, monkeypatch, options, named):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    with pytest.raises(InputError, match=r"an unfinished .*name another file or give `overwrite`") as caught:
        extract(config(photos, tmp_path / "bank.h5", **options))
    assert named in str(caught.value) and Shard.open(tmp_path / "bank.h5.resume").position == 20
    assert extract(config(photos, tmp_path / "bank.h5", overwrite=True, **options)).read == 120


def test_images_that_changed_meanwhile_are_read_anew(photos, tmp_path, monkeypatch, capfd):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    os.utime(photos / "class0" / "00.png")
    assert extract(config(photos, tmp_path / "bank.h5")).read == 120
    assert "the images have changed since; starting from the first image" in capfd.readouterr().err


def test_rows_written_after_the_last_checkpoint_do_not_count(photos, whole, tmp_path, monkeypatch):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    with (tmp_path / "bank.h5.resume.features").open("ab") as file:
        file.write(b"half a row")
    assert_same_bits(extract(config(photos, tmp_path / "bank.h5")).path, whole.path)


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


def test_a_second_process_on_the_same_output_is_refused(photos, tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "bank.h5", ready, leave))
    other.start()
    assert ready.wait(30)
    with pytest.raises(InputError, match=f"another process is writing it .process {other.pid} on "):
        extract(config(photos, tmp_path / "bank.h5"))
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    assert extract(config(photos, tmp_path / "bank.h5")).images == 119  # a dead process holds nothing
    assert [path.name for path in tmp_path.iterdir()] == ["bank.h5"]


# Shards


@pytest.mark.parametrize("total", [1, 3, 8])
def test_shards_add_up_to_the_whole(photos, whole, tmp_path, total):
    shards = [tmp_path / f"{i}.h5" for i in range(1, total + 1)]
    for i, path in enumerate(shards, start=1):
        found = extract(config(photos, path, shard=f"{i}/{total}", max_unreadable=0.1))
        assert extract(config(photos, path, shard=f"{i}/{total}", max_unreadable=0.1)).reused
        with pytest.raises(InputError, match="shards become a bank with: transfer merge"):
            _ = found.bank
    result = merge(MergeConfig([str(path) for path in reversed(shards)], str(tmp_path / "bank.h5")))
    bank = result.bank
    assert result.images == 119 and bank.skipped == whole.skipped and bank.classes == whole.classes
    assert bank.counts.tolist() == whole.counts.tolist()
    for name in ("means", "variances", "within_covariance"):  # the order of float64 sums shows in a last digit
        np.testing.assert_allclose(getattr(bank, name), getattr(whole, name), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(bank.images()[1:], whole.images()[1:], strict=True):
        assert list(ours) == list(theirs)
    assert {n: v for n, v in bank.attrs.items() if n != "created"} == {
        n: v for n, v in whole.attrs.items() if n != "created"
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["bank.h5", *(path.name for path in shards)])


def test_shards_that_are_no_whole_are_refused(photos, whole, tmp_path):
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2, 3)]
    for i, path in enumerate(shards, start=1):
        extract(config(photos, path, shard=f"{i}/3", max_unreadable=0.1))
    out = str(tmp_path / "bank.h5")
    other = str(tmp_path / "other.h5")
    extract(config(photos, other, shard="2/3", backbone="resnet14", max_unreadable=0.1))

    def refused(paths):
        with pytest.raises(InputError) as caught:
            merge(MergeConfig(paths, out))
        assert not os.path.exists(out) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "shard 2/3 of folder:" in refused([shards[0], shards[2]]) and "is missing" in refused(shards[1:])
    assert "shard 3/3" in refused([*shards, shards[2]]) and "is given twice" in refused([*shards, shards[2]])
    assert "different extractions: backbone is " in refused([shards[0], other, shards[2]])
    assert "no such shard" in refused([*shards, str(tmp_path / "absent.h5")])
    assert "not a shard of this version" in refused([str(whole.path)])
    merge(MergeConfig(shards, out))
    with pytest.raises(InputError, match="is there already"):
        merge(MergeConfig(shards, out))
    assert FeatureBank.open(out).counts.sum() == 119


def test_a_shard_and_a_bank_are_not_taken_for_each_other(photos, tmp_path):
    extract(config(photos, tmp_path / "bank.h5"))
    with pytest.raises(InputError, match="something else is there"):
        extract(config(photos, tmp_path / "bank.h5", shard="1/2"))
    extract(config(photos, tmp_path / "1.h5", shard="1/2", max_unreadable=0.1))
    with pytest.raises(InputError, match=r"holds another bank .shard is '1/2', asked for '2/2'"):
        extract(config(photos, tmp_path / "1.h5", shard="2/2"))
    with pytest.raises(InputError, match="something else is there"):
        extract(config(photos, tmp_path / "1.h5"))
    with pytest.raises(InputError, match="`shard` 1/500: the dataset has 120 images"):
        extract(config(photos, tmp_path / "2.h5", shard="1/500"))


def test_a_class_that_no_shard_could_read_is_named(photos, tmp_path):
    for i in (1, 2):
        extract(config(photos, tmp_path / f"{i}.h5", shard=f"{i}/2", max_unreadable=0.1))
    with h5py.File(tmp_path / "1.h5", "r+") as file:
        file["class/count"][1] = 0
    with pytest.raises(InputError, match="class 'class1' has no readable image"):
        merge(MergeConfig([str(tmp_path / "1.h5"), str(tmp_path / "2.h5")], str(tmp_path / "bank.h5")))


def test_nothing_of_a_discarded_extraction_gets_into_another(photos, whole, tmp_path, monkeypatch):
    """Interrupted, overwritten by another kind that dies before its first checkpoint, and asked for again."""
    out = tmp_path / "bank.h5"
    interrupted(config(photos, out), monkeypatch, 5)
    other = config(photos, out, backbone="resnet14", overwrite=True, checkpoint_seconds=3600)
    interrupted(other, monkeypatch, 7)
    result = extract(config(photos, out))
    assert result.read == 120
    assert_same_bits(out, whole.path)


def test_features_that_were_lost_are_extracted_again(photos, whole, tmp_path, monkeypatch, capfd):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    os.truncate(tmp_path / "bank.h5.resume.features", 1000)
    assert extract(config(photos, tmp_path / "bank.h5")).read == 120
    assert "its file of features is not complete; starting from the first image" in capfd.readouterr().err
    assert_same_bits(tmp_path / "bank.h5", whole.path)


def test_a_damaged_checkpoint_is_named_and_can_be_overwritten(photos, tmp_path):
    resume = tmp_path / "bank.h5.resume"
    resume.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"not a readable shard .*; remove .*bank\.h5\.resume, or give `overwrite`"):
        extract(config(photos, tmp_path / "bank.h5"))
    assert extract(config(photos, tmp_path / "bank.h5", overwrite=True)).read == 120 and not resume.exists()


def test_features_that_are_not_finite_end_it_and_are_in_no_checkpoint(photos, tmp_path, monkeypatch):
    out = tmp_path / "bank.h5"
    torch = pytest.importorskip("torch")
    from features.backbones.cifar_resnet import CifarResNet

    weights = CifarResNet(1).state_dict()
    weights["conv1.weight" if "conv1.weight" in weights else next(iter(weights))].fill_(float("nan"))
    torch.save(weights, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"gave NaN or infinite features in . classes; check its weights"):
        extract(config(photos, out, weights=str(tmp_path / "nan.pth")))
    assert sorted(path.name for path in tmp_path.iterdir() if ".resume.features" not in path.name) == ["nan.pth"]


def test_a_merged_bank_is_as_old_as_its_oldest_shard(photos, tmp_path):
    shards = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for i in (2, 1):  # the first part is read last
        extract(config(photos, shards[i - 1], shard=f"{i}/2", max_unreadable=0.1))
    os.utime(photos / "class5" / "19.png")
    extract(config(photos, shards[0], shard="1/2", max_unreadable=0.1, overwrite=True))
    merge(MergeConfig([str(path) for path in shards], str(tmp_path / "bank.h5")))
    with pytest.raises(InputError, match="were changed after it was made"):
        extract(config(photos, tmp_path / "bank.h5"))


def test_dates_in_the_future_do_not_make_every_bank_an_old_one(photos, tmp_path):
    os.utime(photos / "class5" / "19.png", (4e9, 4e9))
    try:
        extract(config(photos, tmp_path / "bank.h5"))
        assert extract(config(photos, tmp_path / "bank.h5")).reused
    finally:
        os.utime(photos / "class5" / "19.png")


def test_a_finished_bank_is_reused_while_another_process_holds_it(photos, tmp_path):
    extract(config(photos, tmp_path / "bank.h5"))
    with locked(tmp_path / "bank.h5"):
        assert extract(config(photos, tmp_path / "bank.h5")).reused


def test_what_is_no_shard_is_not_merged(photos, tmp_path, monkeypatch):
    interrupted(config(photos, tmp_path / "bank.h5"), monkeypatch, 5)
    with pytest.raises(InputError, match="is an unfinished extraction of the whole"):
        merge(MergeConfig([str(tmp_path / "bank.h5.resume")], str(tmp_path / "out.h5")))
    with pytest.raises(InputError, match="none is given"):
        merge(MergeConfig([], str(tmp_path / "out.h5")))
    with pytest.raises(InputError, match="is a directory"):
        merge(MergeConfig(["x.h5"], str(tmp_path), overwrite=True))
