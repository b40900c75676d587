"""``run``: what the screen says of the results."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from transfer.arm_comparison import headline
from transfer.commands.run import RunConfig, show, show_arms


def arm(name: str, strategy: str | None, *top1: float) -> dict:
    runs = [{"top1": one, "images": 200, "run": f"runs/tiny/{name}-{seed}"} for seed, one in enumerate(top1)]
    mean = sum(top1) / len(top1)
    return {"arm": name, "strategy": strategy, "top1_mean": mean, "top1_std": 0.01, "runs": runs}


@pytest.mark.parametrize(
    ("number", "shown"),
    [(8, "chosen by good: c0, c1, c2, c3, c4, c5, c6, c7\n"), (10, "c6, c7, and 2 more\n")],
)
def test_the_screen_names_the_best_arm_as_the_page_does(number, shown, capsys):
    arms = [arm("scratch", None, 0.4, 0.42), arm("good", "mutual-proximity", 0.8, 0.82)]
    arms.append(arm("last", "nearest", 0.6, 0.58))
    chosen = {"good": [{"class": f"c{i}"} for i in range(number)], "last": [{"class": "other"}]}
    content = {"arms": arms, "selections": chosen, "recipe": {"classes": number}, "seconds": 3.0, "report": "page.html"}
    content["steps_before"] = 4
    show(RunConfig(recipe="tiny.yaml"), SimpleNamespace(path=Path("runs/tiny"), content=content))
    printed = capsys.readouterr().out
    assert shown in printed and "…" not in printed
    assert headline(content) in printed and "(good) gives a top-1 accuracy of 81.0 %" in printed
    assert "transfer predict runs/tiny/good-1 PHOTOS" in printed
    assert "The best run was chosen by these test images, so its own figure is too high." in printed
    assert "this run took 3 s; 4 steps were finished before" in printed


def test_an_arm_that_weighs_all_classes_is_not_said_to_choose(capsys):
    arms = [arm("weighted", "mutual-proximity", 0.8, 0.82) | {"use": "weighted"}]
    show_arms({"arms": arms, "selections": {"weighted": [{"class": "c"}]}, "recipe": {}, "seconds": 15.0})
    printed = capsys.readouterr().out
    assert "weighted draws from all source classes by the share that each serves, and chooses none." in printed
    assert "chosen by" not in printed and "seconds" not in printed
