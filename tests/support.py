"""What the tests of several packages call."""

import os
from pathlib import Path

import pytest
from PIL import Image

from features.infrastructure.errors import InputError
from features.readers import open_dataset

#: The archives of real images; tests that need one are skipped where it is missing.
DATA = Path(os.environ.get("TRANSFER_DATA", Path(__file__).parents[2] / "shared" / "data"))


def picture(path: Path, shade: int = 0) -> None:
    """Write a small image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)


def refused(spec: str) -> str:
    """The one line that a dataset spec is refused with."""
    with pytest.raises(InputError) as caught:
        open_dataset(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)
