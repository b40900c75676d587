"""The steps of a recipe: what their keys are made of."""

from __future__ import annotations

from transfer.recipe_steps import slug, without_immaterial


def test_options_that_change_no_result_change_no_key():
    plain = {"lr": 0.1, "arms": [{"pretrain": {"steps": 3}}]}
    measured = {"lr": 0.1, "workers": 2, "profile": True, "arms": [{"pretrain": {"steps": 3, "profile": True}}]}
    assert without_immaterial(measured) == plain
    assert slug("a", without_immaterial(measured)) == slug("a", plain)
