"""What moves, how fast (learning rate, warm-up, weight decay), and what pulls on it."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from features.backbones.loading import Backbone, load_backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.losses import build_loss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory, open_run
from finetune.shared_options import TrainingConfig
from finetune.training import engine
from finetune.training.batches import TrainingImages
from finetune.training.optimizer import (
    Interpolation,
    PullToStart,
    WeightAverage,
    freeze,
    layers,
    parameter_groups,
    rate,
)


def network() -> ImageClassifier:
    """Three blocks, each a convolution and a normalisation."""
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self, width_in: int, width: int) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(width_in, width, 3, padding=1), nn.BatchNorm2d(width)

        def forward(self, x):
            return self.norm(self.conv(x)).relu()

    blocks = nn.Sequential(Block(3, 4), Block(4, 4), Block(4, 4), nn.AdaptiveAvgPool2d(1))
    return ImageClassifier(Backbone(blocks, "blocks", "none", 4, Preprocessing(8, 8)), ["0", "1"])


def options(**given) -> TrainingConfig:
    fixed = {"out": "-", "batch_size": 8, "augment": "none", "device": "cpu", "precision": "fp32", "workers": 0}
    return TrainingConfig(**fixed | given)


def trained(tmp_path, colours, counts=(12, 12), **given) -> tuple[ImageClassifier, ImageClassifier]:
    """A model before and after a few steps."""
    dataset, config = (
        colours(*counts),
        options(out=str(tmp_path / "run"), **{"steps": 4, "lr": 0.1, "warmup": 0, **given}),
    )
    model = network()
    before = copy.deepcopy(model)
    images = TrainingImages(dataset, model.backbone.preprocessing, 0)
    engine.train(model, images, build_loss("softmax", dataset.counts), config, RunDirectory(config.out, config, {}))
    return before, model


def rates(out: Path) -> list[float]:
    return [epoch["lr"] for epoch in open_run(out / "run")["history"]]


def test_the_learning_rate_rises_and_falls(tmp_path, colours):
    lr = 0.04
    trained(tmp_path / "cosine", colours, (4, 4), steps=20, lr=lr, warmup=0.2)  # one step an epoch
    expected = [lr * share for share in (0.2, 0.4, 0.6, 0.8)]
    expected += [lr * 0.5 * (1 + math.cos(math.pi * i / 16)) for i in range(16)]
    assert rates(tmp_path / "cosine") == pytest.approx(expected, rel=1e-4)  # six digits are written
    trained(tmp_path / "flat", colours, (4, 4), steps=3, lr=lr, schedule="constant")
    assert rates(tmp_path / "flat") == [lr] * 3


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [(12, 0.05, 6), (84, 0.05, 10), (400, 0.05, 20), (400, 0.0, 0), (12, 0.0, 0)],
)
def test_adamw_warms_up_for_ten_steps_or_half_of_a_short_training(steps, warmup, expected):
    for optimizer, rising in (("adamw", expected), ("sgd", round(warmup * steps))):
        config = options(steps=steps, warmup=warmup, optimizer=optimizer, lr=0.01)
        shares = [rate(step, steps, config) for step in range(steps)]
        assert shares.index(1.0) == rising


def test_the_cifar_schedule_falls_a_hundredfold_at_160_and_180_of_200_epochs(tmp_path, colours):
    given = {"steps": None, "epochs": 200, "lr": 0.1, "warmup": 0.025, "schedule": "step"}
    trained(tmp_path, colours, (2, 2), **given)  # one step an epoch
    found = rates(tmp_path)
    assert found[:5] == pytest.approx([0.1 * i / 6 for i in range(1, 6)], rel=1e-4)
    assert found[5:] == pytest.approx([0.1] * 155 + [1e-3] * 20 + [1e-5] * 20)


def test_weight_decay_spares_biases_and_normalisation(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(
        engine.TrainingStep, "training_step", lambda self, *_: 0 * sum(p.sum() for p in self.parameters())
    )
    before, after = trained(tmp_path, colours, (8, 8), steps=1, lr=0.5, weight_decay=0.1, optimizer="adamw")
    old = dict(before.named_parameters())
    with torch.no_grad():
        for name, value in after.named_parameters():
            decayed = name.endswith(("conv.weight", "head.weight"))
            torch.testing.assert_close(value, old[name] * (1 - 0.5 * 0.1) if decayed else old[name])


def test_layers_are_blocks_in_order():
    resnet = load_backbone("resnet8", "none").network
    names = [type(layer).__name__ for layer in layers(resnet)]
    assert names == ["Conv2d", "BatchNorm2d", "_Block", "_Block", "_Block"]
    assert sum(p.numel() for layer in layers(resnet) for p in layer.parameters()) == sum(
        p.numel() for p in resnet.parameters()
    )
    assert layers(nn.Linear(2, 2))[0].in_features == 2


@pytest.mark.parametrize(
    ("name", "block", "blocks"),
    [
        ("resnet18", "BasicBlock", 8),
        ("efficientnet_lite0", "InvertedResidual", 15),
        ("convnext_tiny", "CNBlock", 18),
        ("convnextv2_atto", "ConvNeXtBlock", 12),
        ("swin_tiny_patch4_window7_224", "SwinTransformerBlock", 12),
        ("vit_tiny_patch16_224", "Block", 12),
        ("efficientnet_v2_s", "FusedMBConv", 10),
    ],
)
def test_every_stage_of_published_networks_is_cut_into_its_blocks(name, block, blocks):
    with torch.device("meta"):
        network = load_backbone(name, "none").network
    every = layers(network)
    assert [type(layer).__name__ for layer in every].count(block) == blocks
    assert sum(p.numel() for layer in every for p in layer.parameters()) > 0.99 * sum(
        p.numel() for p in network.parameters()
    )


def test_the_rate_falls_from_the_head_down():
    model = network()
    groups = parameter_groups(model, options(lr=1.0, layer_decay=0.5, weight_decay=0.1))
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    found = {name: rate[id(p)] for name, p in model.named_parameters()}
    for place, expected in ((0, 0.125), (1, 0.25), (2, 0.5)):
        assert found[f"backbone.network.{place}.conv.weight"] == (expected, 0.1)
        assert found[f"backbone.network.{place}.conv.bias"] == (expected, 0.0)
        assert found[f"backbone.network.{place}.norm.weight"] == (expected, 0.0)
    assert found["head.weight"] == (1.0, 0.1)
    pulled = parameter_groups(model, options(l2_sp=0.1, weight_decay=0.1))
    assert {id(p) for group in pulled if group["weight_decay"] for p in group["params"]} == {id(model.head.weight)}


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (0.34, 1), (0.7, 2), (1.0, 3)])
def test_frozen_layers_keep_weights_and_statistics(tmp_path, colours, share, kept):
    before, after = trained(tmp_path, colours, freeze=share)
    for name, value in before.state_dict().items():
        frozen = name.startswith(tuple(f"backbone.network.{place}." for place in range(kept)))
        if not name.endswith(("conv.bias", "num_batches_tracked")):  # a bias before a normalisation has no gradient
            assert torch.equal(value, after.state_dict()[name]) == frozen, name


def test_frozen_parameters_have_no_gradient():
    model = network()
    assert len(freeze(model, 0.7)) == 2
    assert [p.requires_grad for p in model.parameters()].count(False) == 8


def test_the_pull_is_half_alpha_times_the_squared_way():
    model = network()
    pull = PullToStart(model, 0.4)
    assert pull() == 0
    with torch.no_grad():
        model.backbone.network[1].conv.weight += 0.5
        model.head.weight += 3  # which is not pulled
    way = 0.25 * model.backbone.network[1].conv.weight.numel()
    assert pull().item() == pytest.approx(0.2 * way)
    pull().backward()
    torch.testing.assert_close(model.backbone.network[1].conv.weight.grad, torch.full((4, 4, 3, 3), 0.4 * 0.5))


def test_a_strong_pull_keeps_the_backbone_near_its_start(tmp_path, colours):
    ways = []
    for name, alpha in (("free", 0.0), ("pulled", 5.0)):
        before, after = trained(tmp_path / name, colours, l2_sp=alpha, steps=20, lr=0.05, weight_decay=0.0)
        pairs = zip(before.backbone.parameters(), after.backbone.parameters(), strict=True)
        ways.append(sum((one - other).detach().square().sum().item() for one, other in pairs))
    assert ways[1] < 0.2 * ways[0]


def test_the_average_by_hand():
    model = network()
    average = WeightAverage(model, 0.5)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape))
        model.backbone.network[0].norm.num_batches_tracked += 1
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = (
                decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value.clone()
            )
    for name, value in average.state().items():
        torch.testing.assert_close(value, expected[name])


def test_the_weights_between_by_hand():
    model = network()
    with torch.no_grad():
        model.head.bias.fill_(-torch.inf)  # as a probe has it for a class that it saw no image of
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    between = Interpolation(model, 0.25)
    with torch.no_grad():
        model.head.weight.add_(1)
    model.backbone.network[0].norm.num_batches_tracked += 3
    found = between(model.state_dict())
    torch.testing.assert_close(found["head.weight"], begun["head.weight"] + 0.25)
    assert torch.equal(found["head.bias"], begun["head.bias"])
    assert found["backbone.network.0.norm.num_batches_tracked"] == 3
    resumed = Interpolation(model, 0.25, between.start)(model.state_dict())
    assert all(torch.equal(resumed[name], value) for name, value in found.items())


def test_what_is_kept_is_the_average(tmp_path, colours):
    _, plain = trained(tmp_path / "plain", colours, steps=6)
    _, averaged = trained(tmp_path / "averaged", colours, steps=6, ema=0.9)
    assert not torch.equal(plain.head.weight, averaged.head.weight)
    assert averaged.head.weight.norm() < plain.head.weight.norm()  # part of it is the small start


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer_decay": 0.0}, "`layer_decay` 0.0: expected above 0 and at most 1"),
        ({"l2_sp": -1.0}, "`l2_sp` -1.0: expected at least 0"),
        ({"freeze": 1.5}, "`freeze` 1.5: expected at least 0 and at most 1"),
        ({"ema": 1.0}, "`ema` 1.0: expected at least 0 and below 1"),
        ({"optimizer": "adam"}, "`optimizer` adam: expected one of nesterov, sgd, adamw"),
        ({"beta": "big"}, "`beta` big: expected auto, or at least 0 and below 1"),
    ],
)
def test_values_that_are_out_of_range_or_unknown_are_refused(given, message):
    with pytest.raises(InputError) as refusal:
        options(**given)
    assert str(refusal.value) == message


def test_what_stands_in_no_layer_is_frozen_with_the_first():
    model = network()
    model.backbone.network.register_parameter("token", nn.Parameter(torch.zeros(1)))
    assert len(freeze(model, 0.01)) == 1  # of a share above 0 at least one
    assert not model.backbone.network.token.requires_grad
    assert freeze(network(), 0.0) == []
