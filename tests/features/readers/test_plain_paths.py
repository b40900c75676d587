"""A path in place of a dataset spec."""

import pytest

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from features.readers.plain_paths import spec_of


def test_a_spec_stays_as_it_is():
    assert spec_of("folder:DIR@train?names=x.txt") == DatasetSpec.parse("folder:DIR@train?names=x.txt")
    assert spec_of("digits:").scheme == "digits"


@pytest.mark.parametrize("name", ["lake", "lake/top.webp"])
def test_a_path_is_images_without_labels(lake, name, monkeypatch):
    monkeypatch.chdir(lake.parent)
    assert spec_of(name) == DatasetSpec("images", name)
    assert str(spec_of(f"{lake}/")) == f"images:{lake}"


@pytest.mark.parametrize("name", ["a@b", "a?b=1", "my:lake", "~"])
def test_signs_of_a_spec_in_a_path(lake, name, monkeypatch):
    monkeypatch.chdir(lake.parent)
    monkeypatch.setenv("HOME", str(lake))
    lake.rename(lake.parent / name)
    monkeypatch.setenv("HOME", str(lake.parent / name))
    assert len(open_dataset(spec_of(name))) == 6


def test_a_scheme_goes_before_a_path_of_that_name(lake, monkeypatch):
    monkeypatch.chdir(lake.parent)
    lake.rename(lake.parent / "digits:")
    assert len(open_dataset(spec_of("digits:"))) == 1797


def test_what_is_neither_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^`images` .*none: no such file or folder; expected a folder of images, an"):
        spec_of(str(tmp_path / "none"))
    with pytest.raises(InputError, match="unknown scheme 'foldr'; did you mean folder"):
        open_dataset(spec_of("foldr:x"))
