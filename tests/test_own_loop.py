"""The page on loops of one's own: its examples run in their order, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from similarity import emd

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "in-your-own-loop.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples have made, each after the one before."""
    made: dict[str, Any] = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.chdir(tmp_path_factory.mktemp("page"))
        torch.set_num_threads(1)
        for example in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
            exec(compile(example, "in-your-own-loop.md", "exec"), made)
    return made


def test_the_class_balanced_loss_waits_and_trains(names):
    assert names["step"] == names["steps"] and names["loss"].reweighting
    assert np.mean(names["accuracy_of_each_class"](names["network"])) > 0.7  # by chance 0.1


def test_the_sampler_shuffles_first_and_balances_then(names):
    drawn, counts = np.array(names["drawn"]), names["counts"]
    assert (drawn.sum(axis=1) == 800).all()  # 25 batches of 32
    assert (drawn[:2] <= counts).all()  # each image at most once
    assert (drawn[2:, 9] > 3 * counts[9]).all() and np.ptp(drawn[2:].mean(axis=0)) < 40
    assert not np.array_equal(drawn[3], drawn[4])  # another epoch, without set_epoch


def test_the_choice_begins_with_the_classes_of_the_target(names):
    subset = names["subset"]
    assert {row.class_name for row in subset.rows[:2]} == {"two", "five"}
    assert sum(row.weight for row in subset.rows[:2]) > 0.9
    labels = [label for _, label in names["images_to_train_on"]]
    assert sorted(set(labels)) == sorted(names["chosen"]) and len(labels) == 40 * 4


def test_the_distance_takes_arrays_and_tensors(names):
    result, source, target = names["result"], names["source"], names["target"]
    points = [torch.as_tensor(value) for value in (source.means, source.counts, target.means, target.counts)]
    assert emd(*points).value == result.value == pytest.approx(result.lower_bound)


def test_the_lightning_module_trains_with_deferred_weights(names):
    module = names["module"]
    assert module.loss.reweighting and module.loss.deferred == 0.8
    assert names["sampler"].epoch == 3  # Lightning has chosen 0, 1 and 2
    assert np.mean(names["accuracy_of_each_class"](module.network)) > 0.6
