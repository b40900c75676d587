"""Backbones by name: the right tensors, the right input, the penultimate features."""

import socket
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from features.backbones.families.cifar_resnet import CIFAR_RESNETS
from features.backbones.loading import backbone_names, load_backbone
from features.infrastructure.errors import InputError


def refused(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_backbone(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seeded(name, seed=0, **options):
    torch.manual_seed(seed)
    return load_backbone(name, "none", **options).eval()


# Names


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
        "shapes.safetensors": (
            wrong,
            "0 of 42 tensors are missing and 1 have another shape, first 'stem.0.weight'",
        ),
        "fewer.pth": (fewer, "10 of 42 tensors are missing and 0 have another shape, first 'stages.2.conv1.weight'"),
        "numbers.pth": (
            dict.fromkeys(state, 1.0),
            "holds no tensor by name, only stem.0.weight, stem.1.weight, ",
        ),
        "list.pth": ([1, 2], "holds a list; expected a state dict"),
        "nested.pth": ({"state_dict": 3}, "holds no tensor by name, only state_dict"),
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
    message = refused("resnet8", str(tmp_path / "evil.pth"))
    assert "not a readable state dict (no file of tensors, or one with objects that only code could read" in message


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


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 64), ("alexnet", 32), ("vit_tiny_patch16_224", 9)])
def test_a_size_that_the_network_does_not_take_is_refused(name, size):
    message = refused(name, "none", size)
    assert message.startswith(f"`image_size` {size}: {name} ") and "; try another" in message


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_network_for_one_size_is_built_for_another(name):
    backbone = load_backbone(name, "none", 96, seed=0).eval()
    assert (backbone.preprocessing.image_size, backbone.preprocessing.resize) == (96, 106)
    assert backbone(torch.zeros(1, 3, 96, 96)).shape == (1, backbone.dim)


def test_weights_that_are_no_numbers_or_of_another_kind_are_refused(tmp_path):
    state = load_backbone("resnet8", "none", seed=0).network.state_dict()
    name = next(name for name, value in state.items() if value.ndim == 4)
    spoilt = {
        "is NaN or infinite": torch.full_like(state[name], float("nan")),
        "holds values of torch.int32": torch.zeros_like(state[name], dtype=torch.int32),
        "holds values of torch.complex64": state[name].to(torch.complex64),
    }
    for said, value in spoilt.items():
        torch.save({**state, name: value}, tmp_path / "weights.pth")
        with pytest.raises(InputError, match=said):
            load_backbone("resnet8", str(tmp_path / "weights.pth"))


def test_a_mapping_that_holds_itself_is_read_once(tmp_path):
    state = dict(load_backbone("resnet8", "none", seed=0).network.state_dict())
    round_: dict[str, object] = {"model": state}
    round_["again"] = round_
    torch.save(round_, tmp_path / "weights.pth")
    loaded = load_backbone("resnet8", str(tmp_path / "weights.pth"))
    assert all(torch.equal(value, state[name]) for name, value in loaded.network.state_dict().items())
