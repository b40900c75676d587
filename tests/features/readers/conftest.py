"""A folder of images without labels, and clusters of them."""

import pytest
from support import picture

from features.readers import open_dataset
from features.readers.schemes.clusters import write_clusters


@pytest.fixture
def lake(tmp_path):
    """A folder of images at several depths, and things that are none."""
    for shade, name in enumerate(("b/2.png", "b/1.JPG", "a/deep/er/x.Jpeg", "top.webp", "a/y.png", "c/z.png")):
        picture(tmp_path / "lake" / name, 40 * shade)
    (tmp_path / "lake" / "notes.txt").write_text("no image")
    picture(tmp_path / "lake" / ".hidden" / "1.jpg")
    (tmp_path / "lake" / "empty").mkdir()
    return tmp_path / "lake"


@pytest.fixture
def clustered(lake, tmp_path):
    """A function that writes which cluster each image is in, and returns the spec."""

    def make(rows, base=None, manifest=None):
        base = base or f"images:{lake}"
        path = tmp_path / "clusters.csv"
        write_clusters(path, base, manifest or open_dataset(base).manifest_sha256, rows, {"seed": 0})
        return f"clusters:{path}"

    return make
