"""Metrics against scikit-learn, torchmetrics and plain loops; their laws; bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from features.infrastructure.errors import InputError
from finetune.evaluation import predictions
from finetune.evaluation.metrics import calibration_error, evaluate_predictions, evaluate_scores, worst_confusions
from finetune.evaluation.predictions import Predictions, true_class_ranks


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (600, 12), labels (600,) and training counts (12,) on both sides of every border."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 12, 600)
    logits = rng.normal(0, 1, (600, 12))
    logits[np.arange(600), labels] += 1.2
    odds = np.exp(logits)
    counts = np.array([500, 101, 100, 99, 50, 21, 20, 19, 18, 5, 1, 0])
    return odds / odds.sum(axis=1, keepdims=True), labels, counts


def test_against_scikit_learn(problem):
    scores, labels, counts = problem
    found = evaluate_scores(scores, labels, counts)
    assert found.top1 == pytest.approx(top_k_accuracy_score(labels, scores, k=1))
    assert found.top5 == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
    assert found.macro == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    assert found.images == 600


@pytest.mark.parametrize(
    ("borders", "sizes"),
    [({}, [12, 2, 5, 5]), ({"many": 20, "few": 5}, [12, 6, 4, 2]), ({"many": 50, "few": 50}, [12, 4, 1, 7])],
)
def test_shots_against_a_plain_loop(problem, borders, sizes):
    scores, labels, counts = problem
    found = evaluate_scores(scores, labels, counts, **borders)
    many, few = borders.get("many", 100), borders.get("few", 20)
    groups = {"many": [], "medium": [], "few": []}
    for c, count in enumerate(counts):
        mine = scores[labels == c].argmax(1) == c
        groups["many" if count > many else "medium" if count >= few else "few"].append((mine.mean(), len(mine)))
    for name, members in groups.items():
        assert getattr(found, name) == pytest.approx(np.mean([accuracy for accuracy, _ in members]))
        assert found.groups[name].classes == len(members)
        assert found.groups[name].images == sum(size for _, size in members)
    assert [found.groups[name].classes for name in ("macro", "many", "medium", "few")] == sizes
    assert found.to_json()["borders"] == {"many": many, "few": few}
    assert (found.top1, found.macro) == (evaluate_scores(scores, labels).top1, evaluate_scores(scores, labels).macro)


def test_calibration_error_against_torchmetrics(problem):
    scores, labels, _ = problem
    for power in (0.3, 1.0, 4.0):  # under-confident, near right, over-confident
        sharp = scores**power / (scores**power).sum(axis=1, keepdims=True)
        expected = multiclass_calibration_error(
            torch.from_numpy(sharp), torch.from_numpy(labels), num_classes=12, n_bins=15, norm="l1"
        )
        found = evaluate_scores(sharp, labels, probabilities=True).calibration_error
        assert found == pytest.approx(expected.item(), abs=1e-6)  # it accumulates in float32
    assert evaluate_scores(scores, labels).calibration_error is None


def test_calibration_error_at_its_ends():
    assert calibration_error([1.0] * 4, [True] * 4) == 0
    assert calibration_error([1.0] * 4, [False] * 4) == 1
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0
    # a value on a border belongs to the lower bin, so these two share one and cancel
    assert calibration_error([0.5, 0.25], [False, True], bins=2) == pytest.approx(0.125)


def test_the_order_of_images_and_any_increasing_map_do_not_matter(problem):
    scores, labels, counts = problem
    order = np.random.default_rng(2).permutation(600)
    expected = evaluate_scores(scores, labels, counts).to_json()
    assert evaluate_scores(scores[order], labels[order], counts).to_json() == expected
    assert evaluate_scores(np.log(scores), labels, counts).to_json() == expected


def test_batch_by_batch_as_at_once(problem):
    scores, labels, counts = problem
    batches = [Predictions.of(scores[i : i + 70], labels[i : i + 70]) for i in range(0, 600, 70)]
    found = evaluate_predictions(Predictions.concatenate(batches), 12, counts, probabilities=True)
    expected = evaluate_scores(scores, labels, counts, probabilities=True)
    assert found.to_json() == expected.to_json()
    np.testing.assert_array_equal(found.per_class, expected.per_class)


def test_in_chunks_as_at_once(problem, monkeypatch):
    scores, labels, _ = problem
    at_once = true_class_ranks(scores, labels)
    monkeypatch.setattr(predictions, "_CHUNK", 100)  # 8 rows at a time, and a last part
    np.testing.assert_array_equal(true_class_ranks(scores, labels), at_once)
    by_sorting = np.argsort(np.argsort(-scores, axis=1), axis=1)[np.arange(600), labels]
    np.testing.assert_array_equal(at_once, by_sorting)


def test_equal_scores_are_broken_as_argmax_breaks_them():
    labels = np.arange(10)
    found = evaluate_scores(np.zeros((10, 10)), labels)
    assert (found.top1, found.top5) == (0.1, 0.5)
    ties = np.random.default_rng(3).integers(0, 3, (200, 10)).astype(float)
    truth = np.random.default_rng(4).integers(0, 10, 200)
    assert evaluate_scores(ties, truth).top1 == (ties.argmax(1) == truth).mean()


def test_fewer_than_five_classes_are_all_among_the_best_five():
    found = evaluate_scores([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0]], [2, 0])
    assert (found.top1, found.top5) == (0.5, 1.0)


def test_groups_and_classes_without_images_are_none():
    found = evaluate_scores(np.eye(3)[[0, 0, 2]], [0, 0, 0], [500, 50, 500])
    assert (found.many, found.medium, found.few) == (pytest.approx(2 / 3), None, None)
    assert found.macro == pytest.approx(2 / 3)
    np.testing.assert_array_equal(np.isnan(found.per_class), [False, True, True])
    assert (found.groups["many"].classes, found.groups["many"].images) == (1, 3)
    assert (found.groups["medium"].classes, found.groups["medium"].images) == (0, 0)
    unknown = evaluate_scores(np.eye(3), [0, 1, 2])
    assert (unknown.many, unknown.medium, unknown.few) == (None, None, None)


def test_impossible_classes_may_score_minus_infinity():
    assert evaluate_scores([[-np.inf, 1.0], [-np.inf, 1.0]], [0, 1]).top1 == 0.5


def test_json_holds_the_promised_keys_and_the_counts(problem):
    scores, labels, counts = problem
    answer = json.loads(json.dumps(evaluate_scores(scores.astype(np.float16), labels, counts).to_json()))
    assert {"top1", "top5", "macro", "many", "medium", "few", "images"} <= set(answer)
    assert answer["classes"] == {"macro": 12, "many": 2, "medium": 5, "few": 5}
    assert sum(answer["group_images"][name] for name in ("many", "medium", "few")) == answer["images"] == 600


def test_bad_input_is_refused(problem):
    scores, labels, counts = problem
    for wrong in (labels + 1, labels - 1):
        with pytest.raises(ValueError, match="labels must be in 0 … 11"):
            evaluate_scores(scores, wrong)
    with pytest.raises(ValueError, match="600 rows"):
        evaluate_scores(scores, labels[:-1])
    with pytest.raises(ValueError, match="integers"):
        evaluate_scores(scores, labels.astype(float))
    with pytest.raises(ValueError, match=r"train_counts must have shape \(12,\)"):
        evaluate_scores(scores, labels, counts[:-1])
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        evaluate_scores(scores[0], labels[:1])
    with pytest.raises(ValueError, match="labels must be in 0 … 5"):
        evaluate_predictions(Predictions.of(scores, labels), 6)
    for value in (np.nan, np.inf):
        broken = scores.copy()
        broken[7, 3] = value
        with pytest.raises(ValueError, match="NaN"):
            evaluate_scores(broken, labels)
    with pytest.raises(ValueError, match=r"probabilities must be in \[0, 1\]"):
        evaluate_scores(scores * 3, labels, probabilities=True)
    for borders in ({"few": 0}, {"many": 0}, {"many": 10}, {"many": 4, "few": 5}):
        with pytest.raises(ValueError, match="few must be in 1 … many, got few = "):
            evaluate_scores(scores, labels, counts, **borders)
    with pytest.raises(InputError, match="no image to evaluate"):
        evaluate_scores(np.zeros((0, 3)), [])


def test_confusions_against_the_whole_matrix():
    rng = np.random.default_rng(0)
    truth = rng.choice(6, 400, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    guess = np.where(rng.random(400) < 0.5, truth, rng.integers(6, size=400))
    matrix = np.zeros((6, 6))
    np.add.at(matrix, (truth, guess), 1)
    np.fill_diagonal(matrix, 0)
    share = matrix / np.bincount(truth)[:, None]
    found = worst_confusions(guess, truth, 6, top=7)
    assert [pair.share for pair in found] == pytest.approx(np.sort(share.ravel())[::-1][:7])
    for pair in found:
        assert pair.images == matrix[pair.true, pair.predicted]
        assert pair.share == pytest.approx(share[pair.true, pair.predicted])
    assert worst_confusions(truth, truth, 6) == ()
    with pytest.raises(ValueError, match="predicted and labels must have one length"):
        worst_confusions([0], [0, 1], 2)
