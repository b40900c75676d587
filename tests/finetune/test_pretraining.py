"""Pre-training: which images the sources and the subset file give, and what a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from source_folders import FIRST, SECOND, subset_file

from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from features.infrastructure.formats.text_seals import SEAL
from finetune import pretraining
from finetune.finetuning import FinetuneConfig, finetune
from finetune.pretraining import PretrainConfig, pretrain
from finetune.samplers import ClassSampler
from finetune.shared_options import resolve
from finetune.training import engine
from similarity.selection.subset import Subset, SubsetRow


def tiny(out: Path, **given) -> PretrainConfig:
    start = {} if "init" in given else {"backbone": "resnet8", "image_size": 16}
    fixed = {"steps": 2, "batch_size": 8, "lr": 0.01, "workers": 0} | start
    return PretrainConfig(out=str(out), device="cpu", precision="fp32", **fixed | given)


def test_one_class_is_not_enough(sources, tmp_path):
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"))
    with pytest.raises(InputError, match="folder:first: training needs at least 2 classes, and there is only 'one'"):
        pretrain(tiny(tmp_path / "run", sources=list(sources), subset=file))
    assert not (tmp_path / "run").exists()


def test_class_weights_alone_are_refused_with_the_sources_that_their_file_knows(sources, tmp_path):
    row = SubsetRow("folder:first", "one", 1, 1, 0.5, ("t",), 1.0)
    Subset((row,)).write(tmp_path / "w.csv")
    with pytest.raises(InputError, match=r"give the `sources`, such as folder:first$"):
        tiny(tmp_path / "run", class_weights="w.csv")
    Subset((row,), {"sources": [{"dataset": name} for name in sources]}).write(tmp_path / "w.csv")
    with pytest.raises(InputError, match=r"give the `sources`, such as folder:first folder:second$"):
        tiny(tmp_path / "run", class_weights="w.csv")
    with pytest.raises(InputError, match=r"none\.csv"):
        tiny(tmp_path / "run", class_weights="none.csv")


def test_a_source_is_needed(tmp_path):
    with pytest.raises(InputError, match="pre-training needs a source: give `sources`, dataset specs, or `subset`"):
        tiny(tmp_path / "run")


def test_a_run_and_its_reuse(sources, tmp_path):
    file = subset_file(tmp_path / "s.csv", ("folder:second", "three"), ("folder:first", "two"))
    config = tiny(tmp_path / "run", sources=list(sources), subset=file)
    result = pretrain(config)
    assert not result.reused
    assert {path.name for path in result.run.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "environment.json",
        "history.csv",
        "log.txt",
        "metrics.json",
        "per_class.csv",
        "predictions.csv",
    }
    assert {path.name for path in (result.run / "checkpoints").iterdir()} == {"last.safetensors", "last.json"}
    written = json.loads((result.run / "metrics.json").read_text())
    assert {name: value for name, value in written.items() if name != SEAL} == result.metrics
    assert written["images"] == 10
    assert written["group_images"]["few"] == 10  # the counts behind a figure
    card = find_checkpoint(result.run).card
    assert card["classes"] == ["two", "three"]  # by name, not by rank
    assert card["train_counts"] == [6, 4]

    before = (result.run / "checkpoints" / "last.safetensors").read_bytes()
    again = pretrain(config)
    assert again.reused
    assert again.metrics == result.metrics
    assert again.targets == result.targets == ("t",)  # of the subset file, which is read before the training
    assert (result.run / "checkpoints" / "last.safetensors").read_bytes() == before

    subset_file(tmp_path / "s.csv", ("folder:second", "three"), ("folder:first", "one"))
    with pytest.raises(InputError, match="its training data has changed since the run began"):
        pretrain(config)


def test_random_weights_are_the_default(sources, tmp_path):
    for first, second in (({}, {"weights": "none"}), ({"weights": "none"}, {})):
        out = tmp_path / f"run-{len(first)}"
        pretrain(tiny(out, sources=list(sources), **first))
        assert pretrain(tiny(out, sources=list(sources), **second)).reused
    assert resolve(PretrainConfig(sources=["a:"], out="b", backbone=str(out)))[0].weights == "default"  # a run


@pytest.fixture
def all_classes(sources, tmp_path) -> Path:
    """A run on every class of both sources."""
    return pretrain(tiny(tmp_path / "all", sources=list(sources))).run


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "last.safetensors")


def test_going_on_keeps_the_network_and_the_rows_of_its_classes(sources, all_classes, tmp_path, head_of):
    file = subset_file(tmp_path / "s.csv", ("folder:second", "both"), ("folder:first", "two"))
    still = {"lr": 1e-12, "weight_decay": 0.0, "batch_norm": "frozen"}
    result = pretrain(tiny(tmp_path / "on", sources=list(sources), subset=file, init=str(all_classes), **still))
    before, after = weights_of(all_classes), weights_of(result.run)
    for name in (name for name in before if name.startswith("backbone.")):
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)
    known = find_checkpoint(all_classes).classes
    rows = [known.index("two"), known.index("folder:second/both")]
    assert find_checkpoint(result.run).classes == ("two", "both")
    for kept, of_all in zip(head_of(result.run), head_of(all_classes), strict=True):
        np.testing.assert_allclose(kept, of_all[rows], atol=1e-9)
    environment = json.loads((result.run / "environment.json").read_text())
    assert environment["inputs"]["initial weights"] == find_checkpoint(all_classes).card["weights_sha256"]
    # The classifier that goes on is the one that cb-softmax, the default, has balanced.
    plain = pretrain(tiny(tmp_path / "plain", subset=file, init=str(all_classes), loss="softmax", **still))
    assert (
        find_checkpoint(plain.run).card["balanced_by"] == find_checkpoint(all_classes).card["balanced_by"] is not None
    )


def test_going_on_with_a_subset_of_all_classes_is_training_longer(sources, all_classes, tmp_path):
    """As fine-tuning to the source itself, with its classifier kept."""
    training = {"lr": 0.05, "loss": "softmax", "optimizer": "nesterov", "batch_norm": "train", "steps": 5}
    every = pretrain(tiny(tmp_path / "every", sources=list(sources), init=str(all_classes), **training))
    file = subset_file(tmp_path / "s.csv", *every_class(sources))
    subset = pretrain(tiny(tmp_path / "on", subset=file, init=str(all_classes), **training))
    assert find_checkpoint(every.run).classes == find_checkpoint(subset.run).classes
    for name, value in weights_of(every.run).items():
        assert torch.equal(value, weights_of(subset.run)[name]), name
    one = pretrain(tiny(tmp_path / "first-alone", sources=["folder:first"])).run
    again = {
        "init": str(one),
        "batch_size": 8,
        "device": "cpu",
        "precision": "fp32",
        "workers": 0,
        "weight_decay": 5e-4,
    }
    longer = pretrain(PretrainConfig(sources=["folder:first"], out=str(tmp_path / "longer"), **again | training))
    tuned = finetune(
        FinetuneConfig(dataset="folder:first", out=str(tmp_path / "tuned"), classifier="keep", **again | training)
    )
    for name, value in weights_of(longer.run).items():
        assert torch.equal(value, weights_of(tuned.run)[name]), name


def test_a_classifier_of_a_sigmoid_is_not_trained_by_a_softmax(sources, all_classes, tmp_path):
    one_vs_rest = pretrain(tiny(tmp_path / "sigmoid", sources=list(sources), loss="cb-sigmoid")).run
    for run, loss, said in (
        (one_vs_rest, "softmax", "`loss` softmax: reads scores by a softmax, and the classifier of `init` "),
        (all_classes, "cb-sigmoid", "`loss` cb-sigmoid: reads scores by a sigmoid, and the classifier of `init` "),
    ):
        with pytest.raises(InputError, match=f"^{said}{run} was trained for "):
            pretrain(tiny(tmp_path / "on", sources=list(sources), init=str(run), loss=loss))
        kept = {"classifier": "keep", "steps": 1, "batch_size": 8, "device": "cpu", "workers": 0}
        start = {"dataset": "folder:first", "init": str(run), "loss": loss}
        whole = pretrain(tiny(tmp_path / loss, sources=["folder:first"], loss=find_loss(run))).run
        with pytest.raises(InputError, match=f"^{said}{whole} was trained for "):
            finetune(FinetuneConfig(out=str(tmp_path / "tuned"), **kept | start | {"init": str(whole)}))
    pretrain(tiny(tmp_path / "on", sources=list(sources), init=str(one_vs_rest), loss="cb-focal"))


def find_loss(run: Path) -> str:
    return str(yaml.safe_load((run / "config.yaml").read_text())["loss"])


def test_a_published_model_that_does_not_take_an_option_is_not_called_missing(sources, tmp_path, monkeypatch):
    def load(name, weights, image_size=None, *args, **options):
        if name != "published":
            raise InputError(f"backbone {name}: no such model; see the models")
        if image_size is not None:
            raise InputError(f"`image_size` {image_size}: published does not take it (too small); try another")

    monkeypatch.setattr(pretraining, "load_backbone", load)
    options = {"sources": list(sources), "image_size": 3}
    with pytest.raises(InputError, match=r"^`image_size` 3: published does not take it"):
        pretrain(tiny(tmp_path / "run", init="published", **options))
    missing = r"^`init` nosuch: neither a finished run nor .* \(backbone nosuch: no such model\); give one of them"
    with pytest.raises(InputError, match=missing):
        pretrain(tiny(tmp_path / "run", init="nosuch", **options))


def test_a_balanced_loss_beside_class_weights_is_said(sources, tmp_path):
    file = tmp_path / "w.csv"
    Subset(tuple(SubsetRow(*class_, 4, 1, 0.0, (), 0.2) for class_ in every_class(sources))).write(file)
    weights = {"sources": list(sources), "class_weights": str(file)}
    logs = [
        (pretrain(tiny(tmp_path / loss, loss=loss, **weights)).run / "log.txt").read_text()
        for loss in ("balanced-softmax", "softmax")
    ]
    said = "draws classes by their shares of the target, and the loss balanced-softmax weights rare classes up besides"
    assert f"--class-weights {said}" in logs[0] and "sampler" not in logs[0]
    assert "besides" not in logs[1]


def test_classes_are_drawn_by_their_weights(sources, tmp_path, monkeypatch):
    file = tmp_path / "w.csv"
    rows = [("folder:second", "three", 0.5), ("folder:first", "both", 0.25), ("folder:second", "both", 0.25)]
    Subset(
        tuple(SubsetRow(spec, name, 4, rank, 0.0, (), weight) for rank, (spec, name, weight) in enumerate(rows, 1))
    ).write(file)
    made = []

    def spy(labels, **options):
        made.append(ClassSampler(labels, **options))
        return made[-1]

    monkeypatch.setattr(engine, "ClassSampler", spy)
    result = pretrain(tiny(tmp_path / "run", sources=list(sources), class_weights=str(file), floor=0.2))
    counts = np.array([6, 6, 6, 4, 4])
    expected = 0.8 * np.array([0.25, 0, 0, 0.25, 0.5]) + 0.2 * counts / counts.sum()
    np.testing.assert_allclose(made[0].probabilities(), expected, rtol=1e-12)
    assert yaml.safe_load((result.run / "config.yaml").read_text())["loss"] == "softmax"  # not balanced twice
    assert find_checkpoint(result.run).card["balanced_by"] == f"--class-weights {file}"
    # All weights equal: as drawing every class with the same probability.
    Subset(tuple(SubsetRow(*class_, 4, 1, 0.0, (), 0.2) for class_ in every_class(sources))).write(file)
    even = pretrain(tiny(tmp_path / "even", sources=list(sources), class_weights=str(file), floor=0.0))
    plain = pretrain(tiny(tmp_path / "plain", sources=list(sources), sampler="class", loss="softmax"))
    for name, value in weights_of(plain.run).items():
        assert torch.equal(value, weights_of(even.run)[name]), name


def every_class(sources: tuple[str, str]) -> list[tuple[str, str]]:
    return [(spec, name) for spec, classes in zip(sources, (FIRST, SECOND), strict=True) for name in classes]


def test_weights_that_do_not_fit_are_refused(sources, tmp_path):
    def refused(*rows: tuple[str, str, float | None], **given) -> str:
        file = tmp_path / "w.csv"
        Subset(tuple(SubsetRow(spec, name, 4, 1, 0.0, (), weight) for spec, name, weight in rows)).write(file)
        with pytest.raises(InputError) as caught:
            pretrain(tiny(tmp_path / "run", sources=list(sources), class_weights=str(file), **given))
        return str(caught.value)

    assert "class 'one' has no weight; choose by a strategy that says" in refused(("folder:first", "one", None))
    assert "class 'goose' of folder:first is not among those to train on" in refused(("folder:first", "goose", 1.0))
    assert "names the source 'folder:third', which is not given" in refused(("folder:third", "one", 1.0))
    assert "every weight is 0" in refused(("folder:first", "one", 0.0))
    assert "`floor` 0.0: class 'folder:first/both' and all others" in refused(("folder:first", "one", 1.0), floor=0.0)


def test_a_device_that_is_not_there_is_refused_before_any_work(sources, tmp_path):
    with pytest.raises(InputError, match="`device` nosuch: expected auto, cpu, cuda, "):
        pretrain(PretrainConfig(out=str(tmp_path / "run"), sources=list(sources), backbone="resnet8", device="nosuch"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "`steps` 0: expected at least 1"),
        ({"epochs": 3}, "`epochs` and `steps` both set the budget: give one"),
        ({"batch_size": 1}, "`batch_size` 1: expected at least 2"),
        ({"lr": float("nan")}, "`lr` nan: expected above 0"),
        ({"beta": 1.0}, "`beta` 1.0: expected auto, or at least 0 and below 1"),
        ({"gamma": -1.0}, "`gamma` -1.0: expected at least 0"),
        ({"warmup": 1.0}, "`warmup` 1.0: expected at least 0 and below 1"),
        ({"weight_decay": -0.1}, "`weight_decay` -0.1: expected at least 0"),
        ({"seed": -1}, "`seed` -1: expected at least 0"),
        ({"workers": -1}, "`workers` -1: expected at least 0"),
        ({"image_size": 0}, "`image_size` 0: expected at least 1"),
        ({"loss": "hinge"}, "`loss` hinge: there is no such loss; expected one of softmax, "),
        ({"loss": "cb_softmax"}, "`loss` cb_softmax: there is no such loss; did you mean cb-softmax?"),
        ({"sampler": "squrt"}, "`sampler` squrt: there is no such sampler; did you mean sqrt?"),
        ({"sampler": "none"}, "`sampler` none: there is no such sampler; expected one of instance, "),
        ({"class_weights": "w.csv", "sampler": "sqrt"}, "`sampler` sqrt and `class_weights` both say how classes are"),
        ({"floor": 0.3}, "`floor` 0.3: is for `class_weights`; leave it out"),
        ({"init": "r", "backbone": "resnet50"}, "`backbone` resnet50: is for a training without `init`; leave it out"),
        ({"init": "r", "weights": "none"}, "`weights` none: is for a training without `init`"),
        ({"init": "r", "loss": "ldam"}, "`loss` ldam: needs a cosine classifier, and that of"),
        ({"augment": "mixup"}, "`augment` mixup: expected one of none, "),
        ({"augment": "cropflip"}, "`augment` cropflip: did you mean crop-flip?"),
        ({"augment": "flip+cutot"}, "`augment` flip+cutot: after flip, did you mean +cutout?"),
        ({"augment": "flip+x"}, "`augment` flip+x: after flip, expected one of +cutout, +randaugment"),
    ],
)
def test_what_contradicts_itself_is_refused_at_the_door(tmp_path, given, message):
    with pytest.raises(InputError) as refusal:
        tiny(tmp_path / "run", sources=["digits:"], **given)
    assert message in str(refusal.value)


def test_all_faults_are_said_at_once(tmp_path):
    with pytest.raises(
        InputError, match="`lr` -1: expected above 0; `loss` hinge: there is no such loss; expected one of"
    ):
        tiny(tmp_path / "run", sources=["digits:"], lr=-1, loss="hinge")
