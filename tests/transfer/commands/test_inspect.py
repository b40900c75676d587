"""``inspect``: every kind of thing it knows, and what it says of others."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import picture

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from finetune.augmentation import AUGMENTATIONS
from finetune.losses import LOSSES
from finetune.model import ImageClassifier
from finetune.pretraining import PretrainConfig
from finetune.run_directory import RunDirectory
from finetune.samplers import SAMPLERS
from similarity import GEOMETRIES, MEASURES, STRATEGIES
from transfer import ReportConfig, report
from transfer.arm import Arm
from transfer.cli import main
from transfer.commands.inspect import InspectConfig, inspect, show
from transfer.commands.select import SelectConfig, select
from transfer.recipe import Recipe
from transfer.recipe_steps import RecipeSteps


def looked_at(what: object) -> dict:
    """What ``--json`` would print, read again."""
    return json.loads(json.dumps(inspect(InspectConfig(what=str(what))).to_json()))


def test_a_dataset_and_its_tail(tmp_path, write_folder):
    write_folder(tmp_path, {"a": 130, "b": 101, "c": 100, "d": 20, "e": 19, "f": 2})
    found = looked_at(f"folder:{tmp_path}")
    betas, advice, per_class = found.pop("betas"), found.pop("advice"), found.pop("images_per_class")
    assert per_class == {"a": 130, "b": 101, "c": 100, "d": 20, "e": 19, "f": 2}
    assert [row["beta"] for row in betas if row["automatic"]] == [1 - 1 / 130] and len(betas) == 5
    assert advice["loss"] == "balanced-softmax"
    assert found == {
        "kind": "dataset",
        "dataset": f"folder:{tmp_path}",
        "classes": 6,
        "images": 372,
        "largest": 130,
        "smallest": 2,
        "imbalance": 65.0,
        "many": 2,
        "medium": 2,
        "few": 2,
    }


@pytest.fixture
def write_folder():
    """A function that makes empty picture files: none is decoded."""

    def write(root, counts):
        for name, count in counts.items():
            (root / name).mkdir()
            for i in range(count):
                (root / name / f"{i}.jpg").touch()

    return write


def test_the_plot_of_a_dataset(tmp_path):
    plot = tmp_path / "plots" / "tail.png"
    inspect(InspectConfig(what="digits:@train?imbalance=10", plot=str(plot)))
    assert Image.open(plot).size[0] > 500
    with pytest.raises(InputError, match=r"`plot` tail\.svg: expected a file name that ends in \.png"):
        InspectConfig(what="digits:", plot="tail.svg")


def test_a_list_is_a_dataset_whatever_its_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("a/1.jpg 0\na/2.jpg 0\nb/1.jpg 1\n")
    found = looked_at("list:train.csv")
    assert (found["kind"], found["classes"], found["images"]) == ("dataset", 2, 3)


def test_one_class_is_a_pool_without_labels(tmp_path, write_folder, capsys):
    write_folder(tmp_path, {"a": 3})
    config = InspectConfig(what=f"images:{tmp_path}")
    show(config, inspect(config))
    said = capsys.readouterr().out
    assert (
        f"transfer cluster {tmp_path.name}.h5 --out {tmp_path.name}-clusters.h5" in said
        and "advised: --loss" not in said
    )


def test_a_bank(write_bank):
    found = looked_at(write_bank("source", np.zeros((3, 5)), counts=[120, 20, 4]))
    assert found["kind"] == "bank"
    assert found["dataset"] == "folder:source"
    assert found["schema"] == "transfer.feature-bank"
    assert (found["classes"], found["images"], found["dimensions"], found["skipped"]) == (3, 144, 5, [])
    assert (found["many"], found["medium"], found["few"]) == (1, 1, 1)


def test_a_subset(banks, tmp_path):
    out = str(tmp_path / "s.csv")
    select(SelectConfig(target=[banks["target"]], source=[banks["near"]], classes=2, out=out, strategy="nearest"))
    found = looked_at(out)
    assert (found["kind"], found["classes"], found["strategy"]) == ("subset", 2, "nearest")
    assert [row["rank"] for row in found["selected"]] == [1, 2]


def test_nested_entries_are_indented_and_those_without_a_value_are_left_out(banks, tmp_path, capsys):
    out = tmp_path / "run"
    RunDirectory(out, PretrainConfig(sources=["digits:"], out=str(out)), {"training data": "x"})
    show(InspectConfig(what=str(out)), inspect(InspectConfig(what=str(out))))
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("inputs:") + 1] == "  training data: x"
    assert "  sources: digits:" in lines[lines.index("config:") :]
    assert not [line for line in lines if "None" in line or "{" in line or line.startswith("metrics")]
    subset = str(tmp_path / "s.csv")
    select(SelectConfig(target=[banks["target"]], source=[banks["near"]], classes=2, out=subset, strategy="nearest"))
    show(InspectConfig(what=subset), inspect(InspectConfig(what=subset)))
    said = capsys.readouterr().out
    assert "{" not in said and "  dataset: folder:target" in said.splitlines()
    assert (
        len(said.partition("selected:\n")[2].partition("\nnext:")[0].splitlines()) == 3
    )  # the head and a row per class


def test_another_table(tmp_path):
    write_table(
        tmp_path / "d.csv", {"source": "folder:x", "threshold": 0.5}, ("id", "cosine"), [("a", 0.9), ("b", 0.8)]
    )
    found = looked_at(str(tmp_path / "d.csv"))
    expected = {"columns": ["id", "cosine"], "rows": 2, "source": "folder:x", "threshold": 0.5}
    assert found == {"kind": "table", **expected}
    write_table(tmp_path / "none.csv", {"kind": "mine"}, ("id", "cosine"), [])
    assert looked_at(str(tmp_path / "none.csv")) == {"kind": "table", "columns": ["id", "cosine"], "rows": 0}


def test_a_run_and_a_checkpoint(tmp_path):
    out = tmp_path / "run"
    run = RunDirectory(out, PretrainConfig(sources=["digits:"], out=str(out)), {"training data": "x"})
    found = looked_at(out)
    assert (found["kind"], found["run"], found["metrics"]) == ("run", "pretrain", None)
    assert found["config"]["sources"] == ["digits:"]
    model = ImageClassifier(load_backbone("resnet8", "none"), ["a", "b"])
    model.save(run.checkpoints / "last.safetensors", {"sigmoid": False, "train_counts": [1, 2]})
    found = looked_at(run.checkpoints / "last.safetensors")
    assert (found["kind"], found["backbone"], found["classes"]) == ("checkpoint", "resnet8", ["a", "b"])


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("losses", LOSSES),
        ("samplers", SAMPLERS),
        ("augmentations", AUGMENTATIONS),
        ("geometries", GEOMETRIES),
        ("strategies", STRATEGIES),
        ("measures", MEASURES),
        ("schemes", ("folder", "cub", "inat", "list", "torch", "digits")),
        ("backbones", ("resnet50", "efficientnet_lite0", "resnet32")),
    ],
)
def test_names(what, expected):
    found = looked_at(what)
    assert found["kind"] == "names"
    said = json.dumps(found)
    assert all(f'"{name}"' in said for name in expected)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "nothing",
            "not a dataset spec (scheme:location), bank (.h5), run directory, directory of results, checkpoint or",
        ),
        ("lossses", "; did you mean losses?"),
        ("loss", "; did you mean losses?"),
        ("backbone", "; did you mean backbones?"),
        ("glyphs", "; did you mean glyphs:?"),
        ("resnet18", "; resnet18 is listed by: transfer inspect backbones"),
        ("softmax", "; softmax is listed by: transfer inspect losses"),
        ("none.h5", "none.h5: no such feature bank"),
        ("folder:none", "no such directory: none"),
        ("foldr:none", "unknown scheme 'foldr'; did you mean folder?"),
    ],
)
def test_what_it_does_not_know(what, message):
    with pytest.raises(InputError) as refusal:
        looked_at(what)
    assert message in str(refusal.value)


def test_a_table_that_is_missing_may_be_of_any_kind():
    with pytest.raises(InputError) as refusal:
        looked_at("none.csv")
    assert str(refusal.value) == "none.csv: no such table"


def test_a_directory_that_holds_no_run(tmp_path):
    (tmp_path / "config.yaml").write_text("theme: dark")
    with pytest.raises(InputError, match="no run there"):
        looked_at(tmp_path)


def test_the_commands_that_follow_need_no_download_and_can_be_typed(tmp_path, capsys):
    for image in ("my birds/owl/1.png", "my birds/owl/2.png", "my birds/wren/1.png"):
        picture(tmp_path / image)
    assert main(["inspect", f"folder:{tmp_path}/my birds"]) == 0
    following = [shlex.split(line) for line in capsys.readouterr().out.partition("next:\n")[2].splitlines()]
    for words, option in zip(following, ("--backbone", "--init"), strict=True):
        assert words[2] == f"folder:{tmp_path}/my birds" and words[words.index(option) + 1] == "efficientnet_lite0"


def test_a_tail_is_shown_where_there_is_one(tmp_path, write_folder, capsys):
    write_folder(tmp_path, {"a": 3, "b": 3})
    assert main(["inspect", f"folder:{tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "many" not in shown and "β" not in shown and "there is nothing to correct" in shown
    write_folder(tmp_path, {"c": 1})
    assert main(["inspect", f"folder:{tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "many" not in shown  # all classes are in one group
    assert "weights of the largest and the smallest class for each β" in shown


def test_groups_of_classes_are_explained_where_there_are_several(capsys):
    assert main(["inspect", "digits:@train?imbalance=20"]) == 0
    captured = "".join(capsys.readouterr())
    assert "many: classes of more than 100 images; medium: of 20 to 100; few: of fewer than 20" in captured


def test_the_keys_of_a_recipe(capsys):
    found = looked_at("recipe-keys")
    keys = [f"arms: NAME: {field.name}" for field in fields(Arm)]
    assert list(found) == [*(field.name for field in fields(Recipe)), *keys, "kind"]
    assert found["sources"].endswith("(a list of texts)") and "required" in found["target"]
    assert main(["inspect", "recipe-keys", "*floor"]) == 0
    assert capsys.readouterr().out.startswith("arms: NAME: floor: With use weighted, share of the images")


def test_a_trial_that_is_not_finished(tmp_path):
    (tmp_path / "trial.json").write_text("{}")
    with pytest.raises(InputError, match="is a trial that is not finished"):
        looked_at(tmp_path)


def test_a_recipe_that_is_not_finished(tmp_path):
    """Whichever step is the last that was begun, it is no dataset of the classes banks and finetune."""
    recipe = {"name": "small", "target": "digits:@train?per_class=2", "test": "digits:@test?per_class=2"}
    steps = RecipeSteps(Recipe(**recipe, arms={"scratch": Arm()}), tmp_path / "results", "recipe")
    bank, run = Path(steps.bank(recipe["target"]).out), Path(steps.last("scratch", Arm(), None, None, 0).out)
    for begun in (bank, bank.with_name(f"{bank.name}.resume"), run / "config.yaml"):
        begun.parent.mkdir(parents=True)
        begun.touch()
        for read in (looked_at, lambda place: report(ReportConfig(run=str(place)))):
            with pytest.raises(InputError, match="holds a recipe that is not finished; the same transfer run"):
                read(tmp_path / "results")
        shutil.rmtree(tmp_path / "results")
    (tmp_path / "own" / "banks").mkdir(parents=True)
    (tmp_path / "own" / "banks" / "digits.h5").touch()
    with pytest.raises(InputError, match="for this path, type"):
        looked_at(tmp_path / "own")


def test_the_documented_keys(made_run, said):
    assert said("inspect", made_run)["run"] == "pretrain"
    assert said("inspect", "digits:@train?per_class=5")["images"] == 50


def test_a_dataset_shows_its_classes(tmp_path, capsys):
    for name in "abcdefghij":
        picture(tmp_path / name / "1.png")
    picture(tmp_path / "a" / "2.png")
    assert main(["inspect", f"folder:{tmp_path}"]) == 0
    assert "classes: a (2), b (1), c (1), d (1), e (1), f (1), g (1), h (1) and 2 more\n" in capsys.readouterr().out
    assert main(["inspect", f"folder:{tmp_path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images_per_class"]["j"] == 1
