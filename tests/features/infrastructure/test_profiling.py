"""The profile of a command: its table, what it names as the bound, its trace, and when it is written."""

from __future__ import annotations

import errno
import json
import os

import pytest
import torch

from features.infrastructure import profiling
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import read_provenance, read_rows
from features.infrastructure.interruptions import Interrupted
from features.infrastructure.profiling import BOUNDS, COLUMNS, bound_of, check_profile, profiled, table_rows, verdict
from features.infrastructure.stage_clock import (
    BACKWARD,
    DECODE,
    FORWARD,
    START,
    TRACE,
    UNPROFILED,
    VALIDATION,
    WAIT,
    Measured,
    Work,
)


@pytest.fixture
def paths(tmp_path):
    """The output, the table and the trace."""
    return tmp_path / "out", tmp_path / "profile.csv", tmp_path / "trace.json"


def went_through(stages, batches):
    for _ in range(batches):
        with stages.stage(FORWARD):
            pass
        stages.step(3)


def names_in(trace):
    return [event["name"] for event in json.loads(trace.read_text())["traceEvents"]]


# What bounds the time


@pytest.mark.parametrize(("bound", "stage"), [(bound, stage) for bound, stages in BOUNDS.items() for stage in stages])
def test_the_stage_that_took_the_time_is_the_bound(bound, stage):
    seconds = dict.fromkeys((name for names in BOUNDS.values() for name in names), 0.01) | {stage: 8.0}
    found = Measured(200.0, 10, seconds | {START: 150.0, TRACE: 40.0})  # which do not count
    assert bound_of(found)[0] == bound
    assert verdict(found, "cpu").startswith(f"{bound_of(found)[1]:.0%} of the time after the start was ")


def test_time_in_no_stage_may_be_the_largest_too():
    found = Measured(10.0, 5, {WAIT: 1.0})
    assert bound_of(found) == ("other", 0.9) and "profile a longer run" in verdict(found, "cpu")


@pytest.mark.parametrize(("decode", "forward", "bound"), [(9.0, 3.0, "images"), (3.0, 9.0, "network")])
def test_waiting_for_workers_that_run_the_network_too_is_divided_as_their_work(decode, forward, bound):
    work = {DECODE: Work(decode, decode, 5), FORWARD: Work(forward, forward, 5)}
    assert bound_of(Measured(10.0, 5, {WAIT: 10.0}, work, 2)) == (bound, 0.75)


@pytest.mark.parametrize(
    ("workers", "computing", "said"),
    [
        (2, 9.0, "so the CPU is the bound; try `workers` 4, or images stored smaller"),
        (4, 9.0, "so the CPU is the bound; there is a worker for each core already; try images stored smaller"),
        (
            4,
            1.0,
            "only 10% of its time, so the disk or the store is the bound; try `workers` 8, or a copy",
        ),
        (0, 1.0, "so the disk or the store is the bound; try `workers` 2, or a copy of the images on a faster disk"),
    ],
)
def test_a_loader_waits_for_the_cpu_or_for_the_disk(monkeypatch, workers, computing, said):
    monkeypatch.setattr(profiling, "one_per_core", lambda: 4)
    found = Measured(10.0, 5, {WAIT: 9.0}, {DECODE: Work(10.0, computing, 5)}, workers)
    assert said in verdict(found, "cuda")


@pytest.mark.parametrize(
    ("device", "seconds", "workers", "said"),
    [
        ("cuda", {FORWARD: 9.0}, 4, "the network's forward pass: the GPU is the bound; try a larger `batch_size`"),
        ("cuda", {FORWARD: 4.0, BACKWARD: 5.0}, 4, "forward and backward pass: the GPU is the bound; "),
        ("cpu", {FORWARD: 9.0}, 2, "the CPU is the bound; try `workers` 4, a GPU"),
        ("cpu", {FORWARD: 9.0}, 4, "the CPU is the bound; try a GPU (`device`)"),
        ("mps", {FORWARD: 9.0}, 4, "the device (mps) is the bound"),
    ],
)
def test_a_network_is_bound_by_its_device(monkeypatch, device, seconds, workers, said):
    monkeypatch.setattr(profiling, "one_per_core", lambda: 4)
    assert said in verdict(Measured(10.0, 5, seconds, {}, workers), device)


