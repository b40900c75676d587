"""``rank-models``: every measure of every model in one table, and the reasons for those that are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from features import ExtractConfig, FeatureBank, extract
from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from finetune import FinetuneConfig, finetune
from finetune.classifiers import LinearProbe
from similarity import MEASURES, Evidence, measure
from similarity.measures import Score, rank_correlation
from transfer.commands.rank_models import RankModelsConfig, rank_models, show

TRAIN, TEST = "digits:@train?per_class=12", "digits:@test?per_class=8"
CPU = {"device": "cpu", "precision": "fp32", "workers": 0}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Two random networks and one that has learned digits, ranked for digits."""
    folder = tmp_path_factory.mktemp("zoo")
    trained = finetune(
        FinetuneConfig(
            dataset="digits:@train?per_class=40", init="resnet8", weights="none", out=str(folder / "run"), steps=60,
            batch_size=32, lr=0.1, augment="none", **CPU,
        )
    )  # fmt: skip
    models = ["resnet8:none", str(trained.run), "resnet14:none"]
    config = RankModelsConfig(target=TRAIN, model=models, test=TEST, cache=str(folder / "cache"), seed=3, **CPU)
    return config, rank_models(config)


def test_every_measure_of_models_is_taken_on_the_targets_features(zoo):
    _, ranking = zoo
    names = {name for name, one in MEASURES.items() if one.compares != "sources"}
    for candidate in ranking.candidates:
        assert set(candidate.measures) == names
        alone = measure(["knn", "logme"], Evidence(FeatureBank.open(candidate.bank), seed=3))
        for name, score in alone.items():
            assert candidate.measures[name].value == score.value
    by = [candidate.measures["linear-probe"].value for candidate in ranking.candidates]
    assert by == sorted(by, reverse=True) and len(set(by)) > 1


def test_a_models_own_classifier_says_what_leep_asks_for(zoo):
    config, ranking = zoo
    found = {candidate.model: candidate for candidate in ranking.candidates}
    assert isinstance(found[config.model[1]].measures["leep"], Score)  # a run knows its classes
    assert "a model with its classifier" in ranking.to_json()["unmeasured"]["leep"]  # random weights do not
    assert ranking.to_json()["models"][0].keys() == {"model", "measures", "test_top1", "bank"}


def test_published_weights_bring_their_classifier():
    torch.manual_seed(0)
    published = load_backbone("efficientnet_lite0", "default", 64)
    weight, bias = published.classifier
    assert weight.shape == (1000, published.dim) and bias.shape == (1000,)
    assert load_backbone("efficientnet_lite0", "none").classifier is None


def test_the_accuracy_beside_them_is_that_of_a_linear_probe(zoo, tmp_path):
    _, ranking = zoo
    best = ranking.candidates[0]
    name, _, weights = best.model.partition(":") if not best.model.startswith("/") else (best.model, "", "")
    parts = []
    for spec in (TRAIN, TEST):
        torch.manual_seed(3)
        options = {"backbone": name, "weights": weights or "default", "keep_images": True, **CPU}
        parts.append(extract(ExtractConfig(dataset=spec, out=str(tmp_path / f"{len(parts)}.h5"), **options)).bank)
    (features, labels, _), (tested, truth, _) = (part.images() for part in parts)
    accuracy = (LinearProbe().fit(features, labels, 10).predict(tested) == truth).mean()
    assert best.top1 == pytest.approx(accuracy)
    scores = [candidate.measures["knn"].value for candidate in ranking.candidates]
    expected = rank_correlation(scores, [candidate.top1 for candidate in ranking.candidates])
    assert ranking.agreement["knn"] == pytest.approx(expected, nan_ok=True)


