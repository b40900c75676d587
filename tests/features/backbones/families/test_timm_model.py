"""Models of timm."""

import copy
import json
import shutil

import pytest
import timm
import torch
from safetensors.torch import save_file

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from finetune.model import ImageClassifier
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
    assert (found.name, found.weights) == ("resnet10t", name)
    plain = load_backbone(str(tmp_path / "model"))
    assert plain.weights_sha256() == found.weights_sha256() and plain.weights == name
    assert model_and_weights(name) == (name, "default") and model_and_weights(f"{name}:none") == (name, "none")
    with pytest.raises(InputError, match=r"^backbone local-dir:.*gone: its published weights could not be loaded"):
        load_backbone(f"local-dir:{tmp_path / 'gone'}")


def test_a_name_of_the_hub_is_no_run_directory(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"^backbone hf-hub:timm/no_such: its published weights could not be loaded"):
        load_backbone("hf-hub:timm/no_such")


# Names as the ecosystem writes them


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("timm/resnet10t.c3_in1k", "resnet10t.c3_in1k"),
        ("timm/resnet10t", "resnet10t"),
        ("timm/resnet18", "resnet18.a1_in1k"),  # resnet18 alone is torchvision's
        ("timm/efficientnet_lite0", "efficientnet_lite0.ra_in1k"),
    ],
)
def test_a_name_of_timms_organisation_is_one_of_timm(name, called):
    backbone = load_backbone(name, "none", seed=0)
    assert backbone.name == called
    assert load_backbone(called, "none", seed=0).weights_sha256() == backbone.weights_sha256()


def refused(name, weights="default"):
    with pytest.raises(InputError) as caught:
        load_backbone(name, weights)
    return str(caught.value)


def test_a_wrong_name_is_one_line():
    assert (
        refused("timm/resnet_10t") == "backbone timm/resnet_10t: timm has no such model; did you mean timm/resnet10t?"
    )
    said = "backbone timm/resnet10t.nope: timm has no weights of this tag; it has resnet10t.c3_in1k"
    assert refused("timm/resnet10t.nope") == refused("timm/resnet10t.nope", "none") == said


@pytest.fixture
def write_folder(tmp_path):
    """A function that writes a folder of the hub: a random network of five classes, a configuration with changes."""

    def write(**changes):
        network = timm.create_model("resnet10t", num_classes=5)
        config = {"architecture": "resnet10t", "num_classes": 5, "pretrained_cfg": {"num_classes": 5}}
        path = tmp_path / "folder"
        path.mkdir()
        save_file(network.state_dict(), path / "model.safetensors")
        (path / "config.json").write_text(json.dumps(config | changes))
        return path

    return write


def test_a_folder_whose_architecture_is_unknown(write_folder):
    path = write_folder(architecture="resnet10tt")
    said = (
        f"backbone {path}: its config.json names the architecture 'resnet10tt', which timm {timm.__version__} does not"
    )
    assert refused(str(path)).startswith(said) and "did you mean resnet10t" in refused(str(path))


def test_a_folder_whose_weights_do_not_fit(write_folder):
    path = write_folder(architecture="resnet14t")
    assert "could not be loaded (Error(s) in loading state_dict for ResNet: Missing key(s)" in refused(str(path))
    assert len(refused(str(path))) < 600
    (path / "model.safetensors").write_bytes(b"no tensors")
    assert "could not be loaded (" in refused(str(path))
    (path / "model.safetensors").unlink()
    assert "could not be loaded (No suitable checkpoints" in refused(str(path))


def test_a_folder_of_another_library(write_folder):
    path = write_folder()
    (path / "config.json").write_text('{"model_type": "bert"}')
    advice = f"it is one of transformers: transformers:{path}"
    assert f"its config.json is not of a timm model; {advice}" in refused(f"local-dir:{path}")


def test_a_run_of_a_folder_does_not_need_the_folder(write_folder, tmp_path):
    """With arguments of its own, which the name of the architecture does not tell."""
    path = write_folder(model_args={"output_stride": 16})
    donor = load_backbone(str(path)).eval()
    ImageClassifier(donor, ["a", "b"]).save(tmp_path / "last.safetensors", {})
    shutil.rmtree(path)
    found = load_backbone(str(tmp_path / "last.safetensors")).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(x), donor(x))
        usual = load_backbone("resnet10t", "none").eval()
        usual.network.load_state_dict(donor.network.state_dict())
        assert not torch.equal(usual(x), donor(x))  # the arguments matter


def test_the_names_of_classes_are_kept(write_folder):
    names = ["auk", "wren", "tern", "gull", "jay"]
    found = load_backbone(str(write_folder(label_names=names)))
    assert found.classes == tuple(names) and found.classifier[0].shape == (5, 512)


def test_a_network_that_sees_squashed_images():
    assert load_backbone("tf_efficientnetv2_b3", "none").preprocessing.squash
    assert not load_backbone("resnet10t", "none").preprocessing.squash


def test_a_network_for_images_of_one_channel_is_refused(write_folder):
    assert "takes images of 1 channels; expected 3" in refused(str(write_folder(model_args={"in_chans": 1})))
