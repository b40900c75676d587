"""Images that lie encoded inside a larger file, such as a tar shard or an Arrow table."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from features.image_sources import read_image


def read_encoded(encoded: bytes, min_side: int | None = None) -> Image.Image:
    """Decode the bytes of an image file to RGB; see :func:`features.image_sources.read_image`.

    Raises:
        features.image_sources.UnreadableImage: The bytes are no image, or a damaged one.
    """
    file: Any = io.BytesIO(encoded)  # Pillow opens it as it opens a path
    return read_image(file, min_side)
