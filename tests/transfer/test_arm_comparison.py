"""Which arm is best, and by how much."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from transfer.arm_comparison import choosing_arm, compare_arms, headline, say_weighing
from transfer.intervals import difference_of, share_of


def arm(name: str, *top1: float, **others) -> dict:
    given = {"strategy": None, "init": None, "classes": None}
    return {"arm": name, "runs": [{"top1": one, "images": 200} for one in top1]} | given | others


def test_over_seeds_the_lead_is_paired():
    first, second = (0.70, 0.81, 0.75), (0.66, 0.76, 0.72)
    found = compare_arms([arm("b", *second), arm("a", *first)])
    assert found.best == "a"
    gains = np.subtract(first, second)
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert (found.lead["b"].low, found.lead["b"].high) == pytest.approx(tuple(expected))
    assert found.tied == ()  # although the intervals of the accuracies overlap
    assert found.accuracy["a"].low < found.accuracy["b"].high


def test_of_one_seed_the_test_images_tell():
    found = compare_arms([arm("b", 0.60), arm("a", 0.70), arm("c", 0.68)])
    assert found.accuracy["a"] == share_of(0.70, 200)
    # Newcombe's table (Statistics in Medicine 1998, method 10, contrast a): 56/70 − 48/80 is 0.0524 to 0.3339.
    contrast = difference_of(share_of(56 / 70, 70), share_of(48 / 80, 80))
    assert (contrast.low, contrast.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.lead["b"] == difference_of(share_of(0.70, 200), share_of(0.60, 200))
    assert found.tied == ("c",)


def test_the_headline_names_the_best_its_lead_and_its_ties():
    recipe = {"classes": 40}
    arms = [
        arm("scratch", 0.50, 0.52),
        arm("random", 0.60, 0.62, strategy="random"),
        arm("toolkit", 0.80, 0.82, strategy="mutual-proximity"),
    ]
    said = headline({"arms": arms, "recipe": recipe})
    chosen = "Pre-training on 40 classes chosen by mutual-proximity (toolkit)"
    assert said.startswith(f"{chosen} gives a top-1 accuracy of 81.0 % (95 % interval ")
    assert "20.0 points above random (" in said
    assert said.endswith("No other arm is tied with it.")
    close = [*arms, arm("paper", 0.83, 0.78, strategy="nearest")]
    assert headline({"arms": close, "recipe": recipe}).endswith(
        "It is tied with paper: the runs do not show which of them is better."
    )
    by_chance = headline({"arms": arms[:2], "recipe": recipe})
    assert by_chance.startswith("Pre-training on 40 classes chosen at random (random) gives")
    alone = headline({"arms": arms[:1], "recipe": recipe})
    assert alone.startswith("Training on the target alone (scratch) gives")


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ({"strategy": "nearest"}, "Pre-training on 40 classes chosen by nearest"),
        ({"strategy": "nearest", "classes": 1}, "Pre-training on 1 class chosen by nearest"),
        ({"strategy": "nearest", "drop": 2}, "Pre-training on all source classes but 2, left out by nearest"),
        ({"strategy": "all"}, "Pre-training on all source classes"),
        (
            {"strategy": "random", "use": "continued"},
            "Pre-training on all source classes, continued on 40 classes chosen at random,",
        ),
        (
            {"strategy": "importance", "use": "weighted"},
            "Pre-training on all source classes, weighted by importance,",
        ),
        (
            {"strategy": "nearest", "use": "co-trained"},
            "Pre-training on all source classes, then co-training on 40 classes chosen by nearest,",
        ),
        (
            {"strategy": "nearest", "use": "co-trained", "init": "resnet50"},
            "Pre-training on all source classes, then co-training on 40 classes chosen by nearest, from resnet50 as "
            "published,",
        ),
        ({"init": "resnet50"}, "Starting from resnet50 as published"),
    ],
)
def test_the_headline_names_the_use_of_the_choice(given, subject):
    said = headline({"arms": [arm("best", 0.8, **given)], "recipe": {"classes": 40}})
    assert said.startswith(f"{subject} (best) gives a top-1 accuracy of 80.0 %")


def test_the_choice_that_is_shown_is_that_of_the_best_arm_that_chooses():
    arms = [
        arm("all", 0.9, strategy="all"),
        arm("random", 0.8, strategy="random"),
        arm("good", 0.7, strategy="mutual-proximity"),
        arm("last", 0.6, strategy="nearest"),
    ]
    assert choosing_arm(arms, ["all", "random", "good", "last"]) == "good"
    assert choosing_arm(arms[:2], ["all", "random"]) == "random"
    assert choosing_arm(arms[:1], ["all"]) is None


def test_an_arm_that_weighs_all_classes_chooses_none():
    weighted = arm("weighted", 0.95, strategy="mutual-proximity", use="weighted")
    chosen = arm("chosen", 0.7, strategy="mutual-proximity", use="continued")
    assert choosing_arm([weighted, chosen], ["weighted", "chosen"]) == "chosen"
    assert choosing_arm([weighted], ["weighted"]) is None
    assert say_weighing([chosen]) == ""
    assert say_weighing([weighted, chosen]) == (
        "weighted draws from all source classes by the share that each serves, and chooses none."
    )


def test_an_accuracy_and_its_interval_are_within_0_and_1():
    found = compare_arms([arm("low", 0.0, 0.2), arm("high", 0.8, 1.0)])
    expected = stats.ttest_1samp([0.0, 0.2], 0).confidence_interval(0.95)
    assert (expected.low < 0, expected.high > 1) == (True, True)
    assert (found.accuracy["low"].low, found.accuracy["low"].high) == (0, 1)
    assert (found.accuracy["high"].low, found.accuracy["high"].high) == (0, 1)
    wide = compare_arms([arm("low", 0.0, 0.6), arm("high", 1.0, 0.6)]).lead["low"]
    assert wide.low < -1 and wide.high > 1  # a lead is as wide as the seeds say


def test_a_name_keeps_its_hyphen_beside_negative_numbers():
    arms = [arm("all-classes", 0.50, 0.60, strategy="random"), arm("best", 0.60, 0.52)]
    said = headline({"arms": arms, "recipe": {"classes": 4}})
    assert "points above all-classes (−" in said
