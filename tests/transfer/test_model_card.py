"""The model card: figures, intervals, and the front matter as the hub's library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from similarity import Subset
from similarity.selection.subset import SubsetRow
from transfer.lineage import Step
from transfer.model_card import model_card

ABOUT = {
    "classes": ["auk", "a|b<c"],
    "backbone": "resnet18",
    "weights_sha256": "0" * 64,
    "output": {"probabilities": "softmax"},
}
CONFIG = {"out": "digits", "test": "cub:CUB@test", "validation": None}
ENVIRONMENT = {"seed": 3, "started": "2026-01-01", "versions": {"torch": "2.9"}, "inputs": {"training data": "f" * 64}}


def checkpoint(**metrics: Any) -> dict[str, Any]:
    figures = {"top1": 0.9, "top5": 1.0, "macro": 0.85, "images": 100, "judged_on": "test"} | metrics
    return {"metrics": figures, "data": "cub:/home/ann/CUB@train", "train_counts": [30, 20]}


def step(*choices: tuple[str, Subset], config: dict[str, Any] | None = None, notes: tuple[str, ...] = ()) -> Step:
    made = CONFIG | (config or {})
    return Step(
        "finetune",
        "softmax, 30 epochs",
        made,
        "transfer finetune cub:CUB@train",
        ENVIRONMENT,
        choices,
        notes,
        Path("run"),
    )


def parsed(text: str) -> tuple[dict[str, Any], str]:
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_front_matter_is_what_the_hub_reads():
    text = model_card("birds", ABOUT, checkpoint(), [step()], repository="ann/birds", licence="cc-by-4.0")
    data = ModelCard(text).data
    assert (data.library_name, data.license, data.model_name) == ("timm", "cc-by-4.0", "birds")
    assert {(row.metric_name, row.metric_value) for row in data.eval_results} == {
        ("top-1 accuracy", 0.9),
        ("top-5 accuracy", 1.0),
        ("mean accuracy of the classes", 0.85),
    }
    assert {row.dataset_name for row in data.eval_results} == {"cub:CUB@test"}
    assert "/home/ann" not in text and "hf-hub:ann/birds" in text


def test_figures_of_training_images_are_no_result():
    card = checkpoint(judged_on="training")
    front, body = parsed(model_card("birds", ABOUT, card, [step()]))
    assert "model-index" not in front
    assert "on images of its own training, so that the figures say nothing of other images" in body
    assert "interval" not in body and "| top-1 | 90.00 |" in body


def test_figures_of_the_validation_are_said_to_be_of_it():
    card = checkpoint(judged_on="validation")
    front, body = parsed(model_card("birds", ABOUT, card, [step(config={"test": None, "validation": 5})]))
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "5 images of each class of cub:CUB@train"
    assert "by which its epoch was chosen" in body and "(95 % interval 82.56 to 94.48)" in body


def test_what_is_not_stated_is_said():
    front, body = parsed(model_card("birds", ABOUT, checkpoint() | {"metrics": None}, []))
    assert "license" not in front and "The licence of these weights is not stated." in body
    assert "Not stated: these weights were not judged." in body
    assert "Not stated: the checkpoint was exported without its run directory." in body


def test_names_cannot_change_the_page():
    _, body = parsed(model_card("birds", ABOUT, checkpoint(), [step(notes=("a | b",))]))
    assert "auk, a\\|b&lt;c" in body and "- finetune: a \\| b" in body


def test_the_choice_of_the_source_is_told_with_its_reason():
    rows = tuple(
        SubsetRow("inat:/home/ann/x.json", f"gull {i}", 10, i, 0.1, ("cub:/b/CUB",), 0.02) for i in range(1, 31)
    )
    target = {"dataset": "cub:/home/ann/CUB@train", "share": 0.6}
    known = {"strategy": "mutual-proximity", "geometry": "sqrt-whitened", "targets": [target]}
    chosen = ("pre-trained on these classes", Subset(rows, known))
    _, body = parsed(model_card("birds", ABOUT, checkpoint(), [step(), step(chosen)]))
    assert "The network was pre-trained on these classes: 30 classes of `inat:x.json`, 300 images." in body
    assert "`mutual-proximity` (" in body and "in the geometry `sqrt-whitened`" in body
    assert "for `cub:CUB@train`, of which they serve 60 %." in body
    assert "| 20 | gull 20 | 10 | 2.0 |" in body and "gull 21" not in body and "and 10 more." in body
    by_hand = ("pre-trained on these classes", Subset(rows))
    _, body = parsed(model_card("birds", ABOUT, checkpoint(), [step(by_hand)]))
    assert "How they were chosen is not stated in their file." in body


def test_numbers_of_images_that_a_bank_does_not_know_are_said_to_be_unknown():
    rows = tuple(
        SubsetRow("features:m.npz", f"gull {i}", count, i, 0.1, ("cub:/b/CUB",)) for i, count in ((1, 10), (2, None))
    )
    _, body = parsed(model_card("birds", ABOUT, checkpoint(), [step(("pre-trained on these classes", Subset(rows)))]))
    assert "2 classes of `features:m.npz`, of an unknown number of images.\n" in body
    assert "| 1 | gull 1 | 10 |\n| 2 | gull 2 | unknown |\n" in body


def test_a_sigmoid_is_said():
    about = ABOUT | {"output": {"probabilities": "sigmoid"}}
    _, body = parsed(model_card("birds", about, checkpoint(), [step()]))
    assert "Their sigmoid gives the probabilities, of each class for itself." in body
