"""Mixup, CutMix and label smoothing by their definitions."""

from __future__ import annotations

import pytest
import torch

from features.infrastructure.errors import InputError
from finetune import FinetuneConfig
from finetune.augmentation.mixing import Mixing
from finetune.losses import LOSSES, build_loss


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(n: int, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one value, their number, and as many classes."""
    return torch.arange(n).float()[:, None, None, None].expand(n, 3, size, size).clone(), torch.arange(n)


def test_nothing_asked_nothing_done():
    assert not Mixing() and Mixing(mixup=0.2) and Mixing(label_smoothing=0.1)


def test_label_smoothing_alone():
    images, labels = flat(4)
    found, target = Mixing(label_smoothing=0.2)(images, labels, 4, draw())
    assert torch.equal(found, images)
    torch.testing.assert_close(target, 0.8 * torch.eye(4) + 0.05)


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.4, cutmix=1.0)])
def test_the_target_is_made_of_what_the_image_is_made_of(mixing):
    images, labels = flat(64)
    for seed in range(6):
        found, target = mixing(images, labels, 64, draw(seed))
        torch.testing.assert_close(target.sum(1), torch.ones(64))
        assert ((target > 0).sum(1) <= 2).all() and not torch.equal(found, images)
        # each image holds its number: the mean pixel is the expected class number
        torch.testing.assert_close(found.mean((1, 2, 3)), target @ labels.float(), atol=1e-4, rtol=0)


def test_mixup_blends_and_cutmix_pastes():
    images, labels = flat(64)
    blended, _ = Mixing(mixup=1.0)(images, labels, 64, draw())
    assert (blended.flatten(1).std(1) < 1e-5).all()
    pasted, target = Mixing(cutmix=1.0)(images, labels, 64, draw())
    for image, row in zip(pasted, target, strict=True):
        assert set(image.unique().tolist()) <= set(row.nonzero()[:, 0].tolist())


def test_with_both_each_batch_takes_one_of_them_by_a_toss():
    images, labels = flat(16)
    pasted = []
    for seed in range(200):
        found, _ = Mixing(mixup=0.4, cutmix=1.0)(images, labels, 16, draw(seed))
        pasted.append(bool((found == found.round()).all()))  # whole images' values, nothing blended
    assert 70 < sum(pasted) < 130  # 100 ± 4 standard deviations


def test_proportions_follow_beta():
    images, labels = flat(4000, 1)
    _, target = Mixing(mixup=0.2)(images, labels, 4000, draw())
    share = target[torch.arange(4000), labels].double()
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)  # of Beta(α, α)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_take_class_proportions_or_are_refused_by_name(loss):
    options = {"dataset": "d", "init": "resnet8", "out": "o", "loss": loss, "mixup": 0.2}
    assert build_loss(loss, [5, 3]).soft_labels == LOSSES[loss].soft_labels
    if not LOSSES[loss].soft_labels:
        with pytest.raises(InputError, match=f"`loss` {loss}: needs one class per image; leave out `mixup`"):
            FinetuneConfig(**options)
    else:
        assert FinetuneConfig(**options).mixing == Mixing(mixup=0.2)
