"""The figures that benchmarks make of their trainings, against plain loops."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import sem, spearmanr
from scipy.stats import t as student_t

from similarity.uncertainty.expected_gain import Measured

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """A function that imports a module of the benchmarks."""

    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module(name)

    return load


@pytest.fixture
def networks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Figures (600, 2), members (600, 30) in complementary pairs, and the true influences (30, 2)."""
    rng = np.random.default_rng(0)
    first = np.array([rng.permutation(30) < 15 for _ in range(300)])
    members = np.stack([first, ~first], axis=1).reshape(600, 30)
    truth = rng.normal(size=(30, 2))
    return members @ truth + 0.3 * rng.normal(size=(600, 2)), members, truth


def test_influence_is_with_less_without(module, networks):
    table = module("influence_table")
    figures, members, truth = networks
    found = table.influences(figures, members, 2)
    for class_ in range(30):
        inside = members[:, class_]
        expected = figures[inside].mean(axis=0) - figures[~inside].mean(axis=0)
        np.testing.assert_allclose(found[class_], expected, rtol=1e-9)
    assert spearmanr(found[:, 0], truth[:, 0]).statistic > 0.8
    pairs = [(1 if members[2 * k, 3] else -1) * (figures[2 * k] - figures[2 * k + 1]) for k in range(300)]
    np.testing.assert_allclose(found[3], np.mean(pairs, axis=0), rtol=1e-9)
    np.testing.assert_allclose(table.standard_errors(figures, members, 2)[3], sem(pairs), rtol=1e-9)


def test_the_others_of_a_block_are_averaged(module):
    table, rng = module("influence_table"), np.random.default_rng(0)
    order = [rng.permutation(12) for _ in range(4)]
    members = np.array([[np.isin(np.arange(12), of[4 * part : 4 * part + 4]) for part in range(3)] for of in order])
    figures = rng.normal(size=(12, 1))
    found = table.influences(figures, members.reshape(12, 12), 3)
    expected = []
    for block in range(4):
        (inside,) = (part for part in range(3) if members[block, part, 7])
        of_block = figures[3 * block : 3 * block + 3, 0]
        expected.append(of_block[inside] - np.delete(of_block, inside).mean())
    assert found[7, 0] == pytest.approx(np.mean(expected))


def test_leaving_out_is_compared_with_leaving_out_at_random(module):
    rows = [
        {"left_out": "random", "for": "", "a": "0.5", "b": "0.3"},
        {"left_out": "random", "for": "", "a": "0.7", "b": "0.3"},
        {"left_out": "worst", "for": "a", "a": "0.9", "b": "0.1"},
        {"left_out": "worst", "for": "b", "a": "0.1", "b": "0.2"},
    ]
    found = module("influence_table").left_out(rows, ["a", "b"])
    assert found.keys() == {"worst"}
    assert found["worst"]["targets"] == {"a": pytest.approx(0.3), "b": pytest.approx(-0.1)}
    assert found["worst"]["mean"] == pytest.approx(0.1)


def test_reliability_tells_signal_from_noise(module, networks):
    table = module("influence_table")
    figures, members, _ = networks
    assert (table.reliability(figures, members, 2) > 0.8).all()
    noise = np.random.default_rng(1).normal(size=(600, 2))
    assert (np.abs(table.reliability(noise, members, 2)) < 0.6).all()
    many = table.reliability(np.random.default_rng(2).normal(size=(600, 20)), members, 2)
    assert abs(many.mean()) < 3 * sem(many)


def test_what_predicts_influence_is_compared_with_the_default(module, networks):
    _, _, truth = networks
    places = {
        "right": np.argsort(np.argsort(-truth, axis=0), axis=0),
        "wrong": np.argsort(np.argsort(truth, axis=0), axis=0),
    }
    found = module("influence_table").prediction(truth, places, "right")
    assert found["right"]["mean"] == pytest.approx(1) and found["wrong"]["mean"] == pytest.approx(-1)
    assert found["wrong"]["default_less_this"] == {"mean": pytest.approx(2), "error": pytest.approx(0, abs=1e-12)}


