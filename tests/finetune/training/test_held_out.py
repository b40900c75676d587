"""Images held out are none that the runs before were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import open_dataset
from features.infrastructure.errors import InputError
from finetune import (
    FinetuneConfig,
    FitClassifierConfig,
    PretrainConfig,
    finetune,
    fit_classifier,
    open_run,
    pretrain,
)
from finetune.source_classes import open_sources
from finetune.training.held_out import held_out_of, split_off
from finetune.training.validation import identities
from similarity import Subset, SubsetRow

TRAIN = "digits:@train?per_class=8"
CPU = {"device": "cpu", "precision": "fp32", "workers": 0}
TINY = {"init": "resnet8", "weights": "none", "image_size": 16, "steps": 2, **CPU}


def test_what_an_earlier_run_has_seen_is_not_held_out(tmp_path):
    finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "all"), **TINY))
    again = {"dataset": TRAIN, "init": str(tmp_path / "all"), "classifier": "keep", "steps": 2, **CPU}
    said = r"all, or a run that it starts from, was trained on 80 of the 80 images, .* give the spec of a dataset"
    with pytest.raises(InputError, match=f"^`validation` 3: .*{said}"):
        finetune(FinetuneConfig(out=str(tmp_path / "part"), validation=3, **again))
    with pytest.raises(InputError, match=f"^`search`: `validation` 1: .*{said}"):
        finetune(FinetuneConfig(out=str(tmp_path / "part"), search=True, **again))
    assert not (tmp_path / "part").exists()
    # Also where another run stands between them, and from a checkpoint of it.
    finetune(FinetuneConfig(out=str(tmp_path / "digits"), **again | {"dataset": "digits:@test?per_class=4"}))
    checkpoint = str(tmp_path / "digits" / "checkpoints" / "last.safetensors")
    with pytest.raises(InputError, match=said.removeprefix("all")):
        finetune(FinetuneConfig(out=str(tmp_path / "part"), validation=3, **again | {"init": checkpoint}))
    finetune(FinetuneConfig(out=str(tmp_path / "others"), validation="digits:@test", **again))


def identities_of(spec: str, held: int, seed: int, start: str = "") -> set[str]:
    """The images that a training on a dataset holds out."""
    images = open_sources([spec], None).images
    return set(identities(split_off(images, held, seed, start=start).validation))


def test_a_run_continued_on_some_classes_holds_out_what_it_held_out_before(tmp_path, write_folder):
    spec = f"folder:{tmp_path}/images"
    write_folder(tmp_path / "images", dict.fromkeys("abcd", 0), per_class=9)
    rows = (SubsetRow(spec, name, 9, rank, 0.5, (), 0.5) for rank, name in enumerate("db", 1))
    Subset(tuple(rows)).write(tmp_path / "s.csv")
    every = {"sources": [spec], "backbone": "resnet8", "image_size": 16, "steps": 2, "validation": 3, **CPU}
    first = pretrain(PretrainConfig(out=str(tmp_path / "all"), seed=5, **every)).run
    before = identities_of(spec, 3, 5)
    subset = {"subset": str(tmp_path / "s.csv"), "init": str(first), "steps": 2, "seed": 6, **CPU}
    found = pretrain(PretrainConfig(out=str(tmp_path / "on"), validation=3, **subset))
    chosen = open_sources([], str(tmp_path / "s.csv")).images
    held = split_off(chosen, 3, 6, start=str(first))
    assert set(identities(held.validation)) == {one for one in before if Path(one).parent.name in "bd"}
    inputs = open_run(found.run)["environment"]["inputs"]
    assert inputs["validation data"] == held.validation.manifest_sha256
    assert not before & set(identities(held.training)) and len(held.training) == 12
    # Fewer of them, but not more; and the second run in the chain counts too.
    assert set(identities(split_off(chosen, 1, 6, start=str(first)).validation)) < before
    with pytest.raises(InputError, match=r"was trained on 12 of the 18 images, and has not seen 3 of class 'b'"):
        split_off(chosen, 4, 6, start=str(first))
    assert identities_of(spec, 3, 7, start=str(found.run)) == before
    # The classes that no run was trained on are drawn as without one.
    write_folder(tmp_path / "others", {"x": 0, "y": 1}, per_class=9)
    others = f"folder:{tmp_path}/others"
    assert identities_of(others, 3, 1, start=str(first)) == identities_of(others, 3, 1)


def test_images_to_co_train_on_are_trained_on(tmp_path):
    source = "digits:@test?per_class=9"
    Subset(tuple(SubsetRow(source, f"digit {i}", 9, 1, 0.5, (), 0.5) for i in range(2))).write(tmp_path / "s.csv")
    finetune(FinetuneConfig(dataset=TRAIN, out=str(tmp_path / "run"), with_=str(tmp_path / "s.csv"), **TINY))
    chosen = open_sources([], str(tmp_path / "s.csv")).images
    with pytest.raises(InputError, match="was trained on 18 of the 18 images"):
        split_off(chosen, 2, 0, start=str(tmp_path / "run"))


def test_tau_may_be_chosen_on_what_the_run_held_out(tmp_path):
    run = tmp_path / "run"
    finetune(FinetuneConfig(dataset=TRAIN, out=str(run), validation=3, seed=4, **TINY))
    held = held_out_of(str(run), open_dataset(TRAIN), 3)
    expected = split_off(open_dataset(TRAIN), 3, 4).validation
    assert held.ids == expected.ids and len(held) == 30
    tau = {"dataset": TRAIN, "init": str(run), "method": "tau", **CPU}
    result = fit_classifier(FitClassifierConfig(out=str(tmp_path / "tau"), validation="3", **tau))
    assert "over the classes of 3 images a class held out of" in (Path(result.run) / "log.txt").read_text()
    assert result.metrics["fit"].startswith("τ = ")
    for given, said in (
        ({"validation": 2}, "was trained with `validation` 3; give that"),
        (
            {"validation": 3, "dataset": "digits:@train?per_class=9"},
            "was not trained on .* with it, so that it may have seen",
        ),
    ):
        with pytest.raises(InputError, match=said):
            fit_classifier(FitClassifierConfig(out=str(tmp_path / "other"), **tau | given))
