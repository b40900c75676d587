"""The resumable state: whole or not at all, and a best epoch that is the one whose weights are kept."""

from __future__ import annotations

import pytest
import torch

from features.infrastructure.errors import InputError
from finetune.training import state

WEIGHTS = {"weight": torch.arange(3.0), "steps": torch.tensor(4)}
STATE = {
    "step": 7,
    "model": WEIGHTS,
    "optimizer": {},
    "epoch": {"loss": 0.5, "images": 8, "seconds": 1.0},
    "best": {"epoch": 0},
}


def test_a_state_comes_back_and_is_deleted(tmp_path):
    assert state.read_resume(tmp_path) == {}
    state.write_resume(tmp_path, STATE)
    state.write_best(tmp_path, 2, WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "resume.ckpt"]
    found = state.read_resume(tmp_path)
    assert torch.equal(found.pop("model")["weight"], WEIGHTS["weight"])
    assert found == {name: value for name, value in STATE.items() if name != "model"}
    epoch, weights = state.read_best(tmp_path)
    assert epoch == 2 and all(torch.equal(weights[name], value) for name, value in WEIGHTS.items())
    state.delete(tmp_path)
    assert not list(tmp_path.iterdir())
    state.delete(tmp_path)  # there is none any more


@pytest.mark.parametrize(("kept", "expected"), [(3, 3), (4, 0)])
def test_a_best_epoch_whose_weights_were_replaced_is_forgotten(tmp_path, kept, expected):
    """A run that was killed between the two writings repeats the better epoch."""
    state.write_best(tmp_path, kept, WEIGHTS)
    state.write_resume(tmp_path, STATE | {"best": {"epoch": 3, "macro": 0.5}})
    assert state.read_resume(tmp_path)["best"]["epoch"] == expected


@pytest.mark.parametrize("kept", [2, None])
def test_a_best_epoch_that_is_gone_is_not_forgotten(tmp_path, kept):
    """Without its weights the run would end with another epoch than an undisturbed one."""
    if kept is not None:
        state.write_best(tmp_path, kept, WEIGHTS)
    state.write_resume(tmp_path, STATE | {"best": {"epoch": 3, "macro": 0.5}})
    with pytest.raises(InputError, match=r"best\.ckpt: .* delete both"):
        state.read_resume(tmp_path)


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    state.write_resume(tmp_path, STATE)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            state.write_resume(tmp_path, STATE | {"step": 8})
    assert state.read_resume(tmp_path)["step"] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["resume.ckpt"]
