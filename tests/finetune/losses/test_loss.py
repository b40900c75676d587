"""All losses through one contract: formula, gradients, precision, options, and bad input."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.infrastructure.errors import InputError
from finetune.losses import LOSSES, LossOptions, build_loss, sigmoid_loss, softmax_loss

COUNTS = np.array([500, 120, 31, 7, 1])
BALANCED = {"cb-softmax", "cb-sigmoid", "cb-focal", "ldam-drw", "balanced-softmax", "logit-adjusted"}
#: The losses that the oracle knows; the contract below holds for every row.
PAPERS = BALANCED | {"softmax", "sigmoid", "focal", "ldam"}
SOFT = [name for name, row in LOSSES.items() if row.soft_labels]
HARD = [name for name, row in LOSSES.items() if not row.soft_labels]
#: Another value of every option.
OTHER = {
    "beta": 0.9,
    "gamma": 2.5,
    "tau": 0.3,
    "normalization": "pytorch",
    "margin": 0.2,
    "scale": 11.0,
    "deferred": 0.5,
}


def test_the_catalogue_holds_the_losses_of_the_papers() -> None:
    def named(fact: str) -> set[str]:
        return {name for name in PAPERS if getattr(LOSSES[name], fact)}

    assert named("balanced") == BALANCED
    assert named("soft_labels") == PAPERS - {"focal", "cb-focal", "ldam", "ldam-drw"}
    assert named("sigmoid") == {"sigmoid", "focal", "cb-sigmoid", "cb-focal"}
    assert named("cosine_classifier") == {"ldam", "ldam-drw"}


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_says_what_its_loss_is(name):
    row, loss = LOSSES.find(name), build_loss(name, COUNTS)
    assert row.name == name and LOSSES.meanings()[name] == row.meaning and "\n" not in row.meaning
    assert row.options <= {field.name for field in fields(LossOptions)}
    facts = ("sigmoid", "soft_labels", "cosine_classifier")
    assert [getattr(loss, fact) for fact in facts] == [getattr(row, fact) for fact in facts]
    assert loss.deferred == (0.8 if name == "ldam-drw" else None)
    assert not loss.state_dict()


def trace(name: str, batch: tuple[np.ndarray, ...], **options: object) -> list[float]:
    """The loss before and after the weights are switched on, and its scale."""
    z, y, _ = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS, **options)
    values = [loss.scale]
    for progress in (0.0, 0.6, 0.9):
        loss.set_progress(progress)
        values.append(loss(z.tanh(), y).item())
    return values


@pytest.mark.parametrize("option", OTHER)
@pytest.mark.parametrize("name", LOSSES)
def test_a_row_names_the_options_that_its_loss_reads(name, option, batch):
    changed = trace(name, batch, **{option: OTHER[option]}) != trace(name, batch)
    assert changed == (option in LOSSES[name].options)
    assert set(OTHER) == {field.name for field in fields(LossOptions)}


def test_what_is_not_known_is_refused():
    with pytest.raises(InputError, match=r"^`loss` cb-sofmax: there is no such loss; did you mean cb-softmax?"):
        build_loss("cb-sofmax", COUNTS)
    with pytest.raises(InputError, match=", ".join(LOSSES)):
        build_loss("dice", COUNTS)
    with pytest.raises(TypeError, match="alpha"):
        build_loss("focal", COUNTS, alpha=0.25)


@pytest.mark.parametrize("name", sorted(PAPERS))
@pytest.mark.parametrize("normalization", ["paper", "pytorch"])
def test_each_loss_is_the_papers_formula(name, normalization, batch, oracle):
    z, y, _ = batch
    z = np.tanh(z) if name.startswith("ldam") else z
    options = {"beta": 0.99, "gamma": 1.5, "tau": 0.7, "normalization": normalization}
    loss = build_loss(name, COUNTS, **options)
    found = loss(torch.from_numpy(z), torch.from_numpy(y)).item()
    # class weights are kept in float32: 6e-8 of each
    assert found == pytest.approx(oracle(name, COUNTS, z, y, **options), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences(name, batch):
    z, y, soft = batch
    loss = build_loss(name, COUNTS, beta=0.99, gamma=0.5)
    logits = torch.from_numpy(np.tanh(z) / 10 if name.startswith("ldam") else z).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: loss(rows, torch.from_numpy(y)), (logits,))
    if loss.soft_labels:
        assert torch.autograd.gradcheck(lambda rows: loss(rows, torch.from_numpy(soft)), (logits,))


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("normalization", ["paper", "pytorch"])
def test_one_hot_proportions_are_class_indices(name, normalization, batch):
    z, y, _ = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS, normalization=normalization)
    torch.testing.assert_close(loss(z, F.one_hot(y, 5).double()), loss(z, y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", HARD)
def test_losses_without_soft_labels_refuse_them_by_name(name, batch):
    z, _, soft = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS)
    assert not loss.soft_labels
    with pytest.raises(ValueError, match=type(loss).__name__ + ".*soft labels"):
        loss(z, soft)


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
@pytest.mark.parametrize("name", SOFT)
def test_under_autocast_mixed_labels_are_weighted_in_float32(name, normalization, batch):
    z, _, soft = (torch.from_numpy(part) for part in batch)
    logits, target = z.bfloat16(), soft.float()
    loss = build_loss(name, COUNTS, normalization=normalization)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, target)
    torch.testing.assert_close(value, loss(logits.float(), target), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [name for name in LOSSES if not LOSSES[name].cosine_classifier])
def test_extreme_logits_stay_finite(name):
    z = torch.tensor([[6e4, -6e4, 0, 1, 2], [-6e4, 6e4, 0, 1, 2]], dtype=torch.float16, requires_grad=True)
    value = build_loss(name, COUNTS, gamma=0.5)(z, torch.tensor([1, 1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_bad_batches_are_refused(name, batch):
    z, y, soft = (torch.from_numpy(part) for part in batch)
    loss = build_loss(name, COUNTS)
    for wrong in (y - 5, y + 5, torch.full_like(y, -100)):
        with pytest.raises(ValueError, match="`target` must be in 0 … 4"):
            loss(z, wrong)
    with pytest.raises(ValueError, match=r"`logits` must have shape \(B, 5\)"):
        loss(z[:, :4], y.clamp(max=3))
    with pytest.raises(ValueError, match=r"`target` must have shape \(8,\)"):
        loss(z, y[:7])
    if loss.soft_labels:
        with pytest.raises(ValueError, match="soft labels must have"):
            loss(z, soft[:, :4])


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_class_with_no_image_matters_only_where_counts_do(name):
    counts, classes = [5, 0, 3, 0], ["heron", "ibis", "jay", "kite"]
    if name in ("softmax", "sigmoid", "focal"):
        assert torch.isfinite(build_loss(name, counts, classes=classes)(torch.zeros(2, 4), torch.tensor([1, 3])))
        return
    with pytest.raises(InputError, match=r"class 'ibis'.*1 more of 4"):
        build_loss(name, counts, classes=classes)
    with pytest.raises(InputError, match="class number 1 "):
        build_loss(name, counts)


_ROWS = (torch.zeros(2, 3), torch.tensor([0, 2]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: softmax_loss(_ROWS[0], torch.full((2, 3), -5.0)), "soft labels must be at least 0 and sum to 1"),
        (lambda: sigmoid_loss(_ROWS[0], torch.full((2, 3), math.nan)), "soft labels must be at least 0 and sum to 1"),
        (lambda: softmax_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)), "at least one sample"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
