"""Pre-training: which images the sources and the subset file give, and what a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from features.checkpoint import find_checkpoint
from features.infrastructure.errors import InputError
from finetune.pretraining import PretrainConfig, pretrain
from finetune.shared_options import resolve
from finetune.source_classes import open_sources
from similarity.selection.subset import Subset, SubsetRow

#: Name → colour; "both" stands in the two sources, as different things.
FIRST, SECOND = {"both": 0, "one": 1, "two": 2}, {"both": 3, "three": 4}


@pytest.fixture
def sources(tmp_path, write_folder, monkeypatch) -> tuple[str, str]:
    write_folder(tmp_path / "first", FIRST)
    write_folder(tmp_path / "second", SECOND, per_class=4)
    monkeypatch.chdir(tmp_path)
    return "folder:first", "folder:second"


def subset_file(path: Path, *classes: tuple[str, str]) -> str:
    rows = [SubsetRow(source, name, 1, rank, 0.5, ("t",)) for rank, (source, name) in enumerate(classes, 1)]
    Subset(tuple(rows)).write(path)
    return str(path)


def mean_colour(dataset, label: int) -> np.ndarray:
    chosen = [np.asarray(dataset.image(int(i))) for i in np.flatnonzero(dataset.labels == label)]
    return np.mean(chosen, axis=(0, 1, 2)).round(-1)


def tiny(out: Path, **given) -> PretrainConfig:
    fixed = {"backbone": "resnet8", "image_size": 16, "steps": 2, "batch_size": 8, "lr": 0.01, "workers": 0}
    return PretrainConfig(out=str(out), device="cpu", precision="fp32", **fixed | given)


def test_several_sources_are_one_dataset_and_equal_names_stay_apart(sources):
    dataset = open_sources(sources, None).images
    assert dataset.classes == ("folder:first/both", "one", "two", "folder:second/both", "three")
    assert dataset.counts.tolist() == [6, 6, 6, 4, 4]


def test_a_subset_takes_its_classes_of_both_sources(sources, tmp_path):
    chosen = [("folder:second", "three"), ("folder:first", "two"), ("folder:second", "both"), ("folder:first", "one")]
    file = subset_file(tmp_path / "s.csv", *chosen)
    for given in (sources, sources[::-1], (*sources, "digits:@test"), ()):  # without any: those that it names
        dataset = open_sources(given, file).images
        assert dataset.classes == ("one", "two", "both", "three")
        assert dataset.counts.tolist() == [6, 6, 4, 4]
        first = open_sources(sources[:1], None).images
        for name in ("one", "two"):
            label = dataset.classes.index(name)
            assert mean_colour(dataset, label).tolist() == mean_colour(first, first.classes.index(name)).tolist()


def test_what_the_subset_names_must_be_there(sources, tmp_path):
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"), ("folder:first", "goose"))
    with pytest.raises(InputError, match=r"`subset` .*s.csv: folder:first has no class 'goose' \(1 of 2"):
        open_sources(sources, file)
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"), ("folder:third", "x"))
    with pytest.raises(InputError, match=r"s\.csv: names the source 'folder:third', which is not given; given: folder"):
        open_sources(sources, file)
    with pytest.raises(InputError, match=r"s\.csv: dataset spec 'folder:third': no such directory"):
        open_sources([], file)
    with pytest.raises(InputError, match="no such subset file"):
        open_sources(sources, "none.csv")


def test_one_class_is_not_enough(sources, tmp_path):
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"))
    with pytest.raises(InputError, match="folder:first: training needs at least 2 classes, and there is only 'one'"):
        pretrain(tiny(tmp_path / "run", sources=list(sources), subset=file))
    assert not (tmp_path / "run").exists()


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
    }
    assert {path.name for path in (result.run / "checkpoints").iterdir()} == {"last.safetensors", "last.json"}
    written = json.loads((result.run / "metrics.json").read_text())
    assert written == result.metrics
    assert written["images"] == 10
    assert written["group_images"]["few"] == 10  # the counts behind a figure
    card = find_checkpoint(result.run).card
    assert card["classes"] == ["two", "three"]  # by name, not by rank
    assert card["train_counts"] == [6, 4]

    before = (result.run / "checkpoints" / "last.safetensors").read_bytes()
    again = pretrain(config)
    assert again.reused
    assert again.metrics == result.metrics
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
