"""The steps of a recipe: what their keys are made of, and what one takes over from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune.shared_options import resolve
from transfer.arm import Arm
from transfer.recipe import Recipe
from transfer.recipe_steps import RecipeSteps, slug, without_immaterial

DIGITS = {"target": "digits:@train?per_class=2", "test": "digits:@test?per_class=2"}


@pytest.mark.parametrize(
    ("pretrain", "init", "rates"),
    [
        ({}, "resnet18", (0.02, 0.0005)),
        ({"optimizer": "adamw"}, "resnet18", (0.0003, 0.05)),
        ({"backbone": "resnet18", "weights": "default"}, None, (0.02, 0.0005)),
        ({"lr": 0.05}, "resnet18", (0.05, 0.0005)),
        ({"backbone": "resnet8"}, None, (0.1, 0.0005)),
    ],
)
def test_both_halves_of_a_continued_arm_have_the_rates_of_its_start(
    tmp_path: Path, pretrain: dict[str, Any], init: str | None, rates: tuple[float, float]
) -> None:
    arms = {"one": Arm(strategy="nearest", use="continued", init=init)}
    given = {"sources": ["digits:@test?per_class=3"], "pretrain": {"steps": 4} | pretrain}
    steps = RecipeSteps(Recipe(name="r", arms=arms, **DIGITS, **given), tmp_path, "r.yaml")
    (_, half), (_, rest) = steps.pretrainings("one", arms["one"], "subset.csv", 0)
    checkpoint = Path(half.out, "checkpoints", "last.safetensors")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert rest.init == half.out and not rest.published  # it starts from a run
    for config in (half, rest):
        complete, _ = resolve(config)
        assert (complete.lr, complete.weight_decay) == rates


def test_options_that_change_no_result_change_no_key():
    plain = {"lr": 0.1, "arms": [{"pretrain": {"steps": 3}}]}
    measured = {"lr": 0.1, "workers": 2, "profile": True, "arms": [{"pretrain": {"steps": 3, "profile": True}}]}
    assert without_immaterial(measured) == plain
    assert slug("a", without_immaterial(measured)) == slug("a", plain)
