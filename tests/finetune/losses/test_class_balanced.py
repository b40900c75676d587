"""Softmax, sigmoid and focal loss: normalisation, limits, deferred weights, and bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from finetune.losses import (
    ClassBalancedLoss,
    build_loss,
    class_balanced_weights,
    focal_loss,
    prior_bias,
    sigmoid_loss,
    softmax_loss,
)

COUNTS = np.array([500, 120, 31, 7, 1])


def test_pure_functions_agree_in_float64(batch, oracle):
    z, y, _ = batch
    weights = class_balanced_weights(COUNTS, 0.99)
    args = torch.from_numpy(z), torch.from_numpy(y), torch.from_numpy(weights)
    for name, value in (
        ("cb-softmax", softmax_loss(*args)),
        ("cb-sigmoid", sigmoid_loss(*args)),
        ("cb-focal", focal_loss(*args, gamma=2.0)),
    ):
        assert value.item() == pytest.approx(oracle(name, COUNTS, z, y, beta=0.99, gamma=2.0), rel=1e-12)


def test_pytorch_normalization_is_pytorchs_weighted_mean(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    weights = torch.from_numpy(class_balanced_weights(COUNTS, 0.99))
    expected = F.cross_entropy(z, y, weight=weights)
    torch.testing.assert_close(softmax_loss(z, y, weights, "pytorch"), expected, rtol=1e-12, atol=0)
    assert softmax_loss(z, y, weights, "paper").item() != pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "focal"])
def test_beta_zero_and_equal_counts_are_the_plain_loss(kind, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    plain = build_loss(kind, COUNTS)(z, y)
    torch.testing.assert_close(ClassBalancedLoss(COUNTS, 0.0, kind)(z, y), plain, rtol=0, atol=0)
    torch.testing.assert_close(ClassBalancedLoss([40] * 5, 0.999, kind)(z, y), plain, rtol=1e-7, atol=0)
    torch_plain = {
        "softmax": F.cross_entropy(z, y),
        "sigmoid": F.binary_cross_entropy_with_logits(z, F.one_hot(y, 5).to(z), reduction="sum") / len(y),
    }
    if kind in torch_plain:
        torch.testing.assert_close(plain, torch_plain[kind], rtol=1e-12, atol=0)


def test_focal_without_gamma_is_sigmoid(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    torch.testing.assert_close(focal_loss(z, y, gamma=0.0), sigmoid_loss(z, y), rtol=1e-12, atol=0)
    assert focal_loss(z, y, gamma=1.0) < sigmoid_loss(z, y)


@pytest.mark.parametrize("name", ["cb-softmax", "cb-sigmoid", "cb-focal"])
def test_deferred_weights_are_the_plain_loss_first(name, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    late, always = build_loss(name, COUNTS, deferred=0.6), build_loss(name, COUNTS)
    for progress, expected in (
        (0.0, build_loss(name[3:], COUNTS)),
        (0.59, build_loss(name[3:], COUNTS)),
        (0.6, always),
    ):
        late.set_progress(progress)
        torch.testing.assert_close(late(z, y), expected(z, y))
    assert always.deferred is None


def test_the_prior_bias_gives_each_class_an_equal_chance():
    assert 1 / (1 + math.exp(-prior_bias(200))) == pytest.approx(1 / 200)
    assert prior_bias(2) == 0
    with pytest.raises(ValueError, match="n_classes"):
        prior_bias(1)


@pytest.mark.parametrize("name", ["cb-softmax", "balanced-softmax", "logit-adjusted", "softmax", "sigmoid"])
def test_mixed_labels_mix_the_losses(name, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    loss, other = build_loss(name, COUNTS), (y + 2) % 5
    mixed = 0.3 * F.one_hot(y, 5) + 0.7 * F.one_hot(other, 5)
    torch.testing.assert_close(loss(z, mixed.double()), 0.3 * loss(z, y) + 0.7 * loss(z, other), rtol=1e-7, atol=0)


_ROWS = (torch.zeros(2, 3), torch.tensor([0, 2]))
_SOFT = (torch.zeros(2, 3), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: softmax_loss(*_ROWS, torch.ones(7)), r"`weight` must have shape \(3,\)"),
        (lambda: softmax_loss(*_SOFT, torch.ones(1)), r"`weight` must have shape \(3,\)"),
        (lambda: softmax_loss(*_ROWS, normalization="mean"), "`normalization` must be one of paper, pytorch"),
        (lambda: sigmoid_loss(*_ROWS, torch.ones(7)), r"`weight` must have shape \(3,\)"),
        (lambda: focal_loss(*_ROWS, gamma=-1), "`gamma` must be at least 0"),
        (lambda: focal_loss(*_SOFT), "focal loss needs one class a sample"),
        (lambda: build_loss("softmax", [-1, 2, 3]), "`counts` must be finite and not negative"),
        (lambda: build_loss("focal", [1, 2, 3], classes=["a"]), "`classes` must name the 3 classes"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("beta", ["bad", None, -0.1, 1.0, 1.5, math.nan])
def test_a_beta_out_of_its_range_is_refused(beta):
    with pytest.raises(InputError, match=r"^`beta` .*: expected auto, or at least 0 and below 1"):
        build_loss("cb-softmax", COUNTS, beta=beta)


def test_other_arguments_out_of_their_range_are_refused():
    with pytest.raises(InputError, match=r"^`gamma` -1: expected at least 0"):
        build_loss("focal", COUNTS, gamma=-1)
    with pytest.raises(ValueError, match="`kind` must be one of softmax, sigmoid, focal"):
        ClassBalancedLoss(COUNTS, 0.9, "hinge")
    with pytest.raises(ValueError, match="`normalization` must be one of paper, pytorch"):
        ClassBalancedLoss(COUNTS, 0.9, normalization="mean")


def test_deferred_weights_that_nothing_switches_on_are_told_once():
    logits, target = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0])
    loss = build_loss("cb-softmax", [9, 3, 1], deferred=0.75)
    with pytest.warns(UserWarning, match=r"weights of ClassBalancedLoss wait for the last 25% of the training"):
        loss(logits, target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(logits, target)
        told = build_loss("cb-softmax", [9, 3, 1], deferred=0.75)
        told.set_progress(0.0)
        told(logits, target)
        build_loss("cb-softmax", [9, 3, 1])(logits, target)
