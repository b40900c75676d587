"""Weights under the names that training scripts give them."""

from __future__ import annotations

import argparse
import os

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from features.backbones.loading import load_backbone
from features.backbones.weights_file import printable, read_weights
from features.infrastructure.errors import InputError


@pytest.fixture(scope="module")
def donor():
    return load_backbone("resnet18", "none", seed=5).eval()


@pytest.fixture(scope="module")
def state(donor):
    return {name: value.clone() for name, value in donor.network.state_dict().items()}


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


class Elsewhere:
    """An object that only its own code could read."""

    def __init__(self):
        self.name = "config"


HEAD = {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
#: How a file holds a state dict.
LAYOUTS = {
    "bare": lambda state: state,
    "with another head": lambda state: state | HEAD,
    **{f"in {key}": lambda state, key=key: {key: state, "epoch": 3}
       for key in ("state_dict", "model", "model_state_dict", "model_ema", "ema", "net", "anything")},
    **{f"under {prefix}": lambda state, prefix=prefix: under(prefix, state | HEAD)
       for prefix in ("module.", "model.", "_orig_mod.", "backbone.", "encoder.", "module.encoder_q.",
                      "module.backbone.", "_orig_mod.module.", "model.encoder.model.")},
    "in state_dict under module.": lambda state: {"state_dict": under("module.", state), "lr": 0.1},
    "without counters": lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    "beside an optimizer": lambda state: {
        "model": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "beside objects": lambda state: {
        "model": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5), "config": Elsewhere(),
    },
    "beside its average": lambda state: {
        "model_ema": {name: value + 1 for name, value in state.items()}, "model": state,
    },
    "beside a projector": lambda state: under("backbone.", state) | {"projector.0.weight": torch.zeros(3, 3)},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_state_dict_is_found_wherever_it_stands(layout, donor, state, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save(LAYOUTS[layout](state), path)
    found = load_backbone("resnet18", str(path))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(found.eval()(images), donor(images))
    said = capsys.readouterr().err
    assert f"{path}: " in said and " tensors" in said and said.count("\n") == 1


def test_what_was_dropped_and_missing_is_said(state, tmp_path, capsys):
    kept = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save({"epoch": 3, "state_dict": under("module.", kept | HEAD)}, tmp_path / "a.pth")
    load_backbone("resnet18", str(tmp_path / "a.pth"))
    assert (
        "a.pth: 100 tensors below state_dict.module; not used: state_dict.module.fc.weight, state_dict.module.fc.bias; "
        "not in it: 20 batch counters (num_batches_tracked), which are not needed"
    ) in capsys.readouterr().err
    torch.save({"model_ema": state, "model": state}, tmp_path / "b.pth")
    load_backbone("resnet18", str(tmp_path / "b.pth"))
    assert "below model; the same network is also below model_ema; append #model_ema to the" in capsys.readouterr().err


def test_half_precision_and_safetensors(state, tmp_path):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(under("model.", half), tmp_path / "half.safetensors")
    found = load_backbone("resnet18", str(tmp_path / "half.safetensors")).network.state_dict()
    assert all(torch.equal(found[name], value.to(found[name].dtype)) for name, value in half.items())
    assert found["conv1.weight"].dtype == torch.float32


def test_one_of_several_networks_is_chosen_by_name(state, tmp_path):
    moved = {name: value + 1 for name, value in state.items()}
    torch.save(under("module.encoder_q.", state) | under("module.encoder_k.", moved), tmp_path / "moco.pth")
    with pytest.raises(InputError, match=r"holds several such networks, below module.encoder_q, module.encoder_k; app"):
        load_backbone("resnet18", str(tmp_path / "moco.pth"))
    for part, expected in (("q", state), ("k", moved)):
        found = load_backbone("resnet18", f"{tmp_path / 'moco.pth'}#module.encoder_{part}")
        assert torch.equal(found.network.conv1.weight, expected["conv1.weight"])
    torch.save({"ema": moved, "model": state}, tmp_path / "ema.pth")
    assert torch.equal(
        load_backbone("resnet18", f"{tmp_path / 'ema.pth'}#ema").network.conv1.weight, moved["conv1.weight"]
    )


def test_a_network_that_is_not_there_is_never_random(state, tmp_path):
    cases = {
        "part.pth": ({name: value for name, value in state.items() if not name.startswith("layer4")}, "are missing"),
        "larger.pth": (
            dict(load_backbone("resnet34", "none").network.state_dict()),
            "is of a larger network: it has 96",
        ),
        "wide.pth": (state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, "((64, 1, 7, 7) instead of (64, 3, 7, 7))"),
        "whole.pth": (load_backbone("resnet8", "none").network, "only code could read|holds a pickled object"),
        "list.pth": ([state], "holds a list; expected a state dict"),
        "number.pth": ({"epoch": 3}, "holds no tensor by name, only epoch; save a state_dict()"),
    }
    for name, (content, said) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError) as caught:
            load_backbone("resnet18", str(tmp_path / name))
        assert any(part in str(caught.value) for part in said.split("|")) and "\n" not in str(caught.value)


def test_no_code_is_run(state, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    for content in (state | {"x": Evil()}, {"model": state, "hooks": [Evil()]}, Evil()):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(InputError, match=r"not a readable state dict .* with objects that only code could read"):
            load_backbone("resnet18", str(tmp_path / "a.pth"))  # a module of the system is refused even as a stand-in
        assert not (tmp_path / "run").exists()


def test_messages_of_others_cannot_control_the_screen(tmp_path):
    assert printable("a\x1b[31mb\x07\x00\nc") == "a[31mb"
    torch.save({"\x1b[2Jname": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(InputError) as caught:
        load_backbone("resnet18", str(tmp_path / "a.pth"))
    assert "\x1b" not in str(caught.value) and "[2Jname" in str(caught.value)


def test_the_early_format_of_torch(donor, state, tmp_path):
    torch.save({"state_dict": under("module.", state)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_backbone("resnet18", str(tmp_path / "old.pth")).weights_sha256() == donor.weights_sha256()
    assert len(read_weights(str(tmp_path / "old.pth")).tensors) == len(state)


@pytest.mark.parametrize("name", ["vgg11", "convnext_atto", "deit_tiny_patch16_224", "densenet121", "alexnet"])
def test_a_head_of_any_network_is_passed_over(name, tmp_path):
    from torchvision import models

    theirs = models.get_model(name) if name in models.list_models(module=models) else timm.create_model(name)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    found, saved = load_backbone(name, str(tmp_path / "a.pth")).network.state_dict(), theirs.state_dict()
    assert len(found) < len(saved) and all(torch.equal(value, saved[key]) for key, value in found.items())


def test_a_prefix_that_is_not_there_and_further_buffers(state, donor, tmp_path):
    torch.save({"model": state, "model_ema": {name: value + 1 for name, value in state.items()}}, tmp_path / "a.pth")
    for typo in ("typo", "model_e", "m"):
        with pytest.raises(InputError, match=f"holds no such network below {typo}; it is below model, model_ema"):
            load_backbone("resnet18", f"{tmp_path / 'a.pth'}#{typo}")
    torch.save(state | {"layer1.0.mask": torch.zeros(3)}, tmp_path / "b.pth")
    assert load_backbone("resnet18", str(tmp_path / "b.pth")).weights_sha256() == donor.weights_sha256()


def test_the_random_generator_stays_where_it_is(tmp_path):
    torch.save(timm.create_model("mobilenetv2_100").state_dict(), tmp_path / "a.pth")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    load_backbone("mobilenet_v2", str(tmp_path / "a.pth"), seed=1)
    assert torch.equal(before, torch.get_rng_state())
