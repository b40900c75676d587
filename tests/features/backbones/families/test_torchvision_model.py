"""Classification models of torchvision: one training step each, auxiliary heads, features."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from features.backbones.loading import check_image_size, load_backbone
from features.infrastructure.errors import InputError

#: The smallest image size and the width of the features of networks with auxiliary heads.
AUXILIARY = {"inception_v3": (75, 2048), "googlenet": (15, 1024)}
#: Networks with more parameters run on the meta device, which computes shapes alone.
LARGE = 100_000_000

pytestmark = pytest.mark.filterwarnings("ignore:The default weight initialization")


@pytest.fixture(autouse=True)
def quick_initialisation(monkeypatch):
    """Inception's truncated normal takes seconds."""
    quick = lambda tensor, mean=0.0, std=1.0, **bounds: nn.init.normal_(tensor, mean, std)  # noqa: E731
    monkeypatch.setattr(nn.init, "trunc_normal_", quick)


@pytest.mark.parametrize("name", AUXILIARY)
def test_networks_with_auxiliary_heads_are_trained_without_them(name, tmp_path):
    size, dim = AUXILIARY[name]
    backbone = load_backbone(name, "none", size, seed=0).train()
    features = backbone(torch.randn(2, 3, size, size))
    assert isinstance(features, Tensor) and features.shape == (2, dim) and backbone.dim == dim
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    # A published file has auxiliary heads.
    whole = models.get_model(name, weights=None, aux_logits=True, init_weights=False).state_dict()
    assert any("aux" in key.lower() for key in whole)
    torch.save(whole, tmp_path / "whole.pth")
    loaded = load_backbone(name, str(tmp_path / "whole.pth")).network.state_dict()
    assert loaded and all(torch.equal(value, whole[key]) for key, value in loaded.items())
    assert set(whole) - set(loaded) == {key for key in whole if "aux" in key.lower() or key.startswith("fc.")}


@pytest.mark.parametrize("name", AUXILIARY)
def test_published_weights_lose_their_auxiliary_heads(name, monkeypatch):
    """As torchvision loads them, with a stand-in for the download."""
    whole = models.get_model(name, weights=None, aux_logits=True, init_weights=False).state_dict()
    preset = models.get_model_weights(name)
    monkeypatch.setattr(preset, "get_state_dict", lambda self, *arguments, **options: whole)
    backbone = load_backbone(name)
    assert not any("aux" in key.lower() for key in backbone.network.state_dict())
    assert not backbone.network.aux_logits and backbone.network.transform_input
    weight, bias = backbone.classifier
    assert torch.equal(weight, whole["fc.weight"]) and torch.equal(bias, whole["fc.bias"])
    size, dim = AUXILIARY[name]
    assert backbone.train()(torch.randn(2, 3, size, size)).shape == (2, dim)


def smallest_size(backbone):
    """The smallest image size that a network on the meta device takes."""
    with torch.device("meta"):
        for size in range(1, 300):
            try:
                check_image_size(backbone, size, "`image_size`")
            except InputError:
                continue
            return size
    raise AssertionError(f"{backbone.name} takes no size below 300")


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models(module=models))
def test_every_architecture_takes_a_training_step(name):
    if name.startswith("squeezenet"):  # its classifier is a convolution
        with pytest.raises(InputError, match=f"^backbone {name}: has no linear classifier to remove"):
            load_backbone(name, "none")
        return
    backbone = load_backbone(name, "none").train()
    shapes = copy.deepcopy(backbone).to("meta")
    size = smallest_size(shapes)
    large = sum(parameter.numel() for parameter in backbone.parameters()) > LARGE
    if large:
        backbone = shapes
    print(f"{name}: {size} pixels, {backbone.dim} features{', more than 100 million parameters: shapes alone' * large}")
    features = backbone(torch.randn(2, 3, size, size, device="meta" if large else "cpu"))
    features.square().mean().backward()
    assert features.shape == (2, backbone.dim)
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("shufflenet_v2_x0_5", "fc"),
    ],
)
def test_torchvision_features_are_what_the_classifier_would_see(name, classifier):
    backbone = load_backbone(name, "none", seed=0).eval()
    torch.manual_seed(0)
    whole = models.get_model(name, weights=None).eval()
    seen = []
    whole.get_submodule(classifier).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = backbone(x)
        whole(x)
    assert found.shape == (2, backbone.dim)
    torch.testing.assert_close(found, seen[0], rtol=0, atol=0)
    published = models.get_model_weights(name).DEFAULT.transforms()
    recipe = backbone.preprocessing
    assert [recipe.image_size] == published.crop_size and [recipe.resize] == published.resize_size
    assert recipe.interpolation == published.interpolation.value
    assert list(recipe.mean) == list(published.mean) and list(recipe.std) == list(published.std)


def test_a_torchvision_model_without_a_linear_classifier_is_refused():
    with pytest.raises(InputError, match="squeezenet1_1: has no linear classifier to remove"):
        load_backbone("squeezenet1_1", "none")
