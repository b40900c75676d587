"""LDAM: margins, deferred weights, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from finetune.losses import LDAMLoss, build_loss, class_balanced_weights, ldam_loss, ldam_margins

COUNTS = np.array([500, 120, 31, 7, 1])


def test_the_pure_function_agrees_in_float64(batch, oracle):
    z, y, _ = batch
    cosines = np.tanh(z)
    value = ldam_loss(torch.from_numpy(cosines), torch.from_numpy(y), torch.from_numpy(ldam_margins(COUNTS)))
    assert value.item() == pytest.approx(oracle("ldam", COUNTS, cosines, y), rel=1e-12)


def test_margins_follow_the_fourth_root():
    margins = ldam_margins(COUNTS)
    assert margins.max() == margins[-1] == 0.5
    np.testing.assert_allclose(margins * COUNTS**0.25, 0.5, rtol=1e-12)


def test_deferred_weights_are_the_weighted_mean_of_ldam(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    weights = class_balanced_weights(COUNTS, 0.9999)
    loss = build_loss("ldam-drw", COUNTS)
    shifted = 30 * (z.tanh() - F.one_hot(y, 5) * torch.from_numpy(ldam_margins(COUNTS)))
    unweighted, weighted = F.cross_entropy(shifted, y), F.cross_entropy(shifted, y, weight=torch.from_numpy(weights))
    values = []
    for epoch in (0, 159, 160, 199, 0):
        loss.set_progress(epoch / 200)
        values.append(loss(z.tanh(), y).item())
    expected = [unweighted, unweighted, weighted, weighted, unweighted]
    assert values == pytest.approx([value.item() for value in expected], rel=1e-6)


_ROWS = (torch.zeros(2, 3), torch.tensor([0, 2]))
_SOFT = (torch.zeros(2, 3), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ldam_loss(*_SOFT, torch.ones(3)), "ldam loss needs one class a sample"),
        (lambda: ldam_loss(_ROWS[0], torch.tensor([0, 3]), torch.ones(3)), "`target` must be in 0 … 2"),
        (lambda: ldam_loss(*_ROWS, torch.ones(4)), r"`margins` must have shape \(3,\)"),
        (lambda: ldam_loss(*_ROWS, torch.ones(3), weight=torch.ones(2)), r"`weight` must have shape \(3,\)"),
        (lambda: LDAMLoss([3, 2], weight=[math.nan, 1]), "`weight` must be finite and not negative"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arguments_out_of_their_range_are_refused():
    with pytest.raises(InputError, match=r"^`margin` 0: expected a positive number"):
        build_loss("ldam", COUNTS, margin=0)
    with pytest.raises(InputError, match=r"^`scale` 0: expected a positive number"):
        LDAMLoss(COUNTS, scale=0)
    with pytest.raises(InputError, match=r"^`deferred` 1.5: expected a share of the training from 0 to 1"):
        LDAMLoss(COUNTS, weight=np.ones(5), deferred=1.5)
    with pytest.raises(ValueError, match="`weight` must have shape"):
        LDAMLoss(COUNTS, weight=np.ones(4))
