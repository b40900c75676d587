"""Losses against formulas written anew in NumPy, their gradients, their laws, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from finetune.losses import (
    LOSSES,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    adjust_logits,
    build_loss,
    class_balanced_weights,
    focal_loss,
    ldam_loss,
    ldam_margins,
    log_prior,
    prior_bias,
    sigmoid_loss,
    softmax_loss,
)

COUNTS = np.array([500, 120, 31, 7, 1])
SOFT = ("softmax", "sigmoid", "cb-softmax", "cb-sigmoid", "balanced-softmax", "logit-adjusted")
HARD = tuple(name for name in LOSSES if name not in SOFT)

torch.set_num_threads(1)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (8, 5) of moderate size, class indices (8,), and class proportions (8, 5)."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (8, 5)), rng.integers(0, 5, 8), rng.dirichlet(np.ones(5), 8)


# The oracle: sample by sample, class by class, from the papers, with plain exponentials.


def oracle(name: str, z: np.ndarray, y: np.ndarray, beta: float, gamma: float, tau: float, normalization: str) -> float:
    n = COUNTS.astype(float)
    weights = np.ones(5)
    if name.startswith("cb-"):
        inverse = [(1 - beta) / (1 - beta**k) for k in n]
        weights = np.array(inverse) * 5 / sum(inverse)
    total, total_weight = 0.0, 0.0
    for row, label in zip(z, y, strict=True):
        total_weight += weights[label]
        if name.endswith("softmax") or name in ("ldam", "ldam-drw", "logit-adjusted"):
            row = row.copy()
            if name == "balanced-softmax":
                row += np.log(n)
            elif name == "logit-adjusted":
                row += tau * np.log(n / n.sum())
            elif name.startswith("ldam"):
                margins = 1 / n**0.25
                row[label] -= margins[label] * 0.5 / margins.max()
                row *= 30
            total += weights[label] * -np.log(np.exp(row[label]) / np.exp(row).sum())
            continue
        for c, value in enumerate(row):
            hot = float(c == label)
            p = 1 / (1 + np.exp(-value))
            cross_entropy = -(hot * np.log(p) + (1 - hot) * np.log(1 - p))
            modulator = np.exp(-gamma * hot * value - gamma * np.log(1 + np.exp(-value)))
            total += weights[label] * cross_entropy * (modulator if name.endswith("focal") else 1)
    return total / (total_weight if normalization == "pytorch" else len(y))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("normalization", ["paper", "pytorch"])
def test_each_loss_is_the_papers_formula(name, normalization, batch):
    z, y, _ = batch
    z = np.tanh(z) if name.startswith("ldam") else z
    loss = build_loss(name, COUNTS, beta=0.99, gamma=1.5, tau=0.7, normalization=normalization)
    found = loss(torch.from_numpy(z), torch.from_numpy(y)).item()
    # class weights are kept in float32: 6e-8 of each
    assert found == pytest.approx(oracle(name, z, y, 0.99, 1.5, 0.7, normalization), rel=1e-6)


def test_pure_functions_agree_in_float64(batch):
    z, y, _ = batch
    weights = class_balanced_weights(COUNTS, 0.99)
    args = torch.from_numpy(z), torch.from_numpy(y), torch.from_numpy(weights)
    for name, value in (
        ("cb-softmax", softmax_loss(*args)),
        ("cb-sigmoid", sigmoid_loss(*args)),
        ("cb-focal", focal_loss(*args, gamma=2.0)),
    ):
        assert value.item() == pytest.approx(oracle(name, z, y, 0.99, 2.0, 1.0, "paper"), rel=1e-12)
    cosines = np.tanh(z)
    value = ldam_loss(torch.from_numpy(cosines), args[1], torch.from_numpy(ldam_margins(COUNTS)))
    assert value.item() == pytest.approx(oracle("ldam", cosines, y, 0, 0, 0, "paper"), rel=1e-12)


def test_pytorch_normalization_is_pytorchs_weighted_mean(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    weights = torch.from_numpy(class_balanced_weights(COUNTS, 0.99))
    expected = F.cross_entropy(z, y, weight=weights)
    torch.testing.assert_close(softmax_loss(z, y, weights, "pytorch"), expected, rtol=1e-12, atol=0)
    assert softmax_loss(z, y, weights, "paper").item() != pytest.approx(expected.item(), rel=1e-3)


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


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences(name, batch):
    z, y, soft = batch
    loss = build_loss(name, COUNTS, beta=0.99, gamma=0.5)
    logits = torch.from_numpy(np.tanh(z) / 10 if name.startswith("ldam") else z).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: loss(rows, torch.from_numpy(y)), (logits,))
    if loss.soft_labels:
        assert torch.autograd.gradcheck(lambda rows: loss(rows, torch.from_numpy(soft)), (logits,))


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


def test_uniform_priors_and_tau_zero_leave_cross_entropy(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    plain = F.cross_entropy(z, y)
    for loss in (LogitAdjustedLoss([9] * 5, tau=1.7), LogitAdjustedLoss(COUNTS, tau=0), BalancedSoftmaxLoss([3] * 5)):
        torch.testing.assert_close(loss(z, y), plain, rtol=1e-6, atol=0)
    torch.testing.assert_close(adjust_logits(z, COUNTS, 0.0), z, rtol=0, atol=0)


def test_balanced_softmax_is_logit_adjustment_at_tau_one(batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    torch.testing.assert_close(BalancedSoftmaxLoss(COUNTS)(z, y), LogitAdjustedLoss(COUNTS, 1.0)(z, y))


def test_post_hoc_adjustment_inverts_the_prior():
    # a model that knows only the prior must, once adjusted, prefer no class
    prior = COUNTS / COUNTS.sum()
    flat = adjust_logits(torch.log(torch.from_numpy(prior))[None], COUNTS)
    torch.testing.assert_close(flat.softmax(1), torch.full((1, 5), 0.2, dtype=torch.float64))
    np.testing.assert_allclose(np.exp(log_prior(COUNTS)), prior, rtol=1e-12)


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("normalization", ["paper", "pytorch"])
def test_one_hot_proportions_are_class_indices(name, normalization, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS, normalization=normalization)
    torch.testing.assert_close(loss(z, F.one_hot(y, 5).double()), loss(z, y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["cb-softmax", "balanced-softmax", "logit-adjusted", "softmax", "sigmoid"])
def test_mixed_labels_mix_the_losses(name, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    loss, other = build_loss(name, COUNTS), (y + 2) % 5
    mixed = 0.3 * F.one_hot(y, 5) + 0.7 * F.one_hot(other, 5)
    torch.testing.assert_close(loss(z, mixed.double()), 0.3 * loss(z, y) + 0.7 * loss(z, other), rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", HARD)
def test_losses_without_soft_labels_refuse_them_by_name(name, batch):
    z, _, soft = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS)
    assert not loss.soft_labels
    with pytest.raises(ValueError, match=type(loss).__name__ + ".*soft labels"):
        loss(z, soft)


def test_what_the_engine_reads():
    needs = {name: build_loss(name, COUNTS) for name in LOSSES}
    assert {name for name in LOSSES if needs[name].sigmoid} == {"sigmoid", "focal", "cb-sigmoid", "cb-focal"}
    assert {name for name in LOSSES if needs[name].cosine_classifier} == {"ldam", "ldam-drw"}
    assert {name: needs[name].deferred for name in LOSSES if needs[name].deferred is not None} == {"ldam-drw": 0.8}
    assert not any(needs[name].state_dict() for name in LOSSES)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(name, dtype, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    logits = z.to(dtype)
    loss = build_loss(name, COUNTS)
    value = loss(logits, y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.float(), y), rtol=0, atol=0)


@pytest.mark.parametrize("normalization", ["paper", "pytorch"])
@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name].soft_labels])
def test_under_autocast_mixed_labels_are_weighed_in_float32(name, normalization, batch):
    z, _, soft = (torch.from_numpy(part) for part in batch)
    logits, target = z.bfloat16(), soft.float()
    loss = build_loss(name, COUNTS, normalization=normalization)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, target)
    torch.testing.assert_close(value, loss(logits.float(), target), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith("ldam")])
def test_extreme_logits_stay_finite(name):
    z = torch.tensor([[6e4, -6e4, 0, 1, 2], [-6e4, 6e4, 0, 1, 2]], dtype=torch.float16, requires_grad=True)
    value = build_loss(name, COUNTS, gamma=0.5)(z, torch.tensor([1, 1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


def test_the_prior_bias_gives_each_class_an_equal_chance():
    assert 1 / (1 + math.exp(-prior_bias(200))) == pytest.approx(1 / 200)
    assert prior_bias(2) == 0
    with pytest.raises(ValueError, match="n_classes"):
        prior_bias(1)


def test_margins_follow_the_fourth_root():
    margins = ldam_margins(COUNTS)
    assert margins.max() == margins[-1] == 0.5
    np.testing.assert_allclose(margins * COUNTS**0.25, 0.5, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_bad_batches_are_refused(name, batch):
    z, y, soft = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS)
    for wrong in (y - 5, y + 5, torch.full_like(y, -100)):
        with pytest.raises(ValueError, match="target must be in 0 … 4"):
            loss(z, wrong)
    with pytest.raises(ValueError, match=r"logits must have shape \(B, 5\)"):
        loss(z[:, :4], y.clamp(max=3))
    with pytest.raises(ValueError, match=r"target must have shape \(8,\)"):
        loss(z, y[:7])
    if loss.soft_labels:
        with pytest.raises(ValueError, match="soft labels must have"):
            loss(z, soft[:, :4])


_ROWS = (torch.zeros(2, 3), torch.tensor([0, 2]))
_SOFT = (torch.zeros(2, 3), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ldam_loss(*_SOFT, torch.ones(3)), "ldam loss needs one class a sample"),
        (lambda: ldam_loss(_ROWS[0], torch.tensor([0, 3]), torch.ones(3)), "target must be in 0 … 2"),
        (lambda: ldam_loss(*_ROWS, torch.ones(4)), r"margins must have shape \(3,\)"),
        (lambda: ldam_loss(*_ROWS, torch.ones(3), weight=torch.ones(2)), r"weight must have shape \(3,\)"),
        (lambda: softmax_loss(*_ROWS, torch.ones(7)), r"weight must have shape \(3,\)"),
        (lambda: softmax_loss(*_SOFT, torch.ones(1)), r"weight must have shape \(3,\)"),
        (lambda: softmax_loss(*_ROWS, normalization="mean"), "normalization must be one of paper, pytorch"),
        (lambda: sigmoid_loss(*_ROWS, torch.ones(7)), r"weight must have shape \(3,\)"),
        (lambda: focal_loss(*_ROWS, gamma=-1), "gamma must be at least 0"),
        (lambda: focal_loss(*_SOFT), "focal loss needs one class a sample"),
        (lambda: softmax_loss(_ROWS[0], torch.full((2, 3), -5.0)), "soft labels must be at least 0 and sum to 1"),
        (lambda: sigmoid_loss(_ROWS[0], torch.full((2, 3), math.nan)), "soft labels must be at least 0 and sum to 1"),
        (lambda: softmax_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)), "at least one sample"),
        (lambda: LDAMLoss([3, 2], weight=[math.nan, 1]), "weight must be finite and not negative"),
        (lambda: build_loss("softmax", [-1, 2, 3]), "counts must be finite and not negative"),
        (lambda: build_loss("focal", [1, 2, 3], classes=["a"]), "classes must name the 3 classes"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("beta", ["bad", None, math.nan])
def test_a_beta_that_is_no_number_is_refused(beta):
    with pytest.raises(InputError, match="beta must be in"):
        build_loss("cb-softmax", [3, 2], beta=beta)


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


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_with_no_image_matters_only_where_counts_do(name):
    counts, classes = [5, 0, 3, 0], ["heron", "ibis", "jay", "kite"]
    if name in ("softmax", "sigmoid", "focal"):
        assert torch.isfinite(build_loss(name, counts, classes=classes)(torch.zeros(2, 4), torch.tensor([1, 3])))
        return
    with pytest.raises(InputError, match=r"class 'ibis'.*1 more of 4"):
        build_loss(name, counts, classes=classes)
    with pytest.raises(InputError, match="class number 1 "):
        build_loss(name, counts)


def test_numbers_out_of_range_are_refused():
    for beta in (-0.1, 1.0, 1.5, math.nan):
        with pytest.raises(InputError, match="beta"):
            build_loss("cb-softmax", COUNTS, beta=beta)
    with pytest.raises(InputError, match="gamma"):
        build_loss("focal", COUNTS, gamma=-1)
    with pytest.raises(InputError, match="tau"):
        build_loss("logit-adjusted", COUNTS, tau=-1)
    with pytest.raises(InputError, match="tau"):
        adjust_logits(torch.zeros(1, 5), COUNTS, math.inf)
    with pytest.raises(InputError, match="scale"):
        LDAMLoss(COUNTS, scale=0)
    with pytest.raises(InputError, match="deferred"):
        LDAMLoss(COUNTS, weight=np.ones(5), deferred=1.5)
    with pytest.raises(ValueError, match="weight must have shape"):
        LDAMLoss(COUNTS, weight=np.ones(4))
    with pytest.raises(ValueError, match="one column for each of the 5 counts"):
        adjust_logits(torch.zeros(1, 4), COUNTS)
    with pytest.raises(ValueError, match="kind"):
        ClassBalancedLoss(COUNTS, 0.9, "hinge")
    with pytest.raises(ValueError, match="normalization"):
        ClassBalancedLoss(COUNTS, 0.9, normalization="mean")


def test_an_unknown_name_lists_the_names():
    with pytest.raises(InputError, match=", ".join(LOSSES)):
        build_loss("dice", COUNTS)
