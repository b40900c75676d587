"""The push to the hub: names and tokens. The upload itself is tested in tests/transfer/commands/test_export.py."""

from __future__ import annotations

import pytest

from features.infrastructure.errors import InputError
from finetune.exporting.pushing import Hub, check_repository


@pytest.mark.parametrize(
    "name", ["birds", "ann/", "/birds", "ann/birds/x", "ann/bi rds", "https://hf.co/ann/birds", ""]
)
def test_a_name_without_an_owner_is_refused(name):
    with pytest.raises(InputError, match=r"^`push` .*: expected OWNER/NAME"):
        check_repository(name)


def test_a_name_with_an_owner():
    check_repository("ann/birds-v1.0_b")


def test_without_a_token_the_line_says_how_to_log_in(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no token of the hub; log in with hf auth login, or set HF_TOKEN"):
        Hub("ann/birds")