def test_banks_are_reused_and_the_table_shows_all(zoo, capsys):
    config, ranking = zoo
    before = {candidate.bank: candidate.bank.stat().st_mtime_ns for candidate in ranking.candidates}
    again = rank_models(config)
    assert again.to_json() == ranking.to_json()
    assert before == {candidate.bank: candidate.bank.stat().st_mtime_ns for candidate in again.candidates}
    capsys.readouterr()
    show(config, ranking)
    table = capsys.readouterr().out
    assert all(name in table for name in ("linear-probe", "transrate", "parameters", "not taken: leep", "agreement"))
    assert "not taken: emd, otdd, frechet, mmd, source-images: these compare sources, not models" in table
    assert table.splitlines()[-1].strip().startswith("transfer finetune")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": []}, "missing: `model`"),
        ({"model": ["resnet8", "b", "resnet8"]}, "`model` resnet8: is given twice; leave one out"),
        ({"target": "a.h5"}, "`target` a.h5: is a bank, whose features come from one model; give"),
        ({"measures": ["logmee"]}, "`measures` logmee: there is no such measure of transferability; did you"),
        ({"measures": ["emd"]}, "`measures` emd: compares sources, not models; leave it out, or use: transfer rank"),
        ({"by": "emd"}, "`by` emd: compares sources, not models"),
        ({"measures": ["knn"], "by": "logme"}, "`by` logme: is not one of `measures` knn"),
        ({"by": "all"}, "`by` all: is not one of `measures` all"),
        ({"seed": -1}, "`seed` -1: expected at least 0"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(InputError) as refusal:
        RankModelsConfig(**{"target": "t", "model": ["resnet8"]} | given)
    assert str(refusal.value).startswith(message)


def test_a_test_set_of_other_classes(tmp_path):
    for name in ("0", "1"):
        (tmp_path / "other" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(tmp_path / "other" / name / "1.png")
    options = {"test": f"folder:{tmp_path}/other", "cache": str(tmp_path / "cache"), **CPU}
    with pytest.raises(InputError, match="class '0' is not one of"):
        rank_models(RankModelsConfig(target=TRAIN, model=["resnet8:none"], **options))
    with pytest.raises(InputError, match="resnet9"):
        rank_models(
            RankModelsConfig(target=TRAIN, model=["resnet8:none", "resnet9:none"], cache=options["cache"], **CPU)
        )
    with pytest.raises(InputError, match="has one class, 'red'; comparing models takes at least two"):
        (tmp_path / "one" / "red").mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(tmp_path / "one" / "red" / "1.png")
        rank_models(
            RankModelsConfig(target=f"folder:{tmp_path}/one", model=["resnet8:none"], cache=options["cache"], **CPU)
        )
    with pytest.raises(InputError, match="`measures` leep: needs class probabilities"):
        rank_models(
            RankModelsConfig(
                target=TRAIN, model=["resnet8:none"], measures=["leep"], cache=str(tmp_path / "leep"), **CPU
            )
        )
    with pytest.raises(InputError, match="`measures` frechet: compares sources, not models"):
        rank_models(RankModelsConfig(target=TRAIN, model=["resnet8:none"], measures=["frechet", "knn"], **CPU))
    assert not (tmp_path / "cache").exists()


def test_a_tie_is_no_agreement():
    assert np.isnan(rank_correlation([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]))


def test_weights_that_are_missing_are_those_of_the_model(tmp_path):
    config = RankModelsConfig(target=TRAIN, model=["efficientnet_lite0:nofile"], cache=str(tmp_path))
    message = "`model` efficientnet_lite0:nofile: weights nofile: no such file; expected default, none, or a state-dict"
    with pytest.raises(InputError, match=message):
        rank_models(config)


def test_random_weights_are_those_of_the_seed_and_the_global_generator_is_left_alone(tmp_path):
    means = []
    for seed in (0, 1):
        state = torch.random.get_rng_state()
        config = RankModelsConfig(
            target=TRAIN, model=["resnet8:none"], measures=["knn"], cache=str(tmp_path), seed=seed, **CPU
        )
        (candidate,) = rank_models(config).candidates
        assert torch.equal(torch.random.get_rng_state(), state)
        bank = FeatureBank.open(candidate.bank)
        expected = load_backbone("resnet8", "none", seed=seed).weights_sha256()
        assert bank.attrs["weights_sha256"] == expected and expected[:8] in candidate.bank.name
        means.append(bank.means)
    assert not np.allclose(*means)


def test_a_folder_that_is_called_like_a_model_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("resnet8:none", "resnet8"):
        (tmp_path / name).mkdir()
    config = RankModelsConfig(target=TRAIN, model=["resnet8:none"], measures=["knn"], cache="cache", **CPU)
    (candidate,) = rank_models(config).candidates
    assert (candidate.name, candidate.weights) == ("resnet8", "none")
