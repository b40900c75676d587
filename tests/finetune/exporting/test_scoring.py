"""What an export computes, and the check that finds one that computes something else."""

from __future__ import annotations

import pytest
import torch

from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from finetune.evaluation.test_time_augmentation import Views
from finetune.exporting.scoring import ScoringNetwork, check_parity, example_images
from finetune.model import as_scores


@pytest.mark.parametrize("head", ["linear", "cosine", "centred-cosine"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_link_of_the_logits_gives_the_probabilities_of_an_evaluation(classifier, head, sigmoid):
    model = classifier(head=head)
    images = example_images(model.backbone.preprocessing)
    with torch.no_grad():
        logits = ScoringNetwork(model, 30.0)(images)
        evaluated = Views(model, 1, sigmoid=sigmoid, scale=30.0)(images)
    torch.testing.assert_close(as_scores(logits, sigmoid), evaluated)  # in another memory format


def test_the_example_images_are_the_same_every_time_and_differ_from_each_other():
    recipe = Preprocessing(48, 56)
    images = example_images(recipe)
    assert images.shape == (4, 3, 48, 48) and torch.equal(images, example_images(recipe))
    pixels = images * torch.tensor(recipe.std).view(1, 3, 1, 1) + torch.tensor(recipe.mean).view(1, 3, 1, 1)
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6
    roughness = images.diff(dim=-1).abs().mean(dim=(1, 2, 3))
    assert (roughness.diff() > 0).all()


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (lambda logits: logits + 5e-5, True),
        (lambda logits: logits + 1e-2, False),
        (lambda logits: logits.flip(1), False),
        (lambda logits: logits[:, :-1], False),
        (lambda logits: logits * float("nan"), False),
        (lambda logits: logits[:1].expand(len(logits), -1), False),  # a number of images that was fixed
        (lambda logits: logits.numpy(), True),
    ],
)
def test_another_function_is_found(classifier, change, passes):
    network = ScoringNetwork(classifier(), 1.0).eval()
    recipe = network.backbone.preprocessing
    if passes:
        assert check_parity(network, lambda x: change(network(x)), recipe, "onnx") <= 1e-4
        return
    with pytest.raises(InputError, match=r"^`format` onnx: its logits differ from the run's by .* nothing was written"):
        check_parity(network, lambda x: change(network(x)), recipe, "onnx")


def test_a_class_without_images_has_the_logit_minus_infinity_in_both(classifier):
    model = classifier()
    with torch.no_grad():
        model.head.bias[1] = -torch.inf
    network = ScoringNetwork(model, 1.0).eval()
    assert check_parity(network, network, model.backbone.preprocessing, "hub") == 0
    with pytest.raises(InputError, match="differ from the run's by inf"):
        check_parity(network, lambda x: network(x).clamp(min=-9.0), model.backbone.preprocessing, "hub")
