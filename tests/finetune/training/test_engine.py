"""The training loop: it learns, it is repeatable, and a killed run ends as an uninterrupted one."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from safetensors.torch import load_file
from timm.layers import convert_sync_batchnorm
from tiny_training import Killed, history, interrupted, kill, options, same_weights, tiny_network, trained

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from features.infrastructure.interruptions import Interrupted
from finetune.finetuning import FinetuneConfig, finetune
from finetune.losses import LOSSES, build_loss
from finetune.run_directory import RunDirectory
from finetune.training import batches as training_images
from finetune.training import callbacks, engine
from finetune.training.batches import TrainingImages
from finetune.training.engine import train
from finetune.training.state import read_resume


@pytest.mark.parametrize("optimizer", ["nesterov", "sgd", "adamw"])
def test_it_learns_colours(tmp_path, colours, optimizer):
    dataset = colours(24, 24, 24)
    lr = 0.02 if optimizer == "adamw" else 0.05
    model = trained(dataset, options(tmp_path / "run", epochs=6, optimizer=optimizer, lr=lr))
    rows = history(tmp_path / "run")
    assert [(row["epoch"], row["step"]) for row in rows] == [(e, 9 * e) for e in range(1, 7)]
    assert rows[0]["train_loss"] > 2 * rows[-1]["train_loss"]
    assert not model.training
    with torch.inference_mode():
        pixels = torch.stack([model.backbone.preprocessing.pixels(dataset.image(i)) for i in range(72)])
        predicted = model(model.backbone.preprocessing.normalize(pixels)).argmax(1)
    assert (predicted.numpy() == dataset.labels).mean() > 0.95


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_takes_a_step(tmp_path, colours, loss):
    dataset = colours(12, 6, 2)
    model = trained(dataset, options(tmp_path / "run", steps=2, loss=loss, lr=0.01))
    (row,) = history(tmp_path / "run")
    assert math.isfinite(row["train_loss"])
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert not same_weights(model, tiny_network(3, model.head_kind))
    assert model.head_kind == ("cosine" if loss.startswith("ldam") else "linear")


def test_the_progressive_sampler_sees_the_epochs(tmp_path, colours, monkeypatch):
    labels: list[torch.Tensor] = []
    step = engine.TrainingStep.training_step

    def watched(self, batch, i):
        labels.append(batch.labels.clone())
        return step(self, batch, i)

    monkeypatch.setattr(engine.TrainingStep, "training_step", watched)
    trained(colours(190, 10), options(tmp_path / "run", epochs=20, batch_size=50, sampler="progressive", lr=0.01))
    drawn = torch.stack(labels).view(20, -1).float().mean(1)  # share of the rare class in each epoch
    assert drawn[:3].mean() < 0.12  # 0.05 at first
    assert drawn[-3:].mean() > 0.36  # to ½ at the end


def test_one_seed_one_result(tmp_path, colours):
    first, again, other = (
        trained(colours(9, 9), options(tmp_path / name, steps=3, seed=seed, augment="affine"), dropout=0.3)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same_weights(first, again)
    assert not same_weights(first, other)


#: Steps after which the state is kept, and in which the run ends; an epoch has 3 steps.
BETWEEN, EARLY, LATE = (6, 9), (7, 11), (10, 16)


@pytest.mark.parametrize(
    ("given", "when"),
    [
        pytest.param({"sampler": "shuffle"}, BETWEEN, id="shuffle, between epochs"),
        pytest.param({"sampler": "shuffle"}, EARLY, id="shuffle, amid an epoch"),
        pytest.param({"sampler": "progressive", "optimizer": "adamw", "lr": 0.01}, LATE, id="progressive, adamw"),
        pytest.param({"sampler": "class", "loss": "ldam-drw", "augment": "affine"}, LATE, id="class, drw, affine"),
        pytest.param({"ema": 0.9, "l2_sp": 0.1, "layer_decay": 0.5, "mixup": 0.4}, LATE, id="average, pull, mixup"),
        pytest.param({"interpolate": 0.3, "ema": 0.9}, LATE, id="between start and average"),
        pytest.param(
            {"augment": "crop-flip+randaugment+cutout", "cutmix": 1.0, "freeze": 0.5}, EARLY, id="randaugment"
        ),
        pytest.param({"workers": 1, "augment": "crop-flip", "streamed": True}, EARLY, id="streamed by a worker"),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, colours, monkeypatch, given, when):
    (saved, killed), given = when, dict(given)
    if given.pop("streamed", False):
        monkeypatch.setattr(training_images, "MEMORY_SHARE", 0)
    dataset, between = colours(15, 9, 3), {"dropout": 0.3, "interpolate": given.pop("interpolate", 1.0)}
    whole = trained(dataset, options(tmp_path / "whole", steps=17, **given), **between)
    with monkeypatch.context() as patched:
        interrupted(patched, saved, killed, kill)
        with pytest.raises(Killed):
            trained(dataset, options(tmp_path / "killed", steps=17, **given), **between)
    resumed = trained(dataset, options(tmp_path / "killed", steps=17, **given), **between)
    assert f"resumed after step {saved} of 17" in (tmp_path / "killed" / "log.txt").read_text()
    assert same_weights(whole, resumed)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "killed"), strict=True):
        for name in ("epoch", "step", "lr", "train_loss"):
            assert one[name] == other[name]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_saves_the_state_after_its_step(tmp_path, colours, monkeypatch, listening, name):
    dataset, config = colours(9, 9), options(tmp_path / "run", steps=8)
    whole = trained(dataset, options(tmp_path / "whole", steps=8))
    with monkeypatch.context() as patched:
        interrupted(patched, 3, 5, lambda: signal.raise_signal(signal.Signals[name]))
        with pytest.raises(Interrupted, match=f"^{name}$"):
            trained(dataset, config)
    assert read_resume(tmp_path / "run" / "checkpoints")["step"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the next Ctrl-C works
    assert same_weights(whole, trained(dataset, config))


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_again(tmp_path, colours, monkeypatch):
    dataset, config = colours(9, 9), options(tmp_path / "run", steps=6)
    whole = trained(dataset, options(tmp_path / "whole", steps=6))
    with monkeypatch.context() as patched:
        interrupted(patched, 99, 4, kill)
        with pytest.raises(Killed):
            trained(dataset, config)
    assert not (tmp_path / "run" / "checkpoints" / "resume.ckpt").exists()
    assert same_weights(whole, trained(dataset, config))
    assert [row["epoch"] for row in history(tmp_path / "run")] == [1, 2, 3]


#: A training in a process of its own: it keeps its state after step 7, and kills itself in step 12.
DRIVER = """
import math, os, signal, sys
import torch
torch.set_num_threads(1)
from finetune import FinetuneConfig, finetune
from finetune.training import callbacks, engine

