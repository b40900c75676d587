"""Samplers: frequencies by chi-square, ranks, resumption, size, bad input."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from scipy.stats import chisquare

from features.infrastructure.errors import InputError
from finetune.losses import class_balanced_weights
from finetune.samplers import (
    SAMPLERS,
    ClassSampler,
    build_sampler,
    class_probabilities,
    effective_probabilities,
    find_sampler,
    progressive_probabilities,
)

NAMES = (*SAMPLERS, "q=0.25")
COUNTS = np.array([300, 90, 0, 25, 4])  # class 2 has no image
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS))


def drawn(sampler, epoch: int = 0, start: int = 0) -> np.ndarray:
    sampler.set_epoch(epoch, start)
    return np.array(list(sampler))


@pytest.mark.parametrize("q", [1.0, 0.5, 0.0, -0.7])
def test_classes_and_images_come_as_often_as_promised(q):
    positions = drawn(ClassSampler(LABELS, q=q, length=200_000, seed=3))
    present = COUNTS > 0
    share = np.where(present, np.maximum(COUNTS, 1.0) ** q, 0)
    by_class = np.bincount(LABELS[positions], minlength=5)
    assert by_class[2] == 0
    expected = share / share.sum() * len(positions)
    # the seeds are fixed, so these do not fail now and then
    assert chisquare(by_class[present], expected[present]).pvalue > 1e-3
    by_image = np.bincount(positions, minlength=len(LABELS))
    assert chisquare(by_image, (expected / np.maximum(COUNTS, 1))[LABELS]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "q"), [("instance", 1.0), ("class", 0.0), ("sqrt", 0.5), ("q=-0.7", -0.7), ("q=1e-1", 0.1)]
)
def test_names_stand_for_powers(name, q):
    np.testing.assert_array_equal(drawn(build_sampler(name, LABELS, seed=5)), drawn(ClassSampler(LABELS, q=q, seed=5)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("shuffle", False), ("instance", False), ("q=1", False), ("q=2", False), ("q=0.9", True), ("progressive", True)],
)
def test_which_samplers_balance(name, expected):
    assert find_sampler(name).balanced == expected


@pytest.mark.parametrize(("deferred", "epochs", "switch"), [(0.8, 10, 8), (0.5, 3, 2), (0.07, 100, 7), (0.55, 20, 11)])
def test_a_deferred_sampler_changes_at_an_epoch(deferred, epochs, switch):
    sampler = build_sampler("class", LABELS, epochs=epochs, deferred=deferred, seed=2)
    later = ClassSampler(LABELS, q=0, seed=2)
    for epoch in range(epochs):
        found = drawn(sampler, epoch)
        if epoch < switch:
            assert sorted(found) == list(range(len(LABELS)))
        else:
            np.testing.assert_array_equal(found, drawn(later, epoch))


@pytest.mark.parametrize(("deferred", "epochs"), [(0.8, 1), (0.8, 3), (0.8, 4)])
def test_a_deferred_sampler_that_never_comes_is_refused(deferred, epochs):
    with pytest.raises(InputError, match=f"`deferred` 0.8: leaves `sampler` class none of {epochs} epochs"):
        build_sampler("class", LABELS, epochs=epochs, deferred=deferred)
    with pytest.raises(ValueError, match="`deferred` must be in"):
        build_sampler("class", LABELS, epochs=9, deferred=1.5)


@pytest.mark.parametrize("name", ["instance", "q=2"])
def test_a_sampler_that_balances_nothing_has_nothing_to_put_off(name):
    for epochs in (3, 20):  # of three epochs, none would be left after 0.8 of them
        found = build_sampler(name, LABELS, epochs=epochs, deferred=0.8, seed=2)
        np.testing.assert_array_equal(drawn(found, 0), drawn(build_sampler(name, LABELS, seed=2), 0))


@pytest.mark.parametrize("switch", [2, 3])
def test_deferred_draws_are_shared_out_and_gone_on_with_too(switch):
    def make(rank=0, world_size=1):
        return build_sampler("sqrt", LABELS, epochs=4, deferred=switch / 4, seed=6, rank=rank, world_size=world_size)

    alone = drawn(make(), epoch=2)
    both = np.stack([drawn(make(rank, 2), epoch=2) for rank in range(2)], axis=1).ravel()
    np.testing.assert_array_equal(both[: len(alone)], alone)
    np.testing.assert_array_equal(drawn(make(), epoch=2, start=50), alone[50:])


def test_the_chi_square_would_notice_a_wrong_q():
    by_class = np.bincount(LABELS[drawn(ClassSampler(LABELS, q=0.5, length=200_000))], minlength=5)[COUNTS > 0]
    wrong = COUNTS[COUNTS > 0] ** 0.52
    assert chisquare(by_class, wrong / wrong.sum() * by_class.sum()).pvalue < 1e-6


def test_progressive_moves_from_instance_to_class_balanced():
    sampler = build_sampler("progressive", LABELS, epochs=11, length=100_000)
    for epoch, t in ((0, 0.0), (4, 0.4), (10, 1.0), (25, 1.0)):
        expected = (1 - t) * COUNTS / COUNTS.sum() + t * (COUNTS > 0) / 4
        by_class = np.bincount(LABELS[drawn(sampler, epoch)], minlength=5)
        assert chisquare(by_class[COUNTS > 0], expected[COUNTS > 0] * 100_000).pvalue > 1e-3
        np.testing.assert_allclose(progressive_probabilities(COUNTS, t), expected, rtol=1e-12)


def test_effective_sampling_is_the_twin_of_the_class_balanced_loss():
    counts = COUNTS[COUNTS > 0]
    twin = counts * class_balanced_weights(counts, 0.99)
    np.testing.assert_allclose(effective_probabilities(COUNTS, 0.99)[COUNTS > 0], twin / twin.sum(), rtol=1e-12)
    np.testing.assert_allclose(effective_probabilities(COUNTS, 0.0), class_probabilities(COUNTS, 1), rtol=1e-12)
    limit = np.nextafter(1, 0)
    np.testing.assert_allclose(effective_probabilities(COUNTS, limit), class_probabilities(COUNTS, 0), rtol=1e-9)
    by_class = np.bincount(LABELS[drawn(build_sampler("effective", LABELS, beta=0.99, length=100_000))], minlength=5)
    assert chisquare(by_class[COUNTS > 0], twin / twin.sum() * 100_000).pvalue > 1e-3


def test_shuffle_takes_every_image_once_and_more_than_an_epoch_in_turns():
    positions = drawn(build_sampler("shuffle", LABELS))
    np.testing.assert_array_equal(np.sort(positions), np.arange(len(LABELS)))
    assert (positions != np.arange(len(LABELS))).mean() > 0.9
    longer = drawn(build_sampler("shuffle", LABELS, length=1000))
    assert set(np.bincount(longer)) == {2, 3}  # 1000 of 419 images
    assert len(set(drawn(build_sampler("shuffle", LABELS, length=100)))) == 100


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_all_ranks_together_draw_what_one_draws(name, world_size):
    alone = drawn(build_sampler(name, LABELS, epochs=5, seed=4), epoch=2)
    ranks = [
        drawn(build_sampler(name, LABELS, epochs=5, seed=4, rank=rank, world_size=world_size), epoch=2)
        for rank in range(world_size)
    ]
    assert {len(part) for part in ranks} == {-(-len(LABELS) // world_size)}
    together = np.stack(ranks, axis=1).ravel()
    np.testing.assert_array_equal(together[: len(LABELS)], alone)
    np.testing.assert_array_equal(together[len(LABELS) :], alone[: len(together) - len(LABELS)])


def _draw_on_a_rank(rank: int, world_size: int, port: int, out: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    found = {}
    for name in NAMES:
        sampler = build_sampler(
            name,
            LABELS,
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


def test_two_gloo_processes_together_draw_what_one_draws(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_draw_on_a_rank, args=(rank, 2, port, tmp_path / "drawn.pt")) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = torch.load(tmp_path / "drawn.pt")
    for name in NAMES:
        alone = drawn(build_sampler(name, LABELS, epochs=5, seed=3), 2)
        np.testing.assert_array_equal(found[name].numpy()[: len(alone)], alone)


def test_more_ranks_than_images_still_give_each_a_share():
    parts = [drawn(build_sampler("shuffle", [0, 1], rank=rank, world_size=5)) for rank in range(5)]
    assert [len(part) for part in parts] == [1] * 5


@pytest.mark.parametrize("name", NAMES)
def test_resuming_goes_on_where_it_stopped(name):
    sampler = build_sampler(name, LABELS, epochs=5, rank=1, world_size=2)
    whole = drawn(sampler, epoch=3)
    sampler.set_epoch(3, start=77)
    assert len(sampler) == len(whole) - 77
    np.testing.assert_array_equal(list(sampler), whole[77:])
    assert len(drawn(sampler, epoch=3, start=len(whole))) == 0
    assert len(drawn(sampler, epoch=4)) == len(whole)


@pytest.mark.parametrize("name", NAMES)
def test_seed_and_epoch_decide_and_nothing_else(name):
    def make(seed=0):
        return build_sampler(name, LABELS, epochs=5, seed=seed)

    np.testing.assert_array_equal(drawn(make(), 1), drawn(make(), 1))
    assert (drawn(make(), 1) != drawn(make(), 2)).any()
    assert (drawn(make(seed=1), 1) != drawn(make(seed=2), 1)).any()
    # (seed, epoch) are not added: (1, 2) and (2, 1) differ
    assert (drawn(make(seed=1), 2) != drawn(make(seed=2), 1)).any()


def test_more_images_than_a_float32_or_torch_multinomial_can_count():
    labels = np.zeros(2**24 + 5000, dtype=np.uint8)
    labels[-5000:] = 1
    positions = drawn(ClassSampler(labels, q=0.0, length=100_000))
    rare = positions[positions >= 2**24]
    assert abs(len(rare) / 100_000 - 0.5) < 0.01  # 6 standard deviations
    assert chisquare(np.bincount(rare - 2**24, minlength=5000)).pvalue > 1e-3


def test_extreme_powers_do_not_overflow():
    counts = [10**9, 10**3, 1]
    np.testing.assert_allclose(class_probabilities(counts, 300), [1, 0, 0])
    np.testing.assert_allclose(class_probabilities(counts, -300), [0, 0, 1])
    np.testing.assert_allclose(class_probabilities([90, 10, 0], 1e308), [1, 0, 0])
    np.testing.assert_allclose(class_probabilities([90, 10, 0], -1e308), [0, 1, 0])


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=", ".join(SAMPLERS)):
        build_sampler("weighted", LABELS)
    for name in ("q=", "q=x", "q=nan", "q=inf", "q", "0.5"):
        with pytest.raises(
            InputError,
            match=f"`sampler` {name}: there is no such sampler; expected one of .*, or a power such as q=0.25",
        ):
            build_sampler(name, LABELS)
    with pytest.raises(InputError, match="beta"):
        build_sampler("effective", LABELS, beta=1.0)
    for labels in ([], [0, -1], [0.5, 1.0], [[0, 1]]):
        for name in ("shuffle", "class"):
            with pytest.raises(ValueError, match="labels must be integers from 0"):
                build_sampler(name, labels)
    with pytest.raises(ValueError, match="q must be"):
        ClassSampler(LABELS, q=np.inf)
    with pytest.raises(ValueError, match="length"):
        ClassSampler(LABELS, length=0)
    with pytest.raises(ValueError, match="epochs"):
        build_sampler("progressive", LABELS, epochs=0)
    with pytest.raises(ValueError, match="rank"):
        build_sampler("class", LABELS, rank=2, world_size=2)
    with pytest.raises(ValueError, match="at least one image"):
        class_probabilities([0, 0], 1.0)
    sampler = build_sampler("class", LABELS, world_size=2)
    with pytest.raises(ValueError, match="epoch"):
        sampler.set_epoch(-1)
    with pytest.raises(ValueError, match=r"start must be in 0 … 210"):
        sampler.set_epoch(0, start=211)
