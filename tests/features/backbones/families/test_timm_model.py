"""Models of timm."""

import copy

import pytest
import timm
import torch

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from transfer.model_ranking import model_and_weights


def test_a_name_may_have_a_tag_of_weights():
    assert load_backbone("resnet10t.c3_in1k", "none").dim == 512


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "test_vit", "test_convnext", "test_byobnet"])
def test_published_networks_lose_their_classifier_alone(name, monkeypatch):
    """reset_classifier(0) and num_classes=0 give the same tensors: a bank of either has one hash of weights."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **options: create(name, **options))
    published, random = load_backbone(name), load_backbone(name, "none")
    shapes = [{key: value.shape for key, value in one.network.state_dict().items()} for one in (published, random)]
    assert shapes[0] == shapes[1] and published.dim == random.dim


@pytest.mark.parametrize("name", ["mobilenetv5_300m_enc", "deepseek_vit_412m_enc"])
def test_an_encoder_without_a_classifier_is_refused_by_name(name):
    with torch.device("meta"), pytest.raises(InputError, match=f"^backbone {name}: is no classifier of images"):
        load_backbone(name, "none")


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "test_vit", "test_convnext"])
def test_timm_features_are_what_the_classifier_would_see(name):
    backbone = load_backbone(name, "none", seed=0).eval()
    whole = timm.create_model(name, pretrained=False).eval()
    state = backbone.network.state_dict()
    assert not whole.load_state_dict(state, strict=False).unexpected_keys
    x = torch.randn(1, 3, backbone.preprocessing.image_size, backbone.preprocessing.image_size)
    with torch.no_grad():
        found = backbone(x)
        expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
    assert found.shape == (1, backbone.dim)
    torch.testing.assert_close(found, expected.flatten(1), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "test_vit", "test_convnext"])
def test_timm_models_keep_their_published_classifier(name, monkeypatch):
    create, published = timm.create_model, []

    def downloaded(name, pretrained=False, **options):
        """A model with weights of its own, as from the hub."""
        torch.manual_seed(1 + pretrained)
        model = create(name, **options)
        published.extend([copy.deepcopy(model)] if pretrained else [])
        return model

    monkeypatch.setattr(timm, "create_model", downloaded)
    backbone = load_backbone(name)
    assert backbone.classifier is not None and len(published) == 1
    weight, bias = backbone.classifier
    x = torch.randn(2, 3, backbone.preprocessing.image_size, backbone.preprocessing.image_size)
    with torch.no_grad():
        logits = backbone.eval()(x) @ weight.T + bias
        torch.testing.assert_close(logits, published[0].eval()(x))
    assert load_backbone(name, "none").classifier is None


def test_a_projection_is_no_classifier(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **options: create(name, **options))
    backbone = load_backbone("resnet50_clip")
    assert isinstance(create("resnet50_clip").get_classifier(), torch.nn.Linear)  # of 1,024 numbers, no classes
    assert backbone.classifier is None


def test_timm_preprocessing_is_that_of_its_own_transform():
    for name in ("mobilenetv3_small_050", "efficientformer_l1", "test_vit", "resnet10t"):
        recipe = load_backbone(name, "none").preprocessing
        config = timm.data.resolve_model_data_config(timm.create_model(name))
        published = timm.data.create_transform(**config).transforms
        assert recipe.resize == published[0].size and (recipe.image_size,) * 2 == tuple(published[1].size)
        assert recipe.interpolation == published[0].interpolation.value
        torch.testing.assert_close(torch.tensor(recipe.mean), published[-1].mean)
        torch.testing.assert_close(torch.tensor(recipe.std), published[-1].std)


def test_a_folder_in_the_format_of_the_hub_is_a_name(tmp_path):
    from timm.models import save_for_hf

    network = timm.create_model("resnet10t", num_classes=5)
    save_for_hf(network, tmp_path / "model", model_config={"num_classes": 5}, safe_serialization=True)
    name = f"local-dir:{tmp_path / 'model'}"
    found = load_backbone(name)
    assert found.dim == 512 and torch.equal(found.network.conv1[0].weight, network.conv1[0].weight)
    assert load_backbone(name, "none").dim == 512
    assert model_and_weights(name) == (name, "default") and model_and_weights(f"{name}:none") == (name, "none")
    with pytest.raises(InputError, match=r"^backbone local-dir:.*gone: its published weights could not be loaded"):
        load_backbone(f"local-dir:{tmp_path / 'gone'}")


def test_a_name_of_the_hub_is_no_run_directory(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"^backbone hf-hub:timm/no_such: its published weights could not be loaded"):
        load_backbone("hf-hub:timm/no_such")