step = engine.TrainingStep.training_step

def mortal(self, batch, i):
    callbacks.CHECKPOINT_SECONDS = -1 if self.step == 6 else math.inf
    if self.step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, i)

engine.TrainingStep.training_step = mortal
finetune(FinetuneConfig(**eval(sys.argv[1])))
"""


def test_a_process_killed_with_sigkill_goes_on(tmp_path):
    given = {"dataset": "digits:@train?per_class=5", "test": "digits:@test?per_class=3", "init": "resnet8"}
    given |= {"weights": "none", "steps": 16, "batch_size": 8, "augment": "affine", "sampler": "progressive"}
    given |= {"device": "cpu", "precision": "fp32", "seed": 3, "optimizer": "adamw", "lr": 0.003}
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), repr(given | {"out": str(tmp_path / "killed")})]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        whole = finetune(FinetuneConfig(**given, out=str(tmp_path / "whole")))  # meanwhile
        _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said
    assert (tmp_path / "killed" / "checkpoints" / "resume.ckpt").is_file()
    assert not (tmp_path / "killed" / "metrics.json").exists()

    resumed = finetune(FinetuneConfig(**given, out=str(tmp_path / "killed")))
    assert "resumed after step 7 of 16" in (tmp_path / "killed" / "log.txt").read_text()
    assert not resumed.reused
    assert resumed.metrics == whole.metrics
    files = [tmp_path / name / "metrics.json" for name in ("whole", "killed")]
    assert json.loads(files[0].read_text()) == json.loads(files[1].read_text())
    one, other = (load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [row["epoch"] for row in history(tmp_path / "killed")] == [1, 2, 3]
    assert not (tmp_path / "killed" / "checkpoints" / "resume.ckpt").exists()


def test_a_loss_that_explodes_is_one_clear_error(tmp_path, colours):
    with pytest.raises(InputError, match=r"the loss is (nan|inf) after step \d+; lower `lr`"):
        trained(colours(9, 9), options(tmp_path / "run", epochs=20, lr=1e20, weight_decay=1.0))
    assert not (tmp_path / "run" / "checkpoints" / "resume.ckpt").exists()


def test_a_broken_state_is_never_kept(tmp_path, colours, monkeypatch):
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", -1)
    monkeypatch.setattr(engine.TrainingStep, "training_step", lambda self, *_: self.model.head.weight.sum() * math.nan)
    with pytest.raises(InputError, match="the loss is nan after step 1;"):
        trained(colours(90, 90), options(tmp_path / "run", epochs=2))
    assert not (tmp_path / "run" / "checkpoints" / "resume.ckpt").exists()


def test_too_large_a_batch_says_which_to_try(tmp_path, colours, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.TrainingStep, "training_step", full)
    with pytest.raises(InputError, match="out of memory on cpu with `batch_size` 8; try `batch_size` 4"):
        trained(colours(9, 9), options(tmp_path / "run", steps=1))


def test_unreadable_images_of_a_streamed_training_are_said_once(tmp_path, write_folder, monkeypatch):
    from features import open_dataset

    monkeypatch.setattr(training_images, "MEMORY_SHARE", 0)
    folder = write_folder(tmp_path / "data", {"blue": 2, "red": 0})
    (folder / "red" / "4.png").write_bytes(b"no picture")
    trained(open_dataset(f"folder:{folder}"), options(tmp_path / "run", epochs=3, batch_size=6))
    assert (tmp_path / "run" / "log.txt").read_text().count("skipped unreadable image red/4.png") == 1
    for picture in folder.rglob("*.png"):
        picture.write_bytes(b"no picture")
    with pytest.raises(InputError, match="a whole batch of images cannot be read; the first is"):
        trained(open_dataset(f"folder:{folder}"), options(tmp_path / "other", epochs=3, batch_size=6))


def test_nothing_global_is_left_changed(tmp_path, colours):
    """A training seeds PyTorch's global generator for dropout, and silences Lightning."""
    dataset, config = colours(9, 9), options(tmp_path / "run", steps=3, augment="affine")
    run, model = RunDirectory(config.out, config, {}), tiny_network(2, dropout=0.3)
    images = TrainingImages(dataset, model.backbone.preprocessing, 0)
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)
    torch.manual_seed(5)
    generator, filters = torch.get_rng_state(), list(warnings.filters)
    train(model, images, build_loss("softmax", dataset.counts), config, run)
    assert torch.equal(torch.get_rng_state(), generator)
    assert list(warnings.filters) == filters
    assert logging.getLogger("lightning.pytorch").level == logging.INFO


def test_statistics_of_all_processes_keep_the_activation_of_the_layers():
    """timm keeps activations in its normalisation layers, and what converts these for several GPUs has to as well."""
    backbone = load_backbone("efficientnet_lite0", "none", 64).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = backbone(images)
        convert_sync_batchnorm(backbone)
        after = backbone(images)
    kinds = {type(module).__name__ for module in backbone.modules()}
    assert not {"BatchNormAct2d", "BatchNorm2d"} & kinds and any(name.startswith("Sync") for name in kinds)
    torch.testing.assert_close(after, before)
