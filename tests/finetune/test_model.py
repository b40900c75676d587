"""The classifier: its heads, and to disk and back."""

from __future__ import annotations

import json

import pytest
import torch

from features.backbones import load_backbone
from features.errors import InputError
from finetune.model import CosineHead, ImageClassifier, as_scores


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def classifier(head: str = "linear") -> ImageClassifier:
    torch.manual_seed(1)
    return ImageClassifier(load_backbone("resnet8", "none", 16), ["a", "b", "c"], head).eval()


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


def test_every_class_starts_with_about_the_same_score(images):
    scores = as_scores(classifier()(images), sigmoid=False)
    assert (scores - 1 / 3).abs().max() < 0.05


def test_scores_follow_the_link_that_was_trained():
    logits = torch.tensor([[2.0, 0.0], [-1.0, 1.0]])
    torch.testing.assert_close(as_scores(logits, sigmoid=True), 1 / (1 + torch.exp(-logits)))
    softmax = as_scores(logits, sigmoid=False)
    torch.testing.assert_close(softmax, logits.exp() / logits.exp().sum(1, keepdim=True))


@pytest.mark.parametrize("head", ["linear", "cosine"])
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
