"""All samplers through one contract: rows, options, ranks, resumption, draws, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from features.infrastructure.errors import InputError
from finetune.samplers import (
    SAMPLERS,
    ClassSampler,
    ShuffleSampler,
    build_sampler,
    class_probabilities,
    find_sampler,
    sampler_meanings,
)
from finetune.training.batches import EpochBatches

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
    assert set(SAMPLERS) >= {"shuffle", "instance", "class", "sqrt", "progressive", "effective"}


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
def test_all_ranks_together_draw_what_one_draws(name, world_size, labels, monkeypatch):
    def batches():
        return list(EpochBatches(build_sampler(name, labels, epochs=5, seed=4, deferred=0.5), 24, steps=40))

    alone, ranks = batches(), []
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    for rank in range(world_size):
        monkeypatch.setenv("RANK", str(rank))
        ranks.append(batches())
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert {len(part) for part in parts} == {24 // world_size}
        np.testing.assert_array_equal(np.stack(parts, axis=1).ravel(), whole)


@pytest.mark.parametrize("name", NAMES)
def test_resuming_goes_on_where_it_stopped(name, labels):
    def batches(start):
        return list(EpochBatches(build_sampler(name, labels, epochs=5, deferred=0.5), 24, 60, start))

    whole = batches(0)
    for start in (1, 17, 35, 60):
        assert batches(start) == whole[start:]


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
    with pytest.raises(InputError, match=r"`beta` 1\.0"):
        build_sampler("effective", labels, beta=1.0)
    for wrong in ([], [0, -1], [0.5, 1.0], [[0, 1]]):
        for name in ("shuffle", "class"):
            with pytest.raises(ValueError, match="`labels` must be integers from 0"):
                build_sampler(name, wrong)
    with pytest.raises(ValueError, match="`q` must be"):
        ClassSampler(labels, q=np.inf)
    with pytest.raises(ValueError, match="`images` must be"):
        ShuffleSampler(0)
    with pytest.raises(ValueError, match="`epochs` must be"):
        build_sampler("progressive", labels, epochs=0)
    with pytest.raises(ValueError, match="at least one image"):
        class_probabilities([0, 0], 1.0)
    with pytest.raises(ValueError, match="`seed` must not be negative"):
        build_sampler("class", labels, seed=-1)
    with pytest.raises(ValueError, match="`epoch` must not be negative"):
        build_sampler("class", labels).set_epoch(-1)
