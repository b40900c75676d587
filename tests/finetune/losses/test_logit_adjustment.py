"""Logit adjustment and balanced softmax: the prior, uniform priors, and τ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from finetune.losses import BalancedSoftmaxLoss, LogitAdjustedLoss, build_loss, log_prior

COUNTS = np.array([500, 120, 31, 7, 1])


def test_uniform_priors_and_tau_zero_leave_cross_entropy(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    plain = F.cross_entropy(z, y)
    for loss in (LogitAdjustedLoss([9] * 5, tau=1.7), LogitAdjustedLoss(COUNTS, tau=0), BalancedSoftmaxLoss([3] * 5)):
        torch.testing.assert_close(loss(z, y), plain, rtol=1e-6, atol=0)


def test_balanced_softmax_is_logit_adjustment_at_tau_one(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    torch.testing.assert_close(BalancedSoftmaxLoss(COUNTS)(z, y), LogitAdjustedLoss(COUNTS, 1.0)(z, y))


def test_the_log_prior_removed_from_the_logits_prefers_no_class():
    prior = COUNTS / COUNTS.sum()
    np.testing.assert_allclose(np.exp(log_prior(COUNTS)), prior, rtol=1e-12)
    # the logits of a model that knows only the prior (Menon et al., post-hoc adjustment)
    flat = torch.from_numpy(np.log(prior) - log_prior(COUNTS)).softmax(0)
    torch.testing.assert_close(flat, torch.full((5,), 0.2, dtype=torch.float64))


@pytest.mark.parametrize("tau", [-1, math.inf, math.nan])
def test_tau_out_of_its_range_is_refused(tau):
    with pytest.raises(InputError, match=f"^`tau` {tau}: expected at least 0"):
        build_loss("logit-adjusted", COUNTS, tau=tau)
