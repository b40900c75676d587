"""Heads fitted to frozen features: the nearest class mean in its spaces, and the nearest neighbours."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from features.backbones.loading import load_backbone
from features.dataset import ImageDataset
from features.image_sources import ArrayImages
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from finetune.classifier_fitting import FitClassifierConfig, fit_frozen
from finetune.classifiers import NearestClassMean, NearestNeighbours
from finetune.classifiers.second_stage import METHODS, FittedHead, TrainedClassifier
from finetune.evaluation.evaluator import evaluate_model
from finetune.evaluation.image_pass import score_images
from finetune.evaluation.metrics import calibration_error
from finetune.heads import HEADS
from finetune.model import ImageClassifier
from transfer.commands.inspect import InspectConfig, inspect


@dataclass(frozen=True)
class OnCpu:
    batch_size: int = 16
    device: str = "cpu"
    precision: str = "fp32"
    workers: int | None = 0


SPACES = ("cosine", "euclidean", "centred")
COUNTS = (20, 12, 8, 5)


@pytest.fixture
def backbone():
    torch.manual_seed(3)
    return load_backbone("resnet8", "none", 16)


def features_of(backbone, dataset: ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    return score_images(backbone, dataset, backbone.preprocessing, OnCpu())[:2]


def card(fit, counts=COUNTS) -> dict:
    return {"sigmoid": False, "scale": fit.head.scale, "train_counts": list(counts)}


def reopened(fit, tmp_path) -> ImageClassifier:
    fit.model.save(tmp_path / "run" / "checkpoints" / "last.safetensors", card(fit))
    return ImageClassifier.open(tmp_path / "run")[0].eval()


@pytest.mark.parametrize("space", SPACES)
def test_nearest_means_rank_as_their_distances_before_and_after_the_disk(backbone, colours, tmp_path, space):
    train, test = colours(*COUNTS), colours(30, 30, 30, 30, seed=1)
    fit = fit_frozen("ncm", backbone, train, OnCpu(), space=space)
    features, labels = features_of(backbone, train)
    unseen, _ = features_of(backbone, test)
    expected = NearestClassMean(space).fit(features, labels).scores(unseen)
    for model in (fit.model.eval(), reopened(fit, tmp_path)):
        scores, *_ = score_images(model, test, model.backbone.preprocessing, OnCpu())
        np.testing.assert_array_equal(scores.argsort(axis=1), expected.argsort(axis=1))
    assert fit.model.head_kind == {"cosine": "cosine", "euclidean": "linear", "centred": "centred-cosine"}[space]
    assert fit.head.said == "" and fit.unreadable == ()


@pytest.mark.parametrize("space", SPACES)
def test_the_probabilities_of_nearest_means_are_the_softmax_of_scaled_squares(backbone, colours, space):
    train = colours(*COUNTS)
    fit = fit_frozen("ncm", backbone, train, OnCpu(), space=space)
    features, labels = features_of(backbone, train)
    oracle = NearestClassMean(space).fit(features, labels)
    squares = oracle.scores(features) ** 2
    expected = torch.from_numpy(-oracle.softmax_scale(features, labels) * squares).softmax(dim=1).numpy()
    logits, *_ = score_images(fit.model, train, backbone.preprocessing, OnCpu())
    found = torch.from_numpy(logits * fit.head.scale).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)  # float32 logits, times a scale of a hundred and more
    assert (fit.head.scale == 1) == (space == "euclidean")


def overlapping(colours, seed: int) -> ImageDataset:
    """Pale colours in a light of changing colour, so that some are taken for others."""
    plain, rng = colours(90, 90, 90, 90, seed=seed), np.random.default_rng(seed)
    pixels = np.stack([np.asarray(plain.image(i)) for i in range(len(plain))])
    lit = 0.3 * pixels + 90 + rng.normal(0, 20, (len(plain), 1, 1, 3))
    images = ArrayImages(np.clip(lit, 0, 255).astype(np.uint8))
    return ImageDataset("made:overlapping", plain.classes, plain.labels, plain.ids, images)


@pytest.mark.parametrize("space", SPACES)
def test_the_scale_calibrates_nearest_means(backbone, colours, space):
    train, test = overlapping(colours, 1), overlapping(colours, 2)
    fit = fit_frozen("ncm", backbone, train, OnCpu(), space=space)
    figures = {}
    for factor in (0.1, 1.0, 10.0):
        scaled = card(fit, train.counts) | {"scale": fit.head.scale * factor}
        figures[factor] = evaluate_model(fit.model, test, scaled, OnCpu()).metrics
    assert 0.4 < figures[1].top1 == figures[0.1].top1 == figures[10].top1 < 0.9
    assert figures[1].calibration_error < 0.15  # the features of a random network, and 360 images
    assert figures[1].calibration_error < 0.7 * min(figures[0.1].calibration_error, figures[10].calibration_error)


@pytest.mark.parametrize("space", SPACES)
def test_a_class_that_no_image_can_be_read_of_is_refused_by_name(backbone, write_folder, tmp_path, space):
    folder = write_folder(tmp_path / "data", {"blue": 2, "green": 1, "red": 0})
    for path in (folder / "green").iterdir():
        path.write_bytes(b"no picture")
    dataset = open_dataset(f"folder:{folder}")
    with pytest.raises(InputError, match=r"class 'green' has no training image that can be read.*`method` ncm"):
        fit_frozen("ncm", backbone, dataset, OnCpu(), space=space)
    voted = fit_frozen("knn", backbone, dataset, OnCpu())
    assert len(voted.unreadable) == 6 and voted.unreadable[0][0].startswith("green")
    logits, *_ = score_images(voted.model, dataset.restrict(["blue", "red"]), backbone.preprocessing, OnCpu())
    assert np.isneginf(logits[:, 1]).all()


def test_neighbours_vote_in_an_evaluation_of_any_views(backbone, colours, tmp_path):
    train, test = colours(*COUNTS, size=24), colours(9, 9, 9, 9, size=24, seed=1)
    backbone.preprocessing = backbone.preprocessing.cropped_to(0.75)
    fit = fit_frozen("knn", backbone, train, OnCpu())
    unseen, truth = features_of(backbone, test)
    oracle = NearestNeighbours(k=20, temperature=0.07).fit(*features_of(backbone, train)).scores(unseen)
    model = reopened(fit, tmp_path)
    found = evaluate_model(model, test, card(fit), OnCpu())
    assert found.metrics.top1 == pytest.approx((oracle.argmax(1) == truth).mean()) and found.metrics.top1 > 0.5
    expected = calibration_error(oracle.max(axis=1), oracle.argmax(1) == truth)
    assert found.metrics.calibration_error == pytest.approx(expected, abs=1e-3)
    for views in (2, 5, 10):
        assert evaluate_model(model, test, card(fit), OnCpu(), views).metrics.top1 > 0.5
    half = evaluate_model(model, test, card(fit), OnCpu(precision="bf16")).metrics
    assert abs(half.top1 - found.metrics.top1) < 0.1


def test_neighbours_are_searched_in_worker_processes_too(backbone, write_folder, tmp_path):
    """Where this process has searched with several threads, a forked one would wait for them for ever."""
    dataset = open_dataset(f"folder:{write_folder(tmp_path / 'data', {'blue': 2, 'green': 1})}")
    fit = fit_frozen("knn", backbone, dataset, OnCpu())
    torch.set_num_threads(2)
    try:
        here, *_ = score_images(fit.model, dataset, backbone.preprocessing, OnCpu())
        there, *_ = score_images(fit.model, dataset, backbone.preprocessing, OnCpu(workers=1))
    finally:
        torch.set_num_threads(1)
    np.testing.assert_allclose(np.exp(there), np.exp(here), atol=1e-4)


def test_a_run_of_neighbours_starts_another_as_a_backbone_only(backbone, colours, tmp_path):
    train = colours(*COUNTS)
    reopened(fit_frozen("knn", backbone, train, OnCpu()), tmp_path)
    run = str(tmp_path / "run")
    started = load_backbone(run)
    assert started.weights_sha256() == backbone.weights_sha256()
    for name, row in METHODS.items():
        if row.keeps_classifier:
            with pytest.raises(InputError, match=f"`method` {name} needs a linear classifier, and this run's is knn"):
                TrainedClassifier.of(run, train.classes, f"`method` {name}")


OPTIONS = {"tau": 0.5, "validation": "digits:@test", "space": "euclidean"}


@pytest.mark.parametrize("name", METHODS)
def test_every_row_can_be_asked_for_explained_and_fitted(backbone, colours, name):
    """One contract for all second-stage classifiers."""
    row, train = METHODS[name], colours(*COUNTS)
    needed = {option: OPTIONS[option] for option in list(row.needs_one_of)[-1:]}
    config = FitClassifierConfig(dataset="digits:", init="resnet8", out="run", method=name, **needed)
    assert inspect(InspectConfig(what="methods")).content[name] == row.meaning
    for option, value in OPTIONS.items():
        if option in row.options and option not in row.needs_one_of:
            assert getattr(replace(config, **{option: value}), option) == value
        elif option not in row.options:
            with pytest.raises(InputError, match=f"`{option}` {value}: is for `method` .*; leave it out"):
                replace(config, **{option: value})
    assert set(config.unread()) == {"tau", "validation", "space"} - row.options
    assert config.balanced_by() == (f"--method {name}" if row.balanced else None)
    trained = None
    if row.keeps_classifier:
        with pytest.raises(ValueError, match="`trained` must be the classifier that the method starts from"):
            fit_frozen(name, backbone, train, OnCpu())
        trained = TrainedClassifier(np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32), np.zeros(4))
    before = copy.deepcopy(backbone.state_dict())
    fit = fit_frozen(name, backbone, train, OnCpu(), trained=trained)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert fit.model.head_kind in HEADS and fit.model.classes == train.classes
    again = fit_frozen(name, backbone, train, OnCpu(), trained=trained)
    assert all(map(torch.equal, fit.model.state_dict().values(), again.model.state_dict().values()))


def test_an_unknown_method_is_refused_by_name(backbone, colours):
    with pytest.raises(InputError, match=r"`method` ncn: there is no such method; did you mean ncm\?"):
        fit_frozen("ncn", backbone, colours(*COUNTS), OnCpu())


def test_the_neighbours_that_a_head_remembers_vote_as_they_were_fitted_to():
    fitted = NearestNeighbours(k=1, temperature=1.0).fit(np.eye(3, dtype=np.float32), [0, 1, 2])
    head = HEADS["knn"](3, 3)
    votes = {"k": fitted.k, "temperature": fitted.temperature}
    FittedHead("knn", {"features": fitted.points_, "labels": fitted.labels_, **votes}).into(head)
    again = HEADS["knn"](3, 3)
    again.load_state_dict(head.state_dict())
    rows = np.array([[0.1, 0.2, 0.9]], dtype=np.float32)
    np.testing.assert_allclose(again(torch.from_numpy(rows)).exp().numpy(), fitted.scores(rows))


def test_the_shares_that_are_taken_out_are_those_of_the_trained_classifier(backbone, colours):
    trained = TrainedClassifier(np.zeros((4, backbone.dim), np.float32), np.zeros(4, np.float32))
    counts = np.array([8, 4, 2, 2])
    fit = fit_frozen("logit-adjusted", backbone, colours(3, 3, 3, 3), OnCpu(), trained=trained, counts=counts)
    np.testing.assert_allclose(fit.model.head.bias.detach().numpy(), -np.log(counts / counts.sum()), rtol=1e-6)
