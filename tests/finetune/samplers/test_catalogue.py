"""All samplers through one contract: rows, options, ranks, resumption, draws, and bad input."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing

from features.infrastructure.errors import InputError
from finetune.samplers import (
    SAMPLERS,
    ClassSampler,
    build_sampler,
    class_probabilities,
    find_sampler,
    sampler_meanings,
)

NAMES = (*SAMPLERS, "q=0.25", "q=2")
#: Another value of every option that a row may name.
OTHER = {"epochs": 9, "beta": 0.9, "deferred": 0.5}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_found_by_its_name(name):
    row = find_sampler(name)
    assert row.name == name and row.meaning and "\n" not in row.meaning
    assert row.options <= set(OTHER)
    # putting off a sampler means something only if it re-balances the classes
    assert ("deferred" in row.options) == row.balanced


def test_meanings_name_the_powers_too():
    assert list(sampler_meanings()) == [*SAMPLERS, "q=Q"]
    assert set(SAMPLERS) == {"shuffle", "instance", "class", "sqrt", "progressive", "effective"}


@pytest.mark.parametrize("option", OTHER)
@pytest.mark.parametrize("name", NAMES)
def test_a_row_names_the_options_that_its_sampler_reads(name, option, labels, drawn):
    def draws(**given):
        sampler = build_sampler(name, labels, **{"epochs": 5, "seed": 1} | given)
        return [drawn(sampler, epoch).tolist() for epoch in range(5)]

    assert (draws(**{option: OTHER[option]}) != draws()) == (option in find_sampler(name).options)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_follow_the_same_counts_as_the_row_says(name, labels, counts):
    sampler = build_sampler(name, labels, epochs=5)
    if isinstance(sampler, ClassSampler):
        sampler.set_epoch(4)
        even = np.abs(sampler.probabilities()[counts > 0] - 1 / 4).max()
        assert (even < np.abs(counts[counts > 0] / counts.sum() - 1 / 4).max() - 1e-9) == find_sampler(name).balanced


@pytest.mark.parametrize(
    ("name", "q"), [("instance", 1.0), ("class", 0.0), ("sqrt", 0.5), ("q=-0.7", -0.7), ("q=1e-1", 0.1)]
)
def test_names_stand_for_powers(name, q, labels, drawn):
    np.testing.assert_array_equal(drawn(build_sampler(name, labels, seed=5)), drawn(ClassSampler(labels, q=q, seed=5)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("shuffle", False), ("instance", False), ("q=1", False), ("q=2", False), ("q=0.9", True), ("progressive", True)],
)
def test_which_samplers_balance(name, expected):
    assert find_sampler(name).balanced == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_all_ranks_together_draw_what_one_draws(name, world_size, labels, drawn):
    alone = drawn(build_sampler(name, labels, epochs=5, seed=4), epoch=2)
    ranks = [
        drawn(build_sampler(name, labels, epochs=5, seed=4, rank=rank, world_size=world_size), epoch=2)
        for rank in range(world_size)
    ]
    assert {len(part) for part in ranks} == {-(-len(labels) // world_size)}
    together = np.stack(ranks, axis=1).ravel()
    np.testing.assert_array_equal(together[: len(labels)], alone)
    np.testing.assert_array_equal(together[len(labels) :], alone[: len(together) - len(labels)])


def _draw_on_a_rank(rank: int, world_size: int, port: int, labels: np.ndarray, out: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    found = {}
    for name in NAMES:
        sampler = build_sampler(
            name,
            labels,
            epochs=5,
            seed=3,
            rank=torch.distributed.get_rank(),
            world_size=torch.distributed.get_world_size(),
        )
        sampler.set_epoch(2)
        mine = torch.tensor(list(sampler))
        parts = [torch.empty_like(mine) for _ in range(world_size)]
        torch.distributed.all_gather(parts, mine)
        found[name] = torch.stack(parts, dim=1).flatten()
    if rank == 0:
        torch.save(found, out)
    torch.distributed.destroy_process_group()


def test_two_gloo_processes_together_draw_what_one_draws(tmp_path, labels, drawn):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_draw_on_a_rank, args=(rank, 2, port, labels, tmp_path / "drawn.pt")) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = torch.load(tmp_path / "drawn.pt")
    for name in NAMES:
        alone = drawn(build_sampler(name, labels, epochs=5, seed=3), 2)
        np.testing.assert_array_equal(found[name].numpy()[: len(alone)], alone)


def test_more_ranks_than_images_still_give_each_a_share(drawn):
    parts = [drawn(build_sampler("shuffle", [0, 1], rank=rank, world_size=5)) for rank in range(5)]
    assert [len(part) for part in parts] == [1] * 5


@pytest.mark.parametrize("name", NAMES)
def test_resuming_goes_on_where_it_stopped(name, labels, drawn):
    sampler = build_sampler(name, labels, epochs=5, rank=1, world_size=2)
    whole = drawn(sampler, epoch=3)
    sampler.set_epoch(3, start=77)
    assert len(sampler) == len(whole) - 77
    np.testing.assert_array_equal(list(sampler), whole[77:])
    assert len(drawn(sampler, epoch=3, start=len(whole))) == 0
    assert len(drawn(sampler, epoch=4)) == len(whole)


@pytest.mark.parametrize("name", NAMES)
def test_seed_and_epoch_decide_and_nothing_else(name, labels, drawn):
    def make(seed=0):
        return build_sampler(name, labels, epochs=5, seed=seed)

    np.testing.assert_array_equal(drawn(make(), 1), drawn(make(), 1))
    assert (drawn(make(), 1) != drawn(make(), 2)).any()
    assert (drawn(make(seed=1), 1) != drawn(make(seed=2), 1)).any()
    # (seed, epoch) are not added: (1, 2) and (2, 1) differ
    assert (drawn(make(seed=1), 2) != drawn(make(seed=2), 1)).any()


def test_bad_input_is_refused(labels):
    with pytest.raises(InputError, match=", ".join(SAMPLERS)):
        build_sampler("weighted", labels)
    for name in ("q=", "q=x", "q=nan", "q=inf", "q", "0.5"):
        with pytest.raises(
            InputError,
            match=f"`sampler` {name}: there is no such sampler; expected one of .*; or a power such as q=0.25",
        ):
            build_sampler(name, labels)
    with pytest.raises(InputError, match="beta"):
        build_sampler("effective", labels, beta=1.0)
    for wrong in ([], [0, -1], [0.5, 1.0], [[0, 1]]):
        for name in ("shuffle", "class"):
            with pytest.raises(ValueError, match="`labels` must be integers from 0"):
                build_sampler(name, wrong)
    with pytest.raises(ValueError, match="`q` must be"):
        ClassSampler(labels, q=np.inf)
    with pytest.raises(ValueError, match="length"):
        ClassSampler(labels, length=0)
    with pytest.raises(ValueError, match="epochs"):
        build_sampler("progressive", labels, epochs=0)
    with pytest.raises(ValueError, match="rank"):
        build_sampler("class", labels, rank=2, world_size=2)
    with pytest.raises(ValueError, match="at least one image"):
        class_probabilities([0, 0], 1.0)
    sampler = build_sampler("class", labels, world_size=2)
    with pytest.raises(ValueError, match="epoch"):
        sampler.set_epoch(-1)
    with pytest.raises(ValueError, match=r"`start` must be in 0 … 210"):
        sampler.set_epoch(0, start=211)