def test_differences_are_paired_by_target_and_seed(module):
    rng, rows = np.random.default_rng(0), []
    top1: dict[tuple[str, str, int], list[float]] = {}
    for target in "abc":
        for seed in range(2):
            for choice, draws in (("all", 1), ("random", 3), ("default", 1)):
                for draw in range(draws):
                    value = round(float(rng.random()), 5)
                    top1.setdefault((choice, target, seed), []).append(value)
                    row = {"choice": choice, "use": "subset", "loss": "softmax", "target": target}
                    rows.append(row | {"seed": str(seed), "draw": str(draw), "top1": str(value)})
    rows = [row for row in rows if (row["choice"], row["target"], row["seed"]) != ("default", "c", "1")]  # not finished
    found = module("selection_pays_table").summary(rows)
    expected = []
    for target, seeds in (("a", (0, 1)), ("b", (0, 1)), ("c", (0,))):
        of_seeds = [top1["default", target, s][0] - np.mean(top1["random", target, s]) for s in seeds]
        expected.append(100 * np.mean(of_seeds))
    less = found["default, subset"]["less_random"]
    assert list(less["targets"].values()) == pytest.approx(expected)
    assert (less["mean"], less["error"]) == pytest.approx((np.mean(expected), sem(expected)))
    assert less["targets_above"] == sum(value > 0 for value in expected)
    assert "less_random" not in found["random, subset"] and "less_all" in found["random, subset"]


def test_a_choice_is_compared_with_random_ones_of_its_size(module):
    rows = [
        {"choice": choice, "use": "subset", "loss": "softmax", "target": "plants", "seed": "0", "top1": top1}
        for choice, top1 in (("random", "0.5"), ("random-80", "0.6"), ("default-80", "0.63"), ("default-160", "0.7"))
    ]
    found = module("selection_pays_table").summary(rows)
    assert found["default-80, subset"]["less_random"]["mean"] == pytest.approx(3)
    assert "less_random" not in found["default-160, subset"]


def test_the_parts_of_one_family_count_once(module):
    gains = {"birds-1": 9.0, "birds-2": 11.0, "plants": 1.0, "digits": 3.0, "birds": 99.0}
    rows = [
        {"choice": choice, "use": "subset", "loss": "softmax", "target": target, "seed": "0", "top1": str(top1)}
        for target, gain in gains.items()
        for choice, top1 in (("random", 0.5), ("default", 0.5 + gain / 100))
    ]
    less = module("selection_pays_table").summary(rows)["default, subset"]["less_random"]
    assert (less["mean"], less["error"]) == pytest.approx((6, sem([9, 11, 1, 3])))
    assert less["of_families"]["families"] == pytest.approx({"birds": 10, "plants": 1, "digits": 3})
    assert less["of_families"]["mean"] == pytest.approx(14 / 3)
    assert less["of_families"]["error"] == pytest.approx(sem([10, 1, 3]))


def test_lines_of_another_protocol_are_not_added(module, tmp_path):
    hold = module("recording").hold_to_protocol
    hold(tmp_path / "t.csv", "python b.py", {"steps": (1, 2)})
    hold(tmp_path / "t.csv", "python b.py", {"steps": (1, 2)})
    with pytest.raises(ValueError, match=r"t\.protocol\.json: the lines of the table are of another protocol"):
        hold(tmp_path / "t.csv", "python b.py", {"steps": (1, 3)})


