"""Samplers in a loader, and deferred re-sampling: when it changes, and when it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from features.infrastructure.errors import InputError
from finetune.samplers import ClassSampler, ShuffleSampler, build_sampler


@pytest.mark.parametrize(("deferred", "epochs", "switch"), [(0.8, 10, 8), (0.5, 3, 2), (0.07, 100, 7), (0.55, 20, 11)])
def test_a_deferred_sampler_changes_at_an_epoch(deferred, epochs, switch, labels, drawn):
    sampler = build_sampler("class", labels, epochs=epochs, deferred=deferred, seed=2)
    later = ClassSampler(labels, q=0, seed=2)
    for epoch in range(epochs):
        found = drawn(sampler, epoch)
        if epoch < switch:
            assert sorted(found) == list(range(len(labels)))
        else:
            np.testing.assert_array_equal(found, drawn(later, epoch))


@pytest.mark.parametrize(("deferred", "epochs"), [(0.8, 1), (0.8, 3), (0.8, 4)])
def test_a_deferred_sampler_that_never_comes_is_refused(deferred, epochs, labels):
    with pytest.raises(InputError, match=f"`deferred` 0.8: leaves `sampler` class none of {epochs} epochs"):
        build_sampler("class", labels, epochs=epochs, deferred=deferred)
    with pytest.raises(ValueError, match="`deferred` must be in"):
        build_sampler("class", labels, epochs=9, deferred=1.5)


@pytest.mark.parametrize("name", ["instance", "q=2"])
def test_a_sampler_that_balances_nothing_has_nothing_to_put_off(name, labels, drawn):
    for epochs in (3, 20):  # of three epochs, none would be left after 0.8 of them
        found = build_sampler(name, labels, epochs=epochs, deferred=0.8, seed=2)
        np.testing.assert_array_equal(drawn(found, 0), drawn(build_sampler(name, labels, seed=2), 0))


def test_every_pass_of_a_data_loader_draws_the_next_epoch():
    sampler = ShuffleSampler(20, seed=3)
    loader = DataLoader(range(20), batch_size=6, sampler=sampler)
    passes = [torch.cat(list(loader)).tolist() for _ in range(3)]
    assert sampler.epoch == 3
    for epoch, found in enumerate(passes):
        sampler.set_epoch(epoch)
        assert found == sampler.positions().tolist() == torch.cat(list(loader)).tolist()  # and it can be chosen
    assert passes[0] != passes[1]
