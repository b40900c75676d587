"""Co-training: L = L_target + λ·L_source, with a head that is dropped, and statistics that stay the target's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from features.backbones.loading import Backbone, seeded
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune import FinetuneConfig, finetune
from finetune.losses import build_loss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.samplers import ShuffleSampler
from finetune.shared_options import TrainingConfig
from finetune.training import callbacks, state
from finetune.training.batches import TrainingImages
from finetune.training.co_training import CoTraining
from finetune.training.engine import SOURCE_SEED, train
from finetune.training.extras import Extras, SourceImages
from similarity import Subset, SubsetRow


def network(classes: int) -> ImageClassifier:
    torch.manual_seed(7)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return ImageClassifier(Backbone(layers, "tiny", "none", 8, Preprocessing(8, 8)), [str(i) for i in range(classes)])


def options(out: Path, **given) -> TrainingConfig:
    fixed = {"batch_size": 8, "augment": "none", "device": "cpu", "precision": "fp32", "workers": 0, "steps": 5}
    return TrainingConfig(out=str(out), **fixed | given)


def trained(dataset, source, weight: float, config: TrainingConfig) -> ImageClassifier:
    """Train from the start, or from where the run directory is; without a source, plainly."""
    model = network(len(dataset.classes))
    images = TrainingImages(dataset, model.backbone.preprocessing, 0)
    loss, run = build_loss(config.loss, dataset.counts), RunDirectory(config.out, config, {})
    extras = Extras(co_training=None if source is None else SourceImages(source, weight))
    train(model, images, loss, config, run, extras=extras)
    return model


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_without_weight_it_is_plain_training_bit_for_bit(tmp_path, colours, augment):
    target, source = colours(9, 9, 5), colours(6, 8, seed=1)
    plain = trained(target, None, 0.0, options(tmp_path / "plain", augment=augment))
    together = trained(target, source, 0.0, options(tmp_path / "together", augment=augment))
    assert same_weights(plain, together)
    weighted = trained(target, source, 0.3, options(tmp_path / "weighted", augment=augment))
    assert not torch.equal(weighted.backbone.network[0].weight, plain.backbone.network[0].weight)
    assert torch.equal(  # the statistics are the target's: they differ by the weights before them alone
        weighted.backbone.network[1].num_batches_tracked, plain.backbone.network[1].num_batches_tracked
    )


def test_a_plain_loop_gives_the_same_weights(tmp_path, colours):
    target, source = colours(9, 9, 6), colours(8, 8, seed=1)
    config = options(tmp_path / "run", steps=4, lr=0.05, optimizer="sgd", schedule="constant", warmup=0.0)
    found = trained(target, source, 0.3, config)

    model = network(3)
    with seeded(config.seed + SOURCE_SEED):
        head = ImageClassifier(model.backbone, source.classes).head
    decayed = [p for p in (*model.parameters(), *head.parameters()) if p.ndim > 1]
    others = [p for p in (*model.parameters(), *head.parameters()) if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    model.train()

    def batch(dataset, step: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, place = divmod(step, len(dataset) // 8)
        sampler = ShuffleSampler(len(dataset), seed=seed)
        sampler.set_epoch(epoch)
        chosen = sampler.positions()[8 * place : 8 * place + 8]
        pixels = torch.stack([model.backbone.preprocessing.pixels(dataset.image(int(i))) for i in chosen])
        return model.backbone.preprocessing.normalize(pixels), torch.from_numpy(dataset.labels[chosen])

    for step in range(4):
        images, labels = batch(target, step, config.seed)
        loss = F.cross_entropy(model(images), labels)
        images, labels = batch(source, step, config.seed + SOURCE_SEED)
        norm = model.backbone.network[1]
        kept = {name: value.clone() for name, value in norm.state_dict().items()}
        loss = loss + 0.3 * F.cross_entropy(head(model.backbone(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            getattr(norm, name).copy_(kept[name])
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path, colours, monkeypatch):
    target, source = colours(15, 9, 3), colours(6, 8, 5, seed=1)
    whole = trained(target, source, 0.5, options(tmp_path / "whole", steps=9, augment="crop-flip"))

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr(callbacks.state, "write_resume", lambda *given, inner=state.write_resume: _die(inner, given))
        with pytest.raises(Dying):
            trained(target, source, 0.5, options(tmp_path / "killed", steps=9, augment="crop-flip"))
    resumed = trained(target, source, 0.5, options(tmp_path / "killed", steps=9, augment="crop-flip"))
    assert "resumed after step 1 of 9" in (tmp_path / "killed" / "log.txt").read_text()
    assert same_weights(whole, resumed)


class Dying(Exception):
    """Stands for a kill right after the state was written."""


def _die(write, given) -> None:
    write(*given)
    raise Dying


def test_batch_normalisation_keeps_its_running_statistics():
    model = network(2)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.train()
    loss = CoTraining(model, 2.0)(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 1, 0]))
    assert all(torch.equal(before[name], value) for name, value in model.backbone.state_dict().items())
    assert model.backbone.network[1].track_running_stats
    assert loss.requires_grad and float(loss.detach()) == pytest.approx(2 * 0.693, abs=0.2)


def test_too_few_images_to_co_train_on_are_named(tmp_path):
    source = "digits:@test?per_class=6"
    Subset(tuple(SubsetRow(source, f"digit {i}", 6, 1, 0.5, ()) for i in range(2))).write(tmp_path / "s.csv")
    given = {"init": "resnet8", "weights": "none", "steps": 2, "device": "cpu", "precision": "fp32", "workers": 0}
    given |= {"with_": str(tmp_path / "s.csv"), "batch_size": 16, "accumulate_grad_batches": 2}
    with pytest.raises(InputError, match="and there are 12 images of `with_`; give a smaller `batch_size`"):
        finetune(FinetuneConfig(dataset="digits:@train?per_class=8", out=str(tmp_path / "run"), **given))
