"""The classifier that a training continues from: which row is which class."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.data import ImageNetInfo
from torch import nn

from features.backbones.backbone import Backbone
from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.classifiers.kept_classes import kept_classifier
from finetune.model import ImageClassifier


def network(dim: int = 4) -> Backbone:
    return Backbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, dim, 1)), "t", "none", dim, Preprocessing(8, 8))


@pytest.fixture
def run(tmp_path) -> str:
    """A checkpoint of CIFAR's architecture whose row i holds the number i."""
    model = ImageClassifier(load_backbone("resnet8", "none"), ["one", "a:/both", "b:/both", "two"])
    with torch.no_grad():
        model.head.weight.copy_(torch.arange(4.0)[:, None].expand(4, 64))
        model.head.bias.copy_(torch.arange(4.0))
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    path.parent.mkdir(parents=True)
    model.save(path, {"sigmoid": False, "balanced_by": "--loss cb-softmax"})
    return str(tmp_path / "run")


def test_a_run_knows_classes_by_name_and_by_source(run):
    origin = [("b:", "both"), ("c:", "two"), ("a:", "both"), ("a:", "one")]
    kept = kept_classifier(run, load_backbone(run), origin)
    assert kept.bias.tolist() == [2, 3, 1, 0]
    assert kept.weight[:, 5].tolist() == [2, 3, 1, 0]


def test_a_class_of_another_source_is_not_taken_for_one_of_the_same_name(run, capsys):
    card = Path(run) / "checkpoints" / "last.json"
    content = json.loads(card.read_text())
    content["origin"] = [["a:", "one"], ["a:", "both"], ["b:", "both"], ["a:", "two"]]
    card.write_text(json.dumps(content))
    kept = kept_classifier(run, load_backbone(run), [("b:", "both"), ("a:", "one")])
    assert kept.bias.tolist() == [2, 0] and kept.balanced_by == "--loss cb-softmax"
    with pytest.raises(InputError, match="does not know 1 of 2 classes, such as 'two'"):
        kept_classifier(run, load_backbone(run), [("b:", "two"), ("a:", "one")])  # b: has no class two
    assert "by their names alone" not in capsys.readouterr().err
    moved = kept_classifier(run, load_backbone(run), [("/elsewhere:", "two"), ("/elsewhere:", "one"), ("a:", "both")])
    said = f"{run}: 2 of 3 classes are recognised by their names alone, because the run was not trained on /elsewhere:"
    assert said in capsys.readouterr().err.replace("\n", "")
    assert moved.bias.tolist() == [3, 0, 1]  # of a source that has moved, by name
    with pytest.raises(InputError, match="such as 'both'"):
        kept_classifier(run, load_backbone(run), [("/elsewhere:", "both"), ("a:", "one")])


def test_a_class_that_the_run_does_not_know_is_refused(run):
    with pytest.raises(InputError, match=r"does not know 2 of 3 classes, such as 'goose'; it knows 4, such as 'one'"):
        kept_classifier(run, load_backbone(run), [("a:", "one"), ("a:", "goose"), ("a:", "swan")])
    with pytest.raises(InputError, match="knows 'two' of a: and 'two' of b: as one class; leave one out"):
        kept_classifier(run, load_backbone(run), [("a:", "two"), ("b:", "two")])


def test_a_published_classifier_knows_imagenet_by_id_and_by_name():
    backbone = network()
    backbone.classifier = torch.arange(1000.0)[:, None].expand(1000, 4), torch.arange(1000.0)
    names = ["n01443537", "n01443537 anything", "goldfish", "Goldfish", "great_white_shark"]
    for name in names:
        kept = kept_classifier("resnet50", backbone, [("a:", name), ("a:", "tench")])
        assert kept.bias.tolist() == [2 if "shark" in name else 1, 0]
    # ImageNet has two classes called crane: a bird and a machine.
    with pytest.raises(InputError, match="does not know 1 of 2 classes, such as 'crane'; it knows 1000, which go by"):
        kept_classifier("resnet50", backbone, [("a:", "tench"), ("a:", "crane")])
    identifiers = ImageNetInfo("imagenet-1k").label_names()
    kept = kept_classifier("resnet50", backbone, [("a:", name) for name in identifiers])
    np.testing.assert_array_equal(kept.bias, np.arange(1000))


def test_every_english_name_of_one_class_is_that_class():
    """Also those that begin with the name of another one, such as tiger cat and bow tie."""
    backbone = network()
    backbone.classifier = torch.arange(1000.0)[:, None].expand(1000, 4), torch.arange(1000.0)
    synonyms = [[word.strip() for word in text.split(",")] for text in ImageNetInfo("imagenet-1k").label_descriptions()]
    times = Counter(word.lower() for words in synonyms for word in set(words))
    of_class = [[word for word in words if times[word.lower()] == 1] for words in synonyms]
    identifiers = ImageNetInfo("imagenet-1k").label_names()
    for place in range(max(map(len, of_class))):  # two names of a class in one call are refused
        names = [words[place] if len(words) > place else identifiers[i] for i, words in enumerate(of_class)]
        kept = kept_classifier("resnet50", backbone, [("a:", name) for name in names])
        np.testing.assert_array_equal(kept.bias, np.arange(1000))
    whole = kept_classifier("resnet50", backbone, [("a:", "goldfish, Carassius auratus"), ("a:", "tench")])
    assert whole.bias.tolist() == [1, 0]


def test_a_model_without_a_published_classifier_of_imagenet_is_refused():
    backbone = network()
    for classifier in (None, (torch.zeros(21843, 4), torch.zeros(21843))):
        backbone.classifier = classifier
        with pytest.raises(InputError, match="has no published classifier of ImageNet's 1000 classes to keep"):
            kept_classifier("resnet50", backbone, [("a:", "tench")])


def test_a_model_of_the_hub_knows_the_classes_that_it_names():
    """A thousand of them too, which are not ImageNet's."""
    backbone = network()
    backbone.classifier = torch.arange(1000.0)[:, None].expand(1000, 4), torch.arange(1000.0)
    backbone.classes = tuple(f"bird {i}" for i in range(1000))
    kept = kept_classifier("hf-hub:ann/birds", backbone, [("a:", "bird 7"), ("b:", "bird 3")])
    assert kept.bias.tolist() == [7, 3]
    with pytest.raises(
        InputError, match="does not know 1 of 1 classes, such as 'tench'; it knows 1000, such as 'bird 0'"
    ):
        kept_classifier("hf-hub:ann/birds", backbone, [("a:", "tench")])
