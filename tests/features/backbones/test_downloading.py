"""What is said of weights that could not be downloaded."""

from __future__ import annotations

from urllib.error import URLError

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from features.backbones.downloading import downloading
from features.infrastructure.errors import InputError


@pytest.mark.parametrize(
    ("error", "advice", "other"),
    [
        (URLError("no answer"), "or put the file, downloaded elsewhere, into ", "HF_HUB"),
        (LocalEntryNotFoundError("no answer"), "perhaps with more seconds in HF_HUB_DOWNLOAD_TIMEOUT", "elsewhere"),
    ],
)
def test_the_advice_fits_the_host(error, advice, other):
    def build():
        raise error

    with pytest.raises(InputError) as refused:
        downloading("resnet50", build)
    assert f"give the command again, {advice}" in str(refused.value) and other not in str(refused.value)
