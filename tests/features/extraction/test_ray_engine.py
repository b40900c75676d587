"""Extraction on Ray: the bank of one process, also if a worker is killed; and all roads give one bank."""

import os
import pickle
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from features import InputError, MergeConfig, extract, merge
from features.class_statistics import ClassStatistics
from features.extraction import ray_engine
from features.extraction.ray_engine import _Worker, blocks_of
from features.extraction.shard import Shard
from features.infrastructure.console import console
from features.infrastructure.interruptions import interruptible


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray_engine._join()
    yield ray
    ray.shutdown()


@pytest.fixture
def fake_ray(monkeypatch):
    """A module in place of Ray that begins as Ray does, or as ``fault`` says."""
    ray = SimpleNamespace(fault=None, is_initialized=lambda: False, data=None)

    def init(**_):
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        if ray.fault is not None:
            raise ray.fault

    ray.init = init
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", SimpleNamespace())
    return ray


def workers_of_ray():
    """The processes of Ray's workers that this process has started, by its raylet."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = []
    for number, parent in parents.items():
        while parent > 1 and parent != os.getpid():
            parent = parents.get(parent, 0)
        if parent == os.getpid() and b"MapWorker" in Path(f"/proc/{number}/cmdline").read_bytes():
            found.append(number)
    return found


@pytest.mark.parametrize(("n", "batch"), [(1, 64), (120, 4), (1000, 64), (100_000, 64), (10_000_000, 96)])
def test_blocks_cover_the_positions_and_do_not_depend_on_the_start(n, batch):
    blocks = blocks_of(range(n), n, batch)
    assert [at for block in blocks for at in (block.start, block.stop)][1:-1:2] == [one.start for one in blocks][1:]
    assert (blocks[0].start, blocks[-1].stop) == (0, n)
    assert all(len(block) % batch == 0 for block in blocks[:-1])
    start = n // 3 + 1
    assert [block.stop for block in blocks_of(range(start, n), n, batch)] == [b.stop for b in blocks if b.stop > start]


def test_all_roads_give_one_bank(cluster, checkpointed, photos, whole, two_processes, tmp_path, monkeypatch):
    settings = checkpointed(photos, tmp_path / "ray.h5")
    killed = []

    def merge_and_kill(self, other, classes=None, original=ClassStatistics.merge):
        original(self, other, classes)
        if not killed:
            killed.append(workers_of_ray()[0])
            os.kill(killed[0], signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(ClassStatistics, "merge", merge_and_kill)
        by_ray = extract(replace(settings, engine="ray", ray_workers="2")).bank
    assert len(killed) == 1
    shards = [str(tmp_path / f"{number}.h5") for number in (1, 2, 3)]
    for number, path in enumerate(shards, start=1):
        extract(replace(settings, out=path, shard=f"{number}/3"))
    merged = merge(MergeConfig(shards, str(tmp_path / "merged.h5"))).bank
    two = checkpointed(photos, tmp_path / "two.h5")
    status, said = two_processes(two)
    assert status == 0, said
    by_torchrun = extract(two).bank  # reused

    for name in ("means", "variances", "within_covariance"):
        expected = getattr(whole, name)
        np.testing.assert_array_equal(getattr(by_ray, name), expected)
        for bank in (merged, by_torchrun):
            np.testing.assert_allclose(getattr(bank, name), expected, rtol=1e-5, atol=1e-7)
    for bank in (by_ray, merged, by_torchrun):
        assert bank.classes == whole.classes and bank.skipped == whole.skipped
        np.testing.assert_array_equal(bank.counts, whole.counts)
        features, labels, ids = bank.images()
        np.testing.assert_allclose(features, whole.images()[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(labels, whole.images()[1])
        assert ids == whole.images()[2]
    assert not list(tmp_path.glob("ray.h5.*"))


def test_the_sums_are_those_of_one_process(cluster, config, photos, tmp_path):
    settings = config(photos, tmp_path / "one.h5", batch_size=8, shard="1/1")
    extract(settings)
    extract(replace(settings, out=str(tmp_path / "ray.h5"), engine="ray"))
    one, by_ray = (Shard.open(tmp_path / name).statistics for name in ("one.h5", "ray.h5"))
    for name in ("counts", "sums", "squares", "scatter"):
        np.testing.assert_allclose(getattr(by_ray, name), getattr(one, name), rtol=1e-12)


def test_one_process_goes_on_where_ray_was_stopped(cluster, checkpointed, photos, whole, tmp_path, monkeypatch, capsys):
    settings = checkpointed(photos, tmp_path / "bank.h5")
    added = []

    def stop_after_some(self, other, classes=None, original=ClassStatistics.merge):
        if len(added) == 5:
            raise KeyboardInterrupt
        original(self, other, classes)
        added.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(ClassStatistics, "merge", stop_after_some)
        with pytest.raises(KeyboardInterrupt):
            extract(replace(settings, engine="ray"))
    bank = extract(settings).bank
    assert "resuming after 20 of 120 images" in capsys.readouterr().err
    np.testing.assert_array_equal(bank.means, whole.means)
    np.testing.assert_array_equal(bank.images()[0], whole.images()[0])


@pytest.mark.parametrize("fault", [None, ConnectionError("nobody answers")])
def test_sigterm_stays_with_those_who_clean_up(fake_ray, listening, fault):
    fake_ray.fault = fault
    with interruptible():
        handler = signal.getsignal(signal.SIGTERM)
        with nullcontext() if fault is None else pytest.raises(InputError, match="no cluster at"):
            assert ray_engine._join()
        assert signal.getsignal(signal.SIGTERM) == handler


def test_what_the_cluster_has_not_is_an_error(cluster, config, photos, tmp_path):
    with pytest.raises(InputError, match="`ray_gpus` 1: Ray has 0 here"):
        extract(config(photos, tmp_path / "bank.h5", engine="ray", ray_gpus=1))


SIXTEEN, GPUS = {"CPU": 16.0}, {"CPU": 16.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("options", "cluster", "least", "most", "each_cores", "each_gpus"),
    [
        ({}, SIXTEEN, 16, 16, 1, 0),
        ({"ray_workers": "4"}, SIXTEEN, 4, 4, 4, 0),
        ({"ray_workers": "2-16"}, SIXTEEN, 2, 16, 1, 0),
        ({"ray_workers": "2-8", "ray_cpus": 4}, SIXTEEN, 2, 8, 4, 0),  # Ray adds workers while there are cores
        ({"ray_cpus": 3}, SIXTEEN, 5, 5, 3, 0),
        ({}, GPUS, 8, 8, 2, 1),
        ({"ray_cpus": 4}, GPUS, 4, 4, 4, 1),
        ({"ray_gpus": 0.5}, GPUS, 16, 16, 1, 0.5),
        ({}, {"CPU": 4.0, "GPU": 8.0}, 4, 4, 1, 1),
        ({"device": "cpu"}, GPUS, 16, 16, 1, 0),
    ],
)
def test_what_workers_take(config, photos, options, cluster, least, most, each_cores, each_gpus):
    settings = config(photos, engine="ray", **{"device": "auto"} | options)
    found = ray_engine._resources(settings, cluster)
    assert found == (least, most, {"num_cpus": each_cores, "num_gpus": each_gpus})


@pytest.mark.parametrize(
    ("options", "cluster", "fault"),
    [
        ({"ray_workers": "8", "ray_cpus": 4}, SIXTEEN, "`ray_workers` 8: 8 workers take 32 CPU, 4 each; Ray has 16"),
        ({"ray_workers": "17-20"}, SIXTEEN, "`ray_workers` 17-20: 17 workers take 17 CPU, 1 each; Ray has 16 here"),
        ({"ray_workers": "5", "ray_gpus": 2}, GPUS, "`ray_workers` 5: 5 workers take 10 GPU, 2 each; Ray has 8 here"),
        ({"ray_cpus": 17}, SIXTEEN, "`ray_cpus` 17: Ray has 16 here"),
    ],
)
def test_workers_that_do_not_fit_into_the_cluster_are_refused(config, photos, options, cluster, fault):
    settings = config(photos, engine="ray", device="auto", **options)
    with pytest.raises(InputError) as caught:
        ray_engine._resources(settings, cluster)
    assert fault in str(caught.value)


def test_the_settings_of_the_caller_are_given_back(config, photos, fake_ray, monkeypatch):
    context = SimpleNamespace(enable_progress_bars=True, execution_options=SimpleNamespace(preserve_order=False))
    seen, ended = [], []

    def stop(*_, **__):
        seen.append((context.enable_progress_bars, context.execution_options.preserve_order))
        raise KeyboardInterrupt

    data = {"DataContext": SimpleNamespace(get_current=lambda: context), "ActorPoolStrategy": None, "from_items": stop}
    monkeypatch.setitem(sys.modules, "ray.data", SimpleNamespace(**data))
    fake_ray.cluster_resources, fake_ray.shutdown = lambda: SIXTEEN, lambda: ended.append(True)
    with pytest.raises(KeyboardInterrupt):
        list(ray_engine._passes(config(photos, engine="ray"), None, None, [range(4)], True))
    assert seen == [(False, True)] and ended == [True]
    assert context.enable_progress_bars and not context.execution_options.preserve_order


def test_a_machine_with_other_images_is_an_error(config, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "quiet", False)  # a worker silences its process, which is this one here
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    rows = {"first": np.array([0]), "last": np.array([4])}
    (found,) = _Worker(config(photos, tmp_path / "bank.h5"), "0" * 64, {})(rows)["sums"]
    assert "it has other images" in str(pickle.loads(found))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"ray_workers": "4"}, "`ray_workers` 4: is for `engine` ray"),
        ({"ray_gpus": 1}, "`ray_gpus` 1: is for `engine` ray"),
        ({"engine": "ray", "ray_workers": "4-2"}, "`ray_workers` 4-2: expected a number"),
        ({"engine": "ray", "ray_workers": "many"}, "`ray_workers` many: expected a number"),
        ({"engine": "ray", "ray_gpus": 1.5}, "`ray_gpus` 1.5: expected a part of one GPU, or a whole number of them"),
        ({"engine": "ray", "ray_cpus": 0}, "`ray_cpus` 0: expected above 0"),
        ({"engine": "spark"}, "`engine` spark: expected one of local, ray"),
    ],
)
def test_options_that_do_not_fit_are_refused(config, photos, tmp_path, options, fault):
    with pytest.raises(InputError, match=fault):
        config(photos, tmp_path / "bank.h5", **options)


def test_ray_is_not_started_beside_torchrun_or_without_ray(config, photos, tmp_path, monkeypatch):
    settings = config(photos, tmp_path / "bank.h5", engine="ray")
    with monkeypatch.context() as patch:
        patch.setattr("features.extraction.ray_engine.find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"Ray is not installed: pip install 'transfer-toolkit\[ray\]'"):
            extract(settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="Ray starts its own workers; start the command without torchrun"):
        extract(settings)
