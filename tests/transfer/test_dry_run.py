"""``--dry-run`` says what would be done, agrees with what is done, and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from similarity import Subset, SubsetRow
from transfer.cli import main

TRAIN, TEST = "digits:@train?per_class=6", "digits:@test?per_class=4"
NETWORK = ["--weights", "none", "--device", "cpu", "--precision", "fp32", "--workers", "0"]


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_extraction(said):
    argv = ["extract", TRAIN, "--backbone", "resnet8", "--out", "bank.h5", *NETWORK]
    found = said(*argv, "--dry-run")
    assert found["reads"] == [f"60 images of 10 classes: {TRAIN}"] and found["writes"] == "bank.h5"
    assert "features of 60 images by resnet8 at 32 px" in found["computes"][0] and found["seconds"] > 0
    assert not found["exists"] and not list(Path().iterdir())
    assert said(*argv)["images"] == 60 and said(*argv, "--dry-run")["exists"]
    part = said(*argv[:-2], "--shard", "2/7", "--out", "part.h5", "--dry-run")["computes"][0]
    assert "features of 9 images" in part and said(*argv, "--shard", "2/7", "--out", "part.h5")["images"] == 9


def test_an_extraction_by_ray(said, refused, monkeypatch):
    argv = ["extract", TRAIN, "--backbone", "resnet8", "--out", "bank.h5", *NETWORK, "--engine", "ray", "--dry-run"]
    with monkeypatch.context() as patch:
        patch.setattr("features.extraction.ray_engine.find_spec", lambda name: "found")
        found = said(*argv)
    words = "on workers of Ray, which are not in the time: it is that of this machine alone"
    assert found["computes"][1:] == [words] and found["seconds"] > 0
    monkeypatch.setattr("features.extraction.ray_engine.find_spec", lambda name: None)
    assert "Ray is not installed" in refused(*argv)


def test_no_weights_are_downloaded(said, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a dry run downloads nothing")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setenv("TORCH_HOME", str(Path().absolute() / "none"))
    machine = ["--device", "cpu", "--precision", "fp32", "--image-size", "32", "--dry-run"]
    line = "the published weights of resnet18, which are downloaded on first use; that is not in the time"
    for argv in (["extract", TRAIN, "--backbone", "resnet18"], ["finetune", TRAIN, "--init", "resnet18"]):
        found = said(*argv, "--out", "out.h5", *machine)
        assert found["computes"][-1] == line and found["seconds"] > 0
    found = said("extract", TRAIN, "--backbone", "resnet8", "--out", "out.h5", *NETWORK, "--dry-run")
    assert len(found["computes"]) == 1


def test_a_training_takes_the_steps_that_it_says(said):
    argv = ["finetune", TRAIN, "--init", "resnet8", "--out", "run", "--test", TEST, "--epochs", "3", *NETWORK]
    argv += ["--batch-size", "16"]
    found = said(*argv, "--dry-run")
    assert found["reads"] == [f"60 images of 10 classes: {TRAIN}", f"40 images of 10 classes: {TEST}"]
    assert found["computes"][0].startswith("9 steps of 16 images (each image 2.4 times on average), resnet8 at 32 px")
    assert not list(Path().iterdir())
    said(*argv)
    assert Path("run/history.csv").read_text().splitlines()[-1].split(",")[1] == "9"


def test_a_step_that_adds_up_batches_is_one_step(said):
    argv = ["finetune", TRAIN, "--init", "resnet8", "--out", "run", "--epochs", "3", *NETWORK]
    argv += ["--batch-size", "10", "--accumulate-grad-batches", "2"]
    assert said(*argv, "--dry-run")["computes"][0].startswith("9 steps of 20 images (each image 3.0 times on average)")
    said(*argv)
    assert Path("run/history.csv").read_text().splitlines()[-1].split(",")[1] == "9"


def test_other_trainings(said):
    found = said("pretrain", TRAIN, "--backbone", "resnet8", "--steps", "5", "--out", "run", *NETWORK, "--dry-run")
    assert found["computes"][0].startswith("5 steps of 128 images")
    argv = ["pretrain", TRAIN, "--backbone", "resnet8", "--steps", "1", "--batch-size", "5", "--out", "run", *NETWORK]
    assert said(*argv, "--dry-run")["computes"][0].startswith("1 steps of 5 images (8.3 % of the images)")
    argv = ["fit-classifier", TRAIN, "--init", "resnet8", "--method", "ncm", "--out", "run", *NETWORK]
    assert "and a classifier by ncm" in said(*argv, "--dry-run")["computes"][0]
    assert not list(Path().iterdir())


def test_a_recipe(said):
    Path("recipe.yaml").write_text(
        f"name: r\ntarget: {TRAIN}\ntest: {TEST}\nseeds: [0, 1]\narms: {{scratch: }}\nfinetune: {{steps: 2}}\n"
    )
    found = said("run", "recipe.yaml", "--dry-run")
    assert found["computes"][-1] == "2 fine-tunings: scratch; seeds [0, 1]" and found["writes"] == "runs/r"
    assert found["computes"][0].startswith("1 extraction: features of 60 images by resnet50") and found["seconds"] > 0


def test_a_recipe_that_is_finished_takes_no_time(said):
    network = "{backbone: resnet8, weights: none, device: cpu, workers: 0}"
    Path("recipe.yaml").write_text(
        f"name: r\nsources: ['glyphs:LATIN?per_class=4']\ntarget: {TRAIN}\ntest: {TEST}\nclasses: 3\nseeds: [0]\n"
        f"extract: {network}\npretrain: {{backbone: resnet8, steps: 4, batch_size: 16, device: cpu, workers: 0}}\n"
        "finetune: {epochs: 1, batch_size: 30, device: cpu, workers: 0}\n"
        "arms: {scratch: , one: {strategy: nearest, use: continued}, two: {strategy: random, use: continued}}\n"
    )
    before = said("run", "recipe.yaml", "--dry-run")
    assert before["computes"][0].startswith("2 extractions: features of ") and "resnet8" in before["computes"][0]
    assert before["computes"][1:] == [
        "3 pre-trainings of 6 steps together",  # the arms share their first halves
        "3 fine-tunings: scratch, one, two; seeds [0]",
    ]
    assert before["seconds"] > 0 and not Path("runs").exists()
    said("run", "recipe.yaml")
    after = said("run", "recipe.yaml", "--dry-run")
    assert after["computes"] == [
        "no extraction (2 of 2 are finished)",
        "no pre-training (3 of 3 are finished)",
        "no fine-tuning (3 of 3 are finished): scratch, one, two; seeds [0]",
    ]
    assert after["seconds"] is None


def test_a_wrong_recipe_is_refused_in_the_same_words(refused):
    text = f"name: r\ntarget: {TRAIN}\ntest: {TEST}\n"
    for wrong in ("arms: {one: {strategy: nearest, use: continue}}", "test: digits:@tset\narms: {scratch: }"):
        Path("recipe.yaml").write_text((text if "test" not in wrong else text.partition("test")[0]) + wrong)
        told = refused("run", "recipe.yaml", "--dry-run")
        assert told == refused("run", "recipe.yaml") and told.startswith("transfer run: error: recipe.yaml, ")
        assert "--" not in told


def test_what_is_wrong_is_refused_as_without_it(refused):
    assert "no such directory" in refused("extract", "folder:nowhere", "--out", "x.h5", "--dry-run")
    assert "this command takes little time" in refused("compare", "a", "b", "--dry-run")


def refused_line(capsys, *argv: str) -> str:
    """The last line of a command that must end with status 2; notes on the sources stand before it."""
    assert main(list(argv)) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_subset_files_of_a_training_are_read(said, capsys):
    network = ["--device", "cpu", "--precision", "fp32", "--workers", "0", "--steps", "2", "--out", "run"]
    said("pretrain", TEST, "--backbone", "resnet8", *network[:-1], "start")
    rows = [SubsetRow(TEST, f"digit {i}", 4, i + 1, 0.5, (), 0.5) for i in range(3)]
    Subset(tuple(rows)).write("s.csv")
    Subset((*rows[1:], replace(rows[0], weight=None))).write("no-weight.csv")
    Subset(tuple(rows[:1])).write("one.csv")
    tuned, scratch = ["finetune", TRAIN, "--init", "resnet8", "--weights", "none"], ["--backbone", "resnet8"]
    for wrong, told in (
        (["pretrain", TEST, "--class-weights", "none.csv", *scratch], "no such subset file"),
        (["pretrain", TEST, "--class-weights", "no-weight.csv", *scratch], "class 'digit 0' has no weight"),
        ([*tuned, "--with", "none.csv"], "no such subset file"),
        ([*tuned, "--with", "one.csv"], "has one class, 'digit 0'"),
        ([*tuned, "--with", "s.csv", "--test", TEST], "of its 12 images are test images too"),
        (["pretrain", TRAIN, "--init", "nosuch"], "neither a finished run nor a published model"),
        (
            ["pretrain", "glyphs:LATIN?per_class=4", "--init", "start"],
            "its classifier does not know 990 of 990 classes",
        ),
        (["pretrain", "--subset", "s.csv", "--init", "start", "--validation", "1"], "trained on 12 of the 12 images"),
    ):
        dry, real = (refused_line(capsys, *wrong, *network, *more) for more in (["--dry-run"], []))
        assert told in dry and dry == real
    found = said(*tuned, "--with", "s.csv", *network, "--dry-run")
    assert found["reads"][:2] == [f"60 images of 10 classes: {TRAIN}", f"12 images of 3 classes: {TEST}"]


def test_the_screen(capsys):
    assert main(["extract", TRAIN, "--backbone", "resnet8", "--out", "bank.h5", *NETWORK, "--dry-run"]) == 0
    words = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert words == ["would read", "would compute", "would write", "would take"]


def test_the_demo_and_a_trial(said):
    from PIL import Image

    assert "18 fine-tunings" in said("demo", "--dry-run")["computes"][-1]
    for name in ("a", "b"):
        for i in range(10):
            Path("photos", name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (20 * i, 0, 200 if name == "a" else 0)).save(Path("photos", name, f"{i}.png"))
    found = said("try", "photos", "--minutes", "600", "--device", "cpu", "--workers", "0", "--dry-run")
    assert "starts: linear probe, fine-tuned, judged on 4 photographs" in found["computes"]
    assert found["writes"] == "runs/try-photos" and not Path("runs").exists()
