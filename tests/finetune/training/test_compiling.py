"""A network that is compiled for a training computes the same, and is left as it was."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from tiny_training import history, options, tiny_network, trained

from finetune.training import compiling
from finetune.training.compiling import compiled


@pytest.mark.slow
def test_a_compiled_training_has_the_same_losses(tmp_path, colours):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("there is no C++ compiler")
    given = {"steps": 4, "optimizer": "sgd", "lr": 0.05}
    plain = trained(colours(16, 16), options(tmp_path / "plain", **given))
    fast = trained(colours(16, 16), options(tmp_path / "fast", compile=True, **given))
    assert not (tmp_path / "fast" / "log.txt").exists()  # nothing was said
    for one, other in zip(history(tmp_path / "plain"), history(tmp_path / "fast"), strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
    assert list(plain.state_dict()) == list(fast.state_dict())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_the_network_is_compiled_inside_the_block_alone(monkeypatch):
    monkeypatch.setattr(compiling, "_no_compiler", lambda _: None)
    network, images = tiny_network(2).backbone.network, torch.rand(2, 3, 8, 8)
    calls: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *a: (calls.append("compiled"), function(*a))[1])
    with compiled(network, torch.device("cpu"), pytest.fail):
        inside = network(images)
        copy.deepcopy(network)(images)  # as the validation does, which runs the copy as it is
    assert calls == ["compiled"]
    network(images)
    assert calls == ["compiled"] and inside.shape == (2, 8, 1, 1)


def test_without_a_compiler_one_line_says_so(tmp_path, colours, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Failed to find C++ compiler.\nPlease specify one")

    monkeypatch.setattr(torch, "compile", broken)
    trained(colours(9, 9), options(tmp_path / "run", steps=2, compile=True))
    (line,) = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "compiler" in line]
    assert line.endswith(
        "--compile: PyTorch has no working compiler here (Failed to find C++ compiler.); the network is trained without"
    )
    assert len(history(tmp_path / "run")) == 1
