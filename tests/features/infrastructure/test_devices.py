"""Which device and precision a pass runs in."""

import platform

import pytest
import torch

from features.infrastructure.devices import autocast, pick_device, pick_precision
from features.infrastructure.errors import InputError

CPU = torch.device("cpu")


def test_auto_is_the_first_accelerator_that_is_there(monkeypatch):
    there = {"cuda": False, "mps": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    assert pick_device() == CPU
    there["mps"] = True
    assert pick_device("auto").type == "mps"
    there["cuda"] = True
    assert pick_device("auto").type == "cuda"


def test_a_device_that_is_there_is_taken():
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "tpu:x"])
def test_what_is_no_device_is_refused_without_the_names_of_all_that_pytorch_knows(name):
    with pytest.raises(InputError) as caught:
        pick_device(name)
    assert str(caught.value) == f"`device` {name}: expected auto, cpu, cuda, cuda:1 or mps"


@pytest.mark.parametrize("name", ["cuda:97", "meta"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(InputError, match=r"not available here .*; use auto or cpu") as caught:
        pick_device(name)
    assert str(caught.value).startswith(f"`device` {name}:")


def test_a_precision_that_is_asked_for_is_taken():
    assert [pick_precision(name, CPU) for name in ("fp32", "bf16")] == ["fp32", "bf16"]
    for name in ("fp16", "32", ""):
        with pytest.raises(InputError, match=f"`precision` {name}: expected one of auto, fp32, bf16"):
            pick_precision(name, CPU)


@pytest.mark.parametrize(
    ("machine", "avx512_bf16", "amx", "onednn", "expected"),
    [
        ("x86_64", True, False, True, "bf16"),
        ("AMD64", False, True, True, "bf16"),
        ("x86_64", False, False, True, "fp32"),  # AVX-512 alone: oneDNN would emulate it
        ("aarch64", False, False, True, "bf16"),
        ("aarch64", False, False, False, "fp32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(monkeypatch, machine, avx512_bf16, amx, onednn, expected):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn, raising=False)
    assert pick_precision("auto", CPU) == expected
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert pick_precision("auto", CPU) == "fp32"


def test_auto_follows_the_accelerator(monkeypatch):
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert pick_precision("auto", torch.device("cuda")) == ("bf16" if native else "fp32")
    assert pick_precision("auto", torch.device("mps")) == "fp32"


def test_the_context_sets_the_type_of_matrix_products():
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert (x @ x).dtype == torch.float32
