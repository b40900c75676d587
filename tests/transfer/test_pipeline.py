"""A whole recipe on small made images: every step, their reuse, the page."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from features import open_dataset
from similarity import Subset
from transfer.cli import main

COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30), (30, 220, 220), (220, 30, 220)]


def write_images(root: Path, classes: list[str], per_class: int, seed: int) -> None:
    """Noisy pictures whose colour is their class."""
    generator = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.clip(COLOURS[number] + generator.normal(0, 25, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / "source", ["a", "b", "c", "d", "e", "f"], 8, seed=0)
    write_images(tmp_path / "target" / "train", ["x", "y"], 6, seed=1)
    write_images(tmp_path / "target" / "test", ["x", "y"], 5, seed=2)
    recipe = {
        "name": "tiny",
        "sources": ["folder:source"],
        "target": "folder:target@train",
        "test": "folder:target@test",
        "classes": 2,
        "seeds": [0, 1],
        "extract": {"backbone": "resnet8", "weights": "none", "image_size": 16},
        "rank": {"bootstrap": 3},
        "arms": {
            "scratch": {},
            "random": {"strategy": "random"},
            "all": {"strategy": "all"},
            "paper": {"strategy": "nearest", "geometry": "euclidean"},
        },
        "pretrain": {"backbone": "resnet8", "image_size": 16, "steps": 3, "batch_size": 8, "augment": "none"},
        "finetune": {"steps": 3, "batch_size": 8, "augment": "none"},
    }
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def edit(path: Path, **changes: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False))


def test_a_recipe_runs_to_its_page_and_reuses_every_step(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", "recipe.yaml", "--json"]) == 0
    printed = capsys.readouterr()
    first = json.loads(printed.out)
    notes = Counter(line.partition(": ")[2] for line in printed.err.splitlines() if ": by default " in line)
    assert notes and max(notes.values()) <= 2  # once for the pre-trainings, and once for the fine-tunings
    logs = [Path(run["run"], "log.txt").read_text() for arm in first["arms"] for run in arm["runs"]]
    assert all(": by default " in log for log in logs)
    assert [arm["arm"] for arm in first["arms"]] == ["scratch", "random", "all", "paper"]
    for arm in first["arms"]:
        accuracies = [run["top1"] for run in arm["runs"]]
        assert len(accuracies) == 2
        assert arm["top1_mean"] == pytest.approx(np.mean(accuracies))
        assert arm["top1_std"] == pytest.approx(np.std(accuracies, ddof=1))
        assert all(run["images"] == 10 for run in arm["runs"])
    assert len(first["selected"]) == 2
    assert {row["class"] for row in first["selected"]} <= set("abcdef")
    assert len(first["selections"]["all"]) == 6
    page = Path(first["report"]).read_text()
    assert "<html" in page and 'src="http' not in page and page.count("data:image/svg+xml") >= 4

    # Nothing is trained or extracted again: any attempt would fail.
    import features.forward_pass
    import finetune.training.engine

    monkeypatch.setattr(features.forward_pass, "fetched", None)
    monkeypatch.setattr(finetune.training.engine, "train", None)
    second = run_json(capsys, "run", "recipe.yaml")
    assert second["arms"] == first["arms"]
    assert second["selected"] == first["selected"]
    assert (first["steps_before"], second["steps_before"]) == (0, 2 + 3 * 2 + 4 * 2)

    assert run_json(capsys, "inspect", "runs/tiny")["arms"] == first["arms"]
    assert main(["inspect", "runs/tiny"]) == 0
    shown = capsys.readouterr().out
    assert "tiny: the arms of a recipe, judged on folder:target@test" in shown and "transfer report runs/tiny" in shown
    chosen = ", ".join(row["class"] for row in first["selected"])
    assert "second" not in shown  # the last call reused every step
    assert f"chosen by paper: {chosen}\n" in shown  # all of them, so that no dots follow


def test_a_changed_budget_makes_new_runs_and_keeps_the_old(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(recipe_file, arms={"scratch": {}}, seeds=[0])
    before = run_json(capsys, "run", "recipe.yaml")["arms"][0]["runs"][0]["run"]
    edit(recipe_file, finetune={"steps": 4, "batch_size": 8, "augment": "none"})
    after = run_json(capsys, "run", "recipe.yaml")["arms"][0]["runs"][0]["run"]
    assert before != after
    assert (Path(before) / "metrics.json").is_file() and (Path(after) / "metrics.json").is_file()


def test_a_changed_image_makes_a_new_bank(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(recipe_file, arms={"scratch": {}}, seeds=[0])
    before = run_json(capsys, "run", "recipe.yaml")["banks"]
    Image.new("RGB", (16, 16), "white").save(recipe_file.parent / "source" / "a" / "new.png")
    after = run_json(capsys, "run", "recipe.yaml")["banks"]
    assert before["folder:source"] != after["folder:source"]
    assert before["folder:target@train"] == after["folder:target@train"]


def test_each_seed_can_draw_its_own_target(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(
        recipe_file,
        target="folder:target@train?per_class=2&seed={seed}",
        arms={"paper": {"strategy": "nearest", "geometry": "euclidean"}},
    )
    result = run_json(capsys, "run", "recipe.yaml")
    ids = []
    for run in result["arms"][0]["runs"]:
        config = yaml.safe_load((Path(run["run"]) / "config.yaml").read_text())
        assert config["dataset"].endswith(f"seed={run['seed']}")
        ids.append(tuple(open_dataset(config["dataset"]).ids))
    assert len(ids[0]) == len(ids[1]) == 4
    assert ids[0] != ids[1]
    names = sorted(path.name for path in Path("runs/tiny/subsets").iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["paper-seed0", "paper-seed1"]


def test_the_last_step_may_fit_a_classifier_to_frozen_features(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(recipe_file, arms={"random": {"strategy": "random"}}, seeds=[0], finetune={"method": "linear"})
    (run,) = run_json(capsys, "run", "recipe.yaml")["arms"][0]["runs"]
    assert json.loads((Path(run["run"]) / "environment.json").read_text())["run"] == "fit-classifier"
    assert run["images"] == 10


def test_numbers_that_yaml_reads_as_text_are_numbers(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe_file.write_text(recipe_file.read_text().replace("  augment: none\nfinetune", "  lr: 1e-3\nfinetune"))
    assert yaml.safe_load(recipe_file.read_text())["pretrain"]["lr"] == "1e-3"
    edit(recipe_file, arms={"random": {"strategy": "random"}}, seeds=[0])
    assert run_json(capsys, "run", "recipe.yaml")["arms"]


#: An option of each arm that makes another training.
CHANGED = {"weighted": "floor", "co-trained": "with_weight"}


def test_every_use_of_a_choice_is_an_arm(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {"strategy": "mutual-proximity"}
    arms = {
        "plain": chosen,
        "continued": {**chosen, "use": "continued"},
        "weighted": {**chosen, "use": "weighted", "floor": 0.2},
        "co-trained": {**chosen, "use": "co-trained", "with_weight": 0.5},
        "left-out": {**chosen, "drop": 2},
        "all-continued": {"strategy": "all", "use": "continued"},
    }
    edit(recipe_file, arms=arms, seeds=[0])
    found = run_json(capsys, "run", "recipe.yaml")
    configs = {}
    for path in Path("runs/tiny/pretrain").iterdir():
        configs[path.name.rpartition("-seed0-")[0]] = yaml.safe_load((path / "config.yaml").read_text())
    assert configs.keys() == {"plain", "continued", "weighted", "left-out", "half-of-all", "all-continued"}
    half = Path(configs["continued"]["init"])
    assert half.name.startswith("half-of-all") and configs["all-continued"]["init"] == str(half)
    assert (configs["half-of-all"]["steps"], configs["continued"]["steps"], configs["plain"]["steps"]) == (1, 2, 3)
    assert configs["weighted"]["floor"] == 0.2 and configs["weighted"]["subset"] is None
    weights = [row.weight for row in Subset.read(configs["weighted"]["class_weights"]).rows]
    assert sum(weights) == pytest.approx(1)  # of all classes, not of the two that are chosen elsewhere
    assert len(Path(configs["left-out"]["subset"]).read_text().splitlines()) == 2 + 4
    runs = {
        arm["arm"]: yaml.safe_load((Path(arm["runs"][0]["run"]) / "config.yaml").read_text()) for arm in found["arms"]
    }
    assert runs["co-trained"]["with_weight"] == 0.5 and runs["co-trained"]["init"] == str(half)
    assert runs["plain"]["with_"] is None
    page = Path(found["report"]).read_text().replace("<wbr>", "")
    for words in ("continued after half of the steps on all", "all, drawn by mutual-proximity", "all but 2 by mutual"):
        assert words in page
    finished = {path: path.stat().st_mtime_ns for path in Path("runs/tiny").rglob("metrics.json")}
    assert run_json(capsys, "run", "recipe.yaml")["arms"] == found["arms"]
    assert {path: path.stat().st_mtime_ns for path in Path("runs/tiny").rglob("metrics.json")} == finished
    edit(recipe_file, arms={name: arms[name] | {option: 0.3} for name, option in CHANGED.items()})
    changed = {arm["arm"]: arm["runs"][0]["run"] for arm in run_json(capsys, "run", "recipe.yaml")["arms"]}
    for arm in found["arms"]:
        assert arm["arm"] not in CHANGED or arm["runs"][0]["run"] != changed[arm["arm"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"one": {"strategy": "nearest", "use": "weighted"}}}, "strategy nearest does not tell how much"),
        (
            {"arms": {"one": {"strategy": "nearest", "use": "continue"}}},
            "use continue: there is no such use; did you mean continued?",
        ),
        (
            {"arms": {"scratch": {"use": "continued"}}},
            "use continued: is for an arm that chooses; give it a strategy, such as",
        ),
        (
            {"arms": {"scratch": {"classes": 5}}},
            "classes 5: is for an arm that chooses; give it a strategy",
        ),
        (
            {"arms": {"one": {"init": "resnet8", "classes": 2, "geometry": "euclidean"}}},
            "such as mutual-proximity; geometry euclidean: is for an arm that chooses",
        ),
        ({"arms": {"one": {"strategy": "nearest", "floor": 0.3}}}, "floor 0.3: is for use weighted; leave it out"),
        ({"arms": {"one": {"strategy": "nearest", "classes": 2, "drop": 2}}}, "classes and drop both set the size"),
        (
            {"arms": {"one": {"strategy": "importance", "use": "weighted", "classes": 2}}},
            "classes: is not for use weighted, which draws from all classes",
        ),
        (
            {"arms": {"one": {"strategy": "nearest", "use": "continued"}}, "pretrain": {"epochs": 1}},
            "use continued halves the steps of pre-training; give at least 2 steps in pretrain",
        ),
        (
            {"arms": {"one": {"strategy": "nearest", "use": "continued"}}, "pretrain": {"steps": 4, "search": True}},
            "pretrain: search holds images out, which the first half of use continued is trained on; give validation",
        ),
        ({"arms": {"one": {"strategy": "all", "drop": 2}}}, "drop: strategy all takes every class; leave it out"),
        ({"finetune": {"with": "x.csv"}}, "finetune: with is set by the recipe itself"),
        ({"select": {"influence": "x.csv"}}, "select: influence is set by the recipe itself"),
        (
            {"arms": {"one": {"strategy": "nearest", "drop": 2}}, "select": {"images": 9}},
            "arm one: drop 2 has no budget of images; leave out images in select",
        ),
        (
            {"arms": {"one": {"strategy": "nearest", "use": "continued"}}, "pretrain": {"steps": 4, "loss": "ldam"}},
            "arm one, pretrain: loss ldam: needs a cosine classifier",
        ),
        (
            {"arms": {"one": {"strategy": "importance", "use": "weighted"}}, "pretrain": {"sampler": "sqrt"}},
            "sampler sqrt and class_weights both say how classes are drawn",
        ),
        (
            {
                "arms": {"one": {"strategy": "nearest", "use": "co-trained"}},
                "pretrain": {"steps": 4},
                "finetune": {"freeze": 1},
            },
            "has no effect with freeze 1",
        ),
        (
            {"arms": {"one": {"strategy": "nearest", "use": "co-trained"}}, "finetune": {"method": "linear"}},
            "method linear fits a classifier to frozen features",
        ),
        ({"arms": {"one": {"strategy": "nearst"}}}, "nearst"),
        ({"arms": {"one": {"stratgy": "nearest"}}}, "did you mean strategy?"),
        ({"arms": {}}, "at least one arm"),
        (
            {"arms": {"toolkit": {}}},
            "arm toolkit: has neither strategy nor init; give one of them, or call the arm",
        ),
        ({"arms": {"scratch": {}, "paper": {}}}, "arm paper: has neither strategy nor init"),
        ({"arms": {"one": {"classes": 0}}}, "arm one: classes 0: expected at least 1"),
        ({"pretrain": {"lr": "fast"}}, "pretrain: lr fast: expected a number"),
        ({"pretrain": {"out": "x"}}, "out is set by the recipe itself"),
        ({"finetune": {"epochs": 1, "steps": 1}}, "give one"),
        ({"extract": {"bakbone": "resnet8"}}, "did you mean backbone?"),
        ({"sources": "folder:source"}, 'sources folder:source: expected a list of texts, such as ["folder:source"]'),
        ({"target": "folder:nowhere@train"}, "recipe.yaml, target: dataset spec 'folder:nowhere@train': no such"),
        ({"sources": ["foldr:source"]}, "recipe.yaml, sources: dataset spec 'foldr:source': unknown scheme 'foldr'"),
        ({"archives": ["missing.tar"]}, "missing.tar: no such archive"),
        ({"classes": 0}, "classes 0"),
        ({"finetune": {"classifier": "keep"}}, "leave out classifier: keep"),
        ({"finetune": {"method": "lws"}}, "methods logit-adjusted, lws, tau"),
        ({"seeds": [0, 0]}, "expected different integers"),
        ({"finetune": {"seed": 3}}, "seed is set by the recipe itself"),
        ({"rank": {"explain": "why.csv"}}, "explain is set by the recipe itself"),
        ({"select": {"overwrite": True}}, "overwrite is set by the recipe itself"),
        ({"select": {"strategy": "all"}}, "strategy is set by the recipe itself"),
        ({"arms": {"one": {"strategy": "nearest", "geometry": "whitend"}}}, "whitend"),
        ({"test": "folder:source"}, "recipe.yaml, test: "),
    ],
)
def test_a_wrong_recipe_is_one_line_before_any_work(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], changes: dict, said: str
) -> None:
    edit(recipe_file, **changes)
    assert main(["run", "recipe.yaml"]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(recipe_file.parent.glob("runs/**/metrics.json"))


def test_a_key_that_stands_twice_is_refused(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe_file.write_text(recipe_file.read_text() + "\nclasses: 3\n")
    assert main(["run", "recipe.yaml"]) == 2
    assert "the key 'classes' is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": 7}, "arm random: classes 7: not possible for folder:target@train; the sources have 6 classes"),
        ({"select": {"min_count": 8}, "classes": 7}, "the sources have 6 classes of at least 8 images"),
        ({"arms": {"less": {"strategy": "nearest", "drop": 6}}}, "arm less: drop 6: not possible; the sources have 6"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_choice_that_is_not_possible_is_refused_before_any_work(
    recipe_file: Path, capsys: pytest.CaptureFixture[str], changes: dict, said: str, dry: list[str]
) -> None:
    edit(recipe_file, **changes)
    assert main(["run", "recipe.yaml", *dry]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(recipe_file.parent.glob("runs/**/*"))
