"""The classifier: its heads, and to disk and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from features.backbones.loading import load_backbone
from features.inference_network import InferenceNetwork
from features.infrastructure.errors import InputError
from finetune.classifiers import NearestNeighbours
from finetune.classifiers.second_stage import FittedHead
from finetune.heads import CentredCosineHead, CosineHead, NeighboursHead
from finetune.model import ImageClassifier, as_scores


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def classifier(head: str = "linear") -> ImageClassifier:
    torch.manual_seed(1)
    model = ImageClassifier(load_backbone("resnet8", "none", 16), ["a", "b", "c"], head).eval()
    if head == "centred-cosine":
        model.head.centre.normal_()
    if head == "knn":
        remember(model.head, fitted_neighbours(model.backbone.dim, 3))
    return model


def remember(head: NeighboursHead, fitted: NearestNeighbours) -> None:
    votes = {"k": fitted.k, "temperature": fitted.temperature}
    FittedHead("knn", {"features": fitted.points_, "labels": fitted.labels_, **votes}).into(head)


def fitted_neighbours(dim: int, n_classes: int) -> NearestNeighbours:
    """Of images of the first three classes."""
    rng = np.random.default_rng(2)
    return NearestNeighbours().fit(rng.random((40, dim)), rng.integers(0, 3, 40), n_classes)


def test_scores_are_the_heads_product_with_the_features(images):
    model = classifier()
    features = model.backbone(images)
    expected = features @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(images), expected)
    assert model(images).shape == (5, 3)


def test_the_cosine_head_gives_cosines():
    head = CosineHead(7, 4)
    x = torch.randn(9, 7, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([torch.cosine_similarity(x, w[None], dim=1) for w in head.weight], dim=1)
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(x * 100), head(x))  # whatever the length of a feature
    torch.testing.assert_close(head(head.weight).diagonal(), torch.ones(4))
    assert head.bias is None


def test_the_centred_cosine_head_takes_the_centre_off_first():
    head = CentredCosineHead(7, 4)
    x, centre = torch.randn(9, 7, generator=torch.Generator().manual_seed(0)), torch.arange(7.0)
    head.centre.copy_(centre)
    expected = torch.stack([torch.cosine_similarity(x - centre, w[None], dim=1) for w in head.weight], dim=1)
    torch.testing.assert_close(head(x), expected)


def test_the_softmax_of_the_neighbours_head_is_the_vote():
    fitted = fitted_neighbours(7, 4)  # which saw no image of the last class
    head = NeighboursHead(7, 4)
    remember(head, fitted)
    x = torch.randn(9, 7, generator=torch.Generator().manual_seed(0))
    logits = head(x)
    assert logits.dtype == torch.float32 and torch.isneginf(logits[:, 3]).all()
    np.testing.assert_allclose(as_scores(logits, sigmoid=False).numpy(), fitted.scores(x.numpy()), atol=1e-6)
    assert torch.equal(head.to(torch.bfloat16)(x), logits)  # what is remembered stays as it is
    with pytest.raises(ValueError, match="finite"):
        head(x * torch.nan)


@pytest.mark.parametrize("head", ["linear", "cosine", "centred-cosine"])
def test_the_head_computes_in_float32_in_training(images, head):
    model = classifier(head)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, logits = model.backbone(images), model(images)
    assert features.dtype == torch.bfloat16 and logits.dtype == torch.float32
    torch.testing.assert_close(logits, model.head(features.float()), rtol=0, atol=0)
    logits.sum().backward()
    assert model.head.weight.grad.dtype == torch.float32 and model.backbone.network.stem[0].weight.grad.any()


@pytest.mark.parametrize("head", ["linear", "cosine", "centred-cosine", "knn"])
def test_the_head_computes_in_float32_in_evaluation(head):
    model, cpu = classifier(head), torch.device("cpu")
    preprocessing = model.backbone.preprocessing
    pixels = torch.randint(0, 256, (9, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    features = InferenceNetwork(model.backbone, preprocessing, cpu, "bf16")(pixels)
    assert torch.equal(features, features.bfloat16().float())
    logits = InferenceNetwork(model, preprocessing, cpu, "bf16")(pixels)
    torch.testing.assert_close(logits, model.head(features))


def test_scores_that_bfloat16_cannot_tell_apart_do_not_tie(images):
    model = classifier()
    with torch.no_grad():
        model.head.weight[:] = torch.full((1, model.backbone.dim), 1.0) * torch.tensor([[1.0], [1.001], [0.5]])
        features = model.backbone(images).bfloat16()
        coarse = F.linear(features, model.head.weight.bfloat16(), model.head.bias.bfloat16())
        assert (coarse[:, 0] == coarse[:, 1]).all() and (coarse.argmax(1) == 0).all()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (model(images).argmax(1) == 1).all()


def test_every_class_starts_with_about_the_same_score(images):
    scores = as_scores(classifier()(images), sigmoid=False)
    assert (scores - 1 / 3).abs().max() < 0.05


def test_scores_follow_the_link_that_was_trained():
    logits = torch.tensor([[2.0, 0.0], [-1.0, 1.0]])
    torch.testing.assert_close(as_scores(logits, sigmoid=True), 1 / (1 + torch.exp(-logits)))
    softmax = as_scores(logits, sigmoid=False)
    torch.testing.assert_close(softmax, logits.exp() / logits.exp().sum(1, keepdim=True))


@pytest.mark.parametrize("head", ["linear", "cosine", "centred-cosine", "knn"])
def test_to_disk_and_back(tmp_path, images, head):
    model = classifier(head)
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    model.save(path, {"sigmoid": False, "scale": 1.0, "train_counts": [3, 2, 1]})
    for location in (tmp_path / "run", path):
        opened, card = ImageClassifier.open(location)
        assert opened.classes == ("a", "b", "c")
        assert opened.head_kind == head
        torch.testing.assert_close(opened.eval()(images), model(images), rtol=0, atol=0)
        assert opened.backbone.preprocessing == model.backbone.preprocessing
        assert card["train_counts"] == [3, 2, 1]
        assert card["weights_sha256"] == opened.backbone.weights_sha256()
    assert json.loads(path.with_suffix(".json").read_text())["classes"] == ["a", "b", "c"]


def test_where_no_model_is(tmp_path):
    with pytest.raises(InputError, match="no trained model there; expected a finished run directory"):
        ImageClassifier.open(tmp_path)