def test_a_gpu_is_waited_for_at_each_end_of_a_stage(monkeypatch, tmp_path):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    profile = profiling.Profile(torch.device("cuda", 1), tmp_path / "trace.json")
    with profile.stage(FORWARD):
        assert waited == [torch.device("cuda", 1)]
    assert len(waited) == 2
    profile.end_trace(write=False)


def test_processes_of_a_job_are_told_of_their_own_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    found = Measured(10.0, 5, {WAIT: 9.0}, {DECODE: Work(10.0, 9.0, 5)}, 2)
    assert "try `workers` 8, or" in verdict(found, "cuda")


# The table


def test_the_stages_of_the_process_add_up_to_its_time():
    work = {DECODE: Work(12.0, 6.0, 30)}
    rows = table_rows(Measured(10.0, 30, {START: 1.0, WAIT: 5.0, FORWARD: 3.0}, work, 4))
    assert rows == [
        ("start", "main", 1.0, 0.1, None),
        ("wait for images", "main", 5.0, 0.5, 6.0),
        ("forward", "main", 3.0, 0.3, 10.0),
        ("other", "main", 1.0, 0.1, None),
        ("all", "main", 10.0, 1.0, 3.0),
        ("decode", "4 workers", 12.0, 0.3, 10.0),
    ]


def test_the_table_and_the_trace_are_written_and_shown(paths, capfd):
    out, table, trace = paths
    with profiled(True, "cpu", *paths) as stages:
        went_through(stages, 9)
    rows = [row for _, row in read_rows(table, COLUMNS, kind="profile")]
    assert [row["stage"] for row in rows] == ["forward", "the profile itself", "other", "all"]
    seconds = [float(row["seconds"]) for row in rows]
    assert sum(seconds[:-1]) == pytest.approx(seconds[-1], abs=1e-5)
    provenance = read_provenance(table, kind="profile")
    assert provenance["images"] == 27 and "of the time after the start was" in provenance["verdict"]
    said = capfd.readouterr().err
    assert "forward             main" in said and f"{out}: {provenance['verdict']}" in said
    assert f"{trace}; open it at https://ui.perfetto.dev" in said
    assert names_in(trace).count("forward") == 5  # of nine


def test_nothing_is_measured_unless_it_is_asked_for_and_only_in_the_first_process(paths, monkeypatch):
    with profiled(False, "cpu", *paths) as stages:
        assert stages is UNPROFILED
    monkeypatch.setenv("RANK", "1")
    with profiled(True, "cpu", *paths) as stages:
        assert stages is UNPROFILED


@pytest.mark.parametrize(("batches", "left"), [(0, []), (2, ["profile.csv"]), (3, ["profile.csv", "trace.json"])])
def test_a_short_loop_has_no_trace_and_none_has_no_table(paths, tmp_path, batches, left):
    with profiled(True, "cpu", *paths) as stages:
        went_through(stages, batches)
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def judged_after(stages, *batches):
    """Go through so many batches before each of some validations."""
    for number in batches:
        went_through(stages, number)
        with stages.stage(VALIDATION), stages.stage(WAIT):
            pass


def test_a_validation_ends_the_trace(paths):
    with profiled(True, "cpu", *paths) as stages:
        judged_after(stages, 5)
        went_through(stages, 9)
    names = names_in(paths[2])
    assert names.count(FORWARD) == 3 and VALIDATION not in names


