"""Classifiers on features: one contract for all, and each against an independent oracle."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from features.infrastructure.errors import InputError
from finetune.classifiers import (
    ClassifierRetraining,
    LearnableWeightScaling,
    LinearClassifier,
    LinearProbe,
    NearestClassMean,
    NearestNeighbours,
    TauNormalisation,
    balanced_split,
    tau_normalise,
)
from finetune.evaluation.metrics import evaluate_scores

torch.set_num_threads(1)

CLASSES, WIDTH = 5, 8
CENTRES = np.random.default_rng(0).normal(0, 2, (CLASSES, WIDTH))


def draw(counts, seed) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 8) float32 around the class centres, and labels (N,), shuffled."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (CENTRES[labels] + 1 + rng.normal(0, 1.5, (len(labels), WIDTH))).astype(np.float32), labels


TRAIN, TEST = draw([200, 100, 50, 25, 12], 1), draw([60] * 5, 2)


@cache
def trained_head() -> tuple[np.ndarray, np.ndarray]:
    """A linear classifier (5, 8) and its bias, trained on the long tail."""
    model = LogisticRegression(max_iter=500).fit(*TRAIN)
    return model.coef_, model.intercept_


MAKERS = {
    "mean-cosine": lambda: NearestClassMean("cosine"),
    "mean-euclidean": lambda: NearestClassMean("euclidean"),
    "mean-centred": lambda: NearestClassMean("centred"),
    "neighbours": lambda: NearestNeighbours(k=9),
    "probe": lambda: LinearProbe(),
    "probe-raw": lambda: LinearProbe(standardise=False),
    "crt": lambda: ClassifierRetraining(batch_size=64),
    "lws": lambda: LearnableWeightScaling(*trained_head(), batch_size=64),
    "tau": lambda: TauNormalisation(trained_head()[0]),
}
STARTS_FROM_A_WEIGHT = {"lws", "tau"}

every = pytest.mark.parametrize("name", MAKERS)


@every
def test_scores_predict_and_are_better_than_chance(name):
    model = MAKERS[name]()
    assert model.fit(*TRAIN) is model
    scores = model.scores(TEST[0])
    assert scores.shape == (len(TEST[0]), CLASSES)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(model.predict(TEST[0]), scores.argmax(axis=1))
    assert evaluate_scores(scores, TEST[1]).macro > 0.6  # chance is 0.2
    assert model.scores(TEST[0][:0]).shape == (0, CLASSES)


@every
def test_the_constructor_only_stores_and_an_unfitted_one_is_refused(name):
    model = MAKERS[name]()
    assert not [key for key in vars(model) if key.endswith("_") or key.startswith("_")]
    with pytest.raises(NotFittedError, match=type(model).__name__):
        model.scores(TEST[0])
    with pytest.raises(NotFittedError):
        model.predict(TEST[0])


@every
def test_the_same_fit_twice_and_a_second_fit_forget_the_first(name):
    expected = MAKERS[name]().fit(*TRAIN).scores(TEST[0])
    model = MAKERS[name]()
    model.fit(*draw([30] * 5, 9))
    np.testing.assert_array_equal(model.fit(*TRAIN).scores(TEST[0]), expected)


@every
def test_rows_are_scored_alone(name):
    model = MAKERS[name]().fit(*TRAIN)
    order = np.random.default_rng(3).permutation(len(TEST[0]))
    np.testing.assert_allclose(model.scores(TEST[0][order]), model.scores(TEST[0])[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.scores(TEST[0][:1]), model.scores(TEST[0])[:1], rtol=1e-5, atol=1e-6)


@every
def test_a_class_without_an_image_has_a_column_and_is_not_predicted(name):
    kept = (TRAIN[1] != 1) & (TRAIN[1] != 4)
    if name in STARTS_FROM_A_WEIGHT:  # the weight knows the class
        assert MAKERS[name]().fit(TRAIN[0][kept], TRAIN[1][kept]).scores(TEST[0]).shape[1] == CLASSES
        return
    model = MAKERS[name]().fit(TRAIN[0][kept], TRAIN[1][kept], n_classes=CLASSES)
    assert model.scores(TEST[0]).shape[1] == CLASSES
    assert set(model.predict(TEST[0])) == {0, 2, 3}
    assert not np.isnan(model.scores(TEST[0])).any()


@every
def test_bad_input_is_refused(name):
    features, labels = TRAIN
    broken = features.copy()
    broken[3, 2] = np.nan
    for wrong, message in (
        ((features[:, 0], labels), r"features must have shape \(N, D\)"),
        ((broken, labels), "features must be finite"),
        ((features, labels[:-1]), "labels must be 387 integers"),
        ((features, labels.astype(float)), "labels must be 387 integers"),
        ((features, labels - 1), "labels must be in 0"),
        ((features[:0], labels[:0]), "at least one row"),
    ):
        with pytest.raises(ValueError, match=message):
            MAKERS[name]().fit(*wrong)
    with pytest.raises(ValueError, match="labels must be in 0 … 3"):
        MAKERS[name]().fit(features, labels, n_classes=4)
    model = MAKERS[name]().fit(*TRAIN)
    with pytest.raises(ValueError, match="8 columns"):
        model.scores(features[:, :7])
    with pytest.raises(ValueError, match="finite"):
        model.scores(broken)


@every
def test_half_precision_features_are_widened(name):
    features, labels = TRAIN[0].astype(np.float16), TRAIN[1]
    expected = MAKERS[name]().fit(features.astype(np.float32), labels).scores(TEST[0])
    np.testing.assert_array_equal(MAKERS[name]().fit(features, labels).scores(TEST[0]), expected)


@every
def test_a_linear_classifier_is_its_weight_and_bias(name):
    model = MAKERS[name]().fit(*TRAIN)
    if not isinstance(model, LinearClassifier):
        return
    head = torch.nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.asarray(model.weight_)))
        head.bias.copy_(torch.from_numpy(np.asarray(model.bias_)))
        found = head(torch.from_numpy(TEST[0])).numpy()
    np.testing.assert_allclose(found, model.scores(TEST[0]), rtol=1e-4, atol=1e-4)  # float32 here


# Each against its oracle.


def test_nearest_mean_against_scikit_learn_and_the_cosine():
    oracle = NearestCentroid().fit(*TRAIN)
    np.testing.assert_array_equal(NearestClassMean("euclidean").fit(*TRAIN).predict(TEST[0]), oracle.predict(TEST[0]))
    means = np.stack([TRAIN[0][TRAIN[1] == c].mean(axis=0) for c in range(CLASSES)])
    cosine = normalize(TEST[0]) @ normalize(means).T
    model = NearestClassMean("cosine").fit(*TRAIN)
    np.testing.assert_allclose(model.means_, means, rtol=1e-5)
    np.testing.assert_allclose(1 - model.scores(TEST[0]) ** 2 / 2, cosine, atol=1e-6)
    centre = TRAIN[0].mean(axis=0)
    centred = normalize(TEST[0] - centre) @ normalize(means - centre).T
    np.testing.assert_allclose(1 - NearestClassMean("centred").fit(*TRAIN).scores(TEST[0]) ** 2 / 2, centred, atol=1e-5)
    with pytest.raises(ValueError, match="cosine, euclidean, centred"):
        NearestClassMean("manhattan").fit(*TRAIN)


def squares_to_means(features, labels, left_out, row, space) -> np.ndarray:
    """(C,) squared distances of one image to the class means, itself left out of them or not."""
    kept = np.arange(len(labels)) != (row if left_out else -1)
    means = np.stack([features[kept & (labels == c)].mean(axis=0) for c in range(CLASSES)])
    point = features[row]
    if space != "euclidean":
        centre = features.mean(axis=0) if space == "centred" else 0
        means, point = normalize(means - centre), normalize((point - centre)[None])[0]
    return ((means - point) ** 2).sum(axis=1)


@pytest.mark.parametrize("space", ["cosine", "euclidean", "centred"])
def test_the_softmax_scale_of_nearest_means_against_a_plain_loop(space):
    features, labels = TRAIN[0].astype(np.float64), TRAIN[1]
    squares = np.stack([squares_to_means(features, labels, True, row, space) for row in range(len(labels))])

    def cross_entropy(scale):
        log_softmax = torch.from_numpy(-scale * squares).log_softmax(dim=1)
        return float(torch.nn.functional.nll_loss(log_softmax, torch.from_numpy(labels)))

    model = NearestClassMean(space).fit(*TRAIN)
    found = model.softmax_scale(*TRAIN)
    assert found == pytest.approx(minimize_scalar(cross_entropy, bounds=(1e-4, 50), method="bounded").x, rel=1e-3)
    assert cross_entropy(found) < min(cross_entropy(found * 0.9), cross_entropy(found * 1.1))


def test_where_a_softmax_scale_has_nothing_to_be_fitted_to():
    alone = CENTRES.astype(np.float32), np.arange(CLASSES)
    assert NearestClassMean().fit(*alone).softmax_scale(*alone) == 1
    equal = np.ones((6, 3), np.float32), np.array([0, 0, 0, 1, 1, 1])
    assert NearestClassMean().fit(*equal).softmax_scale(*equal) == 1
    far = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 2, 2])
    # an absent class, and nothing to confuse: all of the softmax goes to the class, at a scale that is a number
    assert 100 < NearestClassMean().fit(*far, n_classes=3).softmax_scale(*far) < np.inf


@pytest.mark.parametrize("k", [1, 9, 10_000])
def test_neighbours_against_scikit_learn(k):
    found = NearestNeighbours(k=k, temperature=0.1).fit(*TRAIN).scores(TEST[0])
    oracle = KNeighborsClassifier(
        min(k, len(TRAIN[0])), metric="cosine", algorithm="brute", weights=lambda distance: np.exp(-distance / 0.1)
    ).fit(*TRAIN)
    np.testing.assert_allclose(found, oracle.predict_proba(TEST[0]), atol=1e-4)  # float32 cosines, over 0.1
    np.testing.assert_allclose(found.sum(axis=1), 1)
    fitted = NearestNeighbours().fit(*TRAIN)
    restored = NearestNeighbours.of(fitted.points_, fitted.labels_, CLASSES, fitted.k, fitted.temperature)
    np.testing.assert_array_equal(restored.scores(TEST[0]), fitted.scores(TEST[0]))
    for wrong in (NearestNeighbours(k=0), NearestNeighbours(temperature=0)):
        with pytest.raises(ValueError, match="must be"):
            wrong.fit(*TRAIN)


@pytest.mark.parametrize("classes", [2, CLASSES])
@pytest.mark.parametrize("standardise", [True, False])
def test_probe_against_scikit_learn(classes, standardise):
    kept = TRAIN[1] < classes
    spread = np.linspace(0.5, 3, WIDTH)
    features, labels = TRAIN[0][kept].astype(np.float64) * spread, TRAIN[1][kept]
    steps = [StandardScaler()] if standardise else []
    oracle = make_pipeline(*steps, LogisticRegression(C=0.5, max_iter=1000)).fit(features, labels)
    model = LinearProbe(C=0.5, standardise=standardise).fit(features, labels)
    test = TEST[0].astype(np.float64) * spread
    probabilities = torch.from_numpy(model.scores(test)).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, oracle.predict_proba(test), atol=1e-9)
    assert 0 < model.iterations_ < 1000
    with pytest.raises(ValueError, match="only class 3"):
        LinearProbe().fit(features[:4], [3, 3, 3, 3])


def test_tau_zero_leaves_the_weight_and_tau_one_gives_it_one_norm():
    weight = np.array([[3.0, 4.0], [0.0, 0.0], [0.5, 0.0]])
    np.testing.assert_array_equal(tau_normalise(weight, 0.0), weight)
    np.testing.assert_allclose(np.linalg.norm(tau_normalise(weight, 1.0), axis=1), [1, 0, 1])
    np.testing.assert_allclose(tau_normalise(weight, 0.5)[0], [3 / 5**0.5, 4 / 5**0.5])
    assert tau_normalise(weight.astype(np.float32), 0.7).dtype == np.float32
    for wrong in (weight[0], weight.astype(int), weight * np.nan):
        with pytest.raises(ValueError, match="weight must be a finite matrix"):
            tau_normalise(wrong, 1.0)
    with pytest.raises(ValueError, match="tau"):
        tau_normalise(weight, np.inf)


def inflated() -> np.ndarray:
    """Rows of one norm, spoilt as the long tail does: those of the common classes are longer."""
    directions = CENTRES - CENTRES.mean(axis=0)
    return (
        directions / np.linalg.norm(directions, axis=1, keepdims=True) * np.array([[4.0], [3.0], [2.0], [1.0], [0.5]])
    )


def test_tau_is_the_best_of_all_on_the_held_out_images():
    weight = inflated()
    model = TauNormalisation(weight, taus=[0.0, 0.5, 1.0, 1.5, 2.0]).fit(*TEST)
    by_hand = []
    for tau in (0.0, 0.5, 1.0, 1.5, 2.0):
        scores = TEST[0] @ (weight / np.linalg.norm(weight, axis=1, keepdims=True) ** tau).T
        by_hand.append(np.mean([(scores[TEST[1] == c].argmax(1) == c).mean() for c in range(CLASSES)]))
    np.testing.assert_allclose(model.accuracies_, by_hand)
    assert model.tau_ == (0.0, 0.5, 1.0, 1.5, 2.0)[int(np.argmax(by_hand))] > 0
    np.testing.assert_array_equal(model.weight_, tau_normalise(weight, model.tau_))
    with pytest.raises(ValueError, match=r"weight must have shape \(5, 8\)"):
        TauNormalisation(weight[:, :7]).fit(*TEST)


def test_weight_scaling_mends_scales_and_nothing_else():
    weight = inflated()
    spoilt = evaluate_scores(TEST[0] @ weight.T, TEST[1]).macro
    model = LearnableWeightScaling(weight, epochs=30, batch_size=64).fit(*TRAIN)
    np.testing.assert_allclose(model.weight_, weight * model.scales_[:, None])
    assert (model.bias_ == 0).all()
    assert evaluate_scores(model.scores(TEST[0]), TEST[1]).macro > spoilt + 0.02
    untouched = LearnableWeightScaling(weight, np.arange(5.0), lr=1e-12).fit(*TRAIN)
    np.testing.assert_allclose(untouched.scales_, 1, rtol=1e-6)
    np.testing.assert_allclose(untouched.bias_, np.arange(5.0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"bias must have shape \(5,\)"):
        LearnableWeightScaling(weight, np.zeros(4)).fit(*TRAIN)


def test_weight_scaling_leaves_a_class_that_can_never_be_chosen():
    """As retraining leaves a class of which no image could be read, with the bias −∞."""
    features, labels = TRAIN
    weight, never = inflated(), 1
    bias = np.where(np.arange(5) == never, -np.inf, 0.0)
    model = LearnableWeightScaling(weight, bias, epochs=30, batch_size=64).fit(*TRAIN)
    others = labels != never
    alone = LearnableWeightScaling(np.delete(weight, never, axis=0), np.zeros(4), epochs=30, batch_size=64).fit(
        features[others], labels[others] - (labels[others] > never)
    )
    np.testing.assert_allclose(np.delete(model.scales_, never), alone.scales_, rtol=1e-5)
    assert model.scales_[never] == pytest.approx(1) and model.bias_[never] == -np.inf
    assert never not in model.predict(TEST[0])


def test_retraining_tends_to_balanced_logistic_regression():
    # class-balanced sampling is, in expectation, weighting by 1/n; the penalties are set to be small
    oracle = LogisticRegression(class_weight="balanced", C=100, max_iter=2000).fit(*TRAIN)
    model = ClassifierRetraining(epochs=60, batch_size=64, weight_decay=0.0).fit(*TRAIN)
    assert (model.predict(TEST[0]) == oracle.predict(TEST[0])).mean() > 0.95
    plain = LogisticRegression(max_iter=2000).fit(*TRAIN).predict(TEST[0])
    assert (plain == 4).mean() < (model.predict(TEST[0]) == 4).mean()  # the rarest class comes into its own


def test_retraining_does_not_depend_on_the_scale_of_the_features():
    expected = ClassifierRetraining(batch_size=64).fit(*TRAIN).predict(TEST[0])
    for scale, shift in ((1e-3, 0.0), (1e3, 0.0), (1.0, 50.0)):
        moved = ClassifierRetraining(batch_size=64).fit(TRAIN[0] * scale + shift, TRAIN[1])
        assert (moved.predict(TEST[0] * scale + shift) == expected).mean() > 0.99  # rounding at the borders
    with pytest.raises(ValueError, match="epochs, batch_size and lr"):
        ClassifierRetraining(lr=0).fit(*TRAIN)


def test_balanced_split_holds_out_as_many_of_each_class():
    labels = np.array([2, 0, 0, 2, 0, 2, 2, 0, 0])
    rest, held = balanced_split(labels, per_class=2, seed=1)
    assert sorted([*rest, *held]) == list(range(9))
    np.testing.assert_array_equal(np.bincount(labels[held]), [2, 0, 2])
    assert any((balanced_split(labels, 2, seed=s)[1] != held).any() for s in range(5))
    with pytest.raises(InputError, match=r"class number 2 has 4 images.*at most 3"):
        balanced_split(labels, per_class=4)