def test_blocks_that_are_not_whole_are_left_out(module, monkeypatch, tmp_path):
    influence, rng = module("influence"), np.random.default_rng(0)
    monkeypatch.setattr(influence, "HERE", tmp_path)
    monkeypatch.setattr(influence, "DESIGNS", {"halves": (2, 4)})
    monkeypatch.setattr(influence, "lake_classes", lambda: list(range(10)))
    figures = rng.random(8).round(5)
    for network in (7, 0, 1, 3, 6, 0):  # the second block lacks its first network, the third both; one is there twice
        row = {"network": network, "a/0": figures[network], "a/1": figures[network]}
        influence.append_row(tmp_path / "halves.csv", row)
    found, members = influence.measured("halves", ["a"])
    assert found[:, 0].tolist() == pytest.approx(figures[[0, 1, 6, 7]].tolist())
    assert members.tolist() == [influence.members(network, 2, 10).tolist() for network in (0, 1, 6, 7)]


def test_agreement_is_a_mean_of_rank_correlations(module):
    rng, measures = np.random.default_rng(0), {}
    accuracies = {target: {domain: rng.random() for domain in "uvwxy"} for target in "abcd"}
    for target, of in accuracies.items():
        measures[target] = {domain: value + 0.3 * rng.normal() for domain, value in of.items()}
    found = module("similarity_predicts").agreement(measures, accuracies)
    each = [spearmanr(list(measures[t].values()), list(accuracies[t].values())).statistic for t in "abcd"]
    assert list(found["targets"].values()) == pytest.approx(each) and found["mean"] == pytest.approx(np.mean(each))
    low, high = student_t.interval(0.95, 3, np.mean(each), sem(each))
    assert found["interval"] == pytest.approx([low, min(high, 1)])
    constant = {target: dict.fromkeys("uvwxy", 1.0) for target in "abcd"}
    assert module("similarity_predicts").agreement(constant, accuracies)["mean"] == 0


def test_the_first_difference_of_two_contents_is_named(module):
    difference = module("disturbing.contents").difference
    one = {"a": {"x": [1, {"y": 2}]}, "b": 3}
    assert difference(one, {"b": 3, "a": {"x": [1, {"y": 2}]}}) == ""
    assert difference(one, {"a": {"x": [1, {"y": 5}]}, "b": 4}) == "a > x > 1 > y > '2', not '5'"
    assert difference(one, {"a": {"x": [1]}, "b": 3}).startswith("a > x > ")
    assert difference(one, {"a": one["a"]}) == "b > there in one only"
    assert difference({"a": None}, {}) == difference({}, {"a": None}) == "a > there in one only"


def test_a_table_that_grows_leaves_out_what_a_kill_cut_off(module, tmp_path):
    recording, path = module("recording"), tmp_path / "folder" / "t.csv"
    recording.append_row(path, {"name": "one, two", "value": 1})
    with path.open("a") as file:
        file.write("half")
    recording.append_row(path, {"name": "three", "value": 2})
    assert recording.read_table(path) == [{"name": "one, two", "value": "1"}, {"name": "three", "value": "2"}]
    assert recording.read_table(tmp_path / "none.csv") == []


def measured_choices(noise: float, shifted: float) -> Measured:
    """Forty choices on five families of targets: gains by a line and noise, those of the last family shifted."""
    rng = np.random.default_rng(0)
    near, families = rng.uniform(0, 1, 40), np.repeat(list("abcde"), 8)
    gains = 2 + 6 * near + noise * rng.normal(size=40) + shifted * (families == "e")
    return Measured({"nearness": near}, {"over_random": gains}, families, 128, "b", "w", "g")


def test_intervals_are_checked_on_targets_that_they_do_not_know(module):
    held_out = module("measured_gains").held_out
    calm = held_out(measured_choices(1.0, 0.0), "over_random")
    assert list(calm) == list("abcde") and all(len(of) == 8 for of in calm.values())
    assert 0.7 <= np.mean(list(calm.values())) < 1  # the level is 80 %
    shifted = held_out(measured_choices(1.0, 50.0), "over_random")
    assert not any(shifted["e"])  # the intervals of the other families know nothing of this one
