"""The checks of logits and targets that all losses share."""

from __future__ import annotations

import math

import pytest
import torch

from finetune.losses import sigmoid_loss, softmax_loss

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