@pytest.mark.parametrize("batches", [(1, 1), (2,), (1, 1, 3), (2, 4)])
def test_a_validation_before_the_trace_leaves_it_to_the_batches_after_it(paths, capfd, batches):
    with profiled(True, "cpu", *paths) as stages:
        judged_after(stages, *batches)
    traced = sum(batches) - 2
    assert paths[2].exists() == (traced > 0)
    assert ("no trace, which begins after 2 batches" in capfd.readouterr().err) == (traced == 0)
    if traced:
        names = names_in(paths[2])
        assert names.count(FORWARD) == traced and not {VALIDATION, WAIT} & set(names)


def test_the_trace_of_an_earlier_run_does_not_stay_beside_the_table_of_this_one(paths, tmp_path):
    for batches, left in ((9, ["profile.csv", "trace.json"]), (0, ["profile.csv", "trace.json"]), (2, ["profile.csv"])):
        with profiled(True, "cpu", *paths) as stages:
            went_through(stages, batches)
        assert sorted(path.name for path in tmp_path.iterdir()) == left


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("function", "error", "lost", "reason"),
    [
        ("write_table", FULL, "profile.csv", "No space left on device"),
        ("write_table", InputError("s3://a/b: refused"), "profile.csv", "s3://a/b: refused"),
        ("atomic_file", FULL, "trace.json", "No space left on device"),
        ("tracing.profile.export_chrome_trace", None, "trace.json", "PyTorch could not write the file"),  # or raise
    ],
)
def test_a_full_disk_costs_the_profile_and_not_the_result(
    paths, tmp_path, capfd, monkeypatch, function, error, lost, reason
):
    def full(*_):
        if error is not None:
            raise error

    monkeypatch.setattr(f"features.infrastructure.profiling.{function}", full)
    with profiled(True, "cpu", *paths) as stages:
        went_through(stages, 9)
    said = capfd.readouterr().err
    assert f"{tmp_path / lost}: cannot be written ({reason}" in said and said.count("complete without it") == 1
    assert "of the time after the start was" in said and "no trace" not in said
    assert [path.name for path in tmp_path.iterdir()] == [{"profile.csv": "trace.json"}.get(lost, "profile.csv")]


def test_a_device_that_fails_does_not_hide_its_own_error(paths, monkeypatch):
    """As after an assertion on a GPU, after which every call raises again, that of PyTorch's profiler too."""

    def failed(*_):
        raise RuntimeError("device-side assert triggered")

    with pytest.raises(KeyError, match="the first"), profiled(True, "cpu", *paths) as stages:
        went_through(stages, 4)
        with stages.stage(FORWARD):
            monkeypatch.setattr(stages, "_synchronize", failed)
            monkeypatch.setattr(stages._tracer, "stop", failed)
            raise KeyError("the first")
    assert not paths[1].exists() and not paths[2].exists()


@pytest.mark.parametrize(("error", "left"), [(Interrupted, ["profile.csv", "trace.json"]), (OSError, [])])
def test_an_interrupted_command_is_profiled_and_one_that_fails_is_not(paths, tmp_path, error, left):
    with pytest.raises(error), profiled(True, "cpu", *paths) as stages:
        went_through(stages, 4)
        raise error
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_the_next_profile_takes_the_place_of_the_last_one_and_of_no_other_file(paths, tmp_path):
    _, table, trace = paths
    check_profile(table, trace, overwrite=False)
    with profiled(True, "cpu", *paths) as stages:
        went_through(stages, 4)
    check_profile(table, trace, overwrite=False)
    for content in (b"name,price\n", b"\0\1"):
        table.write_bytes(content)
        with pytest.raises(InputError, match=r"`profile` .*profile.csv: is there already"):
            check_profile(table, trace, overwrite=False)
        check_profile(table, trace, overwrite=True)
    os.remove(table)
    with pytest.raises(InputError, match=r"the trace of `profile` .*trace.json: is there already"):
        check_profile(table, trace, overwrite=False)
