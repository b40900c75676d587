"""Shipped recipes and files of options are valid, as the commands in their heads give them; one is a protocol."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from features.backbones.loading import load_backbone
from finetune import FinetuneConfig
from finetune.augmentation import augmentation
from finetune.model import ImageClassifier
from finetune.shared_options import resolve
from finetune.training.optimizer import build_optimizer, rate
from transfer import RunConfig
from transfer.cli import main
from transfer.command_line import read_yaml
from transfer.commands import COMMANDS
from transfer.recipe import Recipe

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted(ROOT.glob("recipes/*.yaml"))
TRAININGS = sorted(ROOT.glob("recipes/training/*.yaml"))
CIFAR = ROOT / "recipes" / "training" / "cifar-lt.yaml"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def command_of(path: Path) -> list[str]:
    """The words after ``transfer`` of the command in the head of a file."""
    (command,) = (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#   transfer "))
    return shlex.split(command)[2:]


def configured(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration that the command in the head of a file gives, typed in the root of the project."""
    arguments, seen = command_of(path), []

    class Nothing:
        def to_json(self) -> dict[str, Any]:
            return {}

    def instead(config: Any) -> Nothing:
        seen.append(config)
        return Nothing()

    monkeypatch.chdir(ROOT)
    function = arguments[0].replace("-", "_")
    monkeypatch.setattr(f"{COMMANDS[arguments[0]].home or f'transfer.commands.{function}'}.{function}", instead)
    assert main([*arguments, "--json"]) == 0
    return seen[0]


def test_every_shipped_file_is_checked_here() -> None:
    assert EXPERIMENTS and CIFAR in TRAININGS
    assert {path for path in ROOT.glob("recipes/**/*") if path.is_file()} == {*EXPERIMENTS, *TRAININGS}


@pytest.mark.parametrize("path", [*EXPERIMENTS, ROOT / "transfer" / "demo.yaml"], ids=name)
def test_an_experiment_is_valid(path: Path) -> None:
    assert Recipe.read(path).arms


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_the_head_of_an_experiment_runs_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(path, monkeypatch)
    assert isinstance(config, RunConfig)
    assert Path(config.recipe) == path.relative_to(ROOT)


@pytest.mark.parametrize("path", TRAININGS, ids=name)
def test_the_head_of_a_file_of_options_gives_them_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name(path) in command_of(path)
    config, given = configured(path, monkeypatch), read_yaml(path)
    assert given and given.items() <= dataclasses.asdict(config).items()


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    return resolve(configured(CIFAR, monkeypatch))[0]


def test_long_tailed_cifar_has_the_rate_of_the_papers(cifar: FinetuneConfig) -> None:
    """Cao et al. 2019, code: to 0.1 in 5 epochs, × 0.01 after epoch 160 and again after epoch 180 of 200."""
    epoch = 10_847 // 128  # images of CIFAR-100 with imbalance factor 100, the last batch dropped
    steps = 200 * epoch
    assert (cifar.epochs, cifar.steps, cifar.batch_size) == (200, None, 128)

    def at(step: int) -> float:
        return cifar.lr * rate(step, steps, cifar)

    for done in range(1, 6):  # the papers rise by epochs and this toolkit by steps
        assert at(done * epoch - 1) == pytest.approx(0.1 * done / 5, rel=0.01)
        assert at(done * epoch - 2) < at(done * epoch - 1) < 0.1
    for first, end, expected in ((5, 160, 0.1), (160, 180, 0.001), (180, 200, 0.00001)):
        assert at(first * epoch) == at(end * epoch - 1) == pytest.approx(expected)


def test_long_tailed_cifar_has_the_network_the_optimiser_and_the_images_of_the_papers(cifar: FinetuneConfig) -> None:
    assert (cifar.weights, cifar.classifier, cifar.validation) == ("none", "new", None)
    backbone = load_backbone(cifar.init, cifar.weights, cifar.image_size)
    model = ImageClassifier(backbone, ["a", "b"])
    assert sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in model.modules()) == 32
    groups = build_optimizer(model, cifar).param_groups
    assert {(group["momentum"], group["nesterov"], group["lr"]) for group in groups} == {(0.9, False, 0.1)}
    for group in groups:  # unlike the papers' code, which decays biases and normalisations too
        dimensions = {parameter.ndim for parameter in group["params"]}
        assert group["weight_decay"] == (0 if dimensions == {1} else 2e-4)
    assert (cifar.ema, cifar.l2_sp, cifar.layer_decay, cifar.freeze, bool(cifar.mixing)) == (0, 0, 1, 0, False)
    augment = augmentation(cifar.augment)
    assert (cifar.image_size, 32 * augment.shift, augment.flip) == (32, 4, True)
    assert augment.whole_pixels and not augment.before and not augment.after
