"""The dataset spec as text and as parts."""

import pytest

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cub:data/CUB_200_2011@train", ("cub", "data/CUB_200_2011", "train", {})),
        ("folder:dir", ("folder", "dir", None, {})),
        ("folder:/home/a@b/dir", ("folder", "/home/a@b/dir", None, {})),
        ("folder:/home/a@b/dir@val", ("folder", "/home/a@b/dir", "val", {})),
        ("folder:photos@home@", ("folder", "photos@home", None, {})),
        ("folder:photos@home@val", ("folder", "photos@home", "val", {})),
        ("torch:CIFAR100:data@test", ("torch", "CIFAR100:data", "test", {})),
        ("hf:org/name@train[:10%]", ("hf", "org/name", "train[:10%]", {})),
        ("glyphs:", ("glyphs", "", None, {})),
        ("digits:@test", ("digits", "", "test", {})),
        ("list:a.txt?root=im ages/x&seed=3", ("list", "a.txt", None, {"root": "im ages/x", "seed": "3"})),
        ("list:a.txt?root=x=y?z@w", ("list", "a.txt", None, {"root": "x=y?z@w"})),
        ("wds:s3/train-{0..9}.tar@train?names=n", ("wds", "s3/train-{0..9}.tar", "train", {"names": "n"})),
        ("folder:C:\\data@train", ("folder", "C:\\data", "train", {})),
    ],
)
def test_parts_and_text_are_one(text, parts):
    spec = DatasetSpec.parse(text)
    assert (spec.scheme, spec.location, spec.split, dict(spec.options)) == parts
    assert str(spec) == text
    assert DatasetSpec.parse(str(spec)) == spec == DatasetSpec(*parts)


def test_an_at_sign_without_a_split_is_left_out_where_nothing_needs_it():
    assert str(DatasetSpec.parse("folder:dir@")) == "folder:dir"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no scheme"),
        ("photos", "such as folder:photos"),  # not @train, which the directory may lack
        (":photos", "has no scheme"),
        ("list:a.txt?root", "option 'root' needs a value, as in root=VALUE"),
        ("list:a.txt?root=", "option 'root=' needs a value"),
        ("list:a.txt?seed=1&seed=2", "option 'seed' is given twice"),
    ],
)
def test_what_is_no_spec_is_refused(text, complaint):
    with pytest.raises(InputError) as caught:
        DatasetSpec.parse(text)
    assert "@train" not in str(caught.value)
    assert complaint in str(caught.value) and repr(text) in str(caught.value)


def test_an_integer_option():
    spec = DatasetSpec.parse("digits:?seed=0&per_class=12&bad=1.5&low=-1")
    assert spec.integer("seed") == 0 and spec.integer("per_class", minimum=1) == 12
    assert spec.integer("absent") is None and spec.integer("absent", 7) == 7
    for name, minimum in (("bad", 0), ("low", 0), ("seed", 1)):
        with pytest.raises(InputError, match=f"{name}=.* is not an integer of at least {minimum}"):
            spec.integer(name, minimum=minimum)


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("cub:/home/ann/CUB_200_2011@train", "cub:CUB_200_2011@train"),
        ("folder:/home/ann/birds/?per_class=3", "folder:birds?per_class=3"),
        ("list:a/b.txt?root=/home/ann/x&names=n/m.txt", "list:b.txt?root=x&names=m.txt"),
        ("inat:a.json?exclude=/home/ann/one.csv,two.csv", "inat:a.json?exclude=one.csv,two.csv"),
        ("torch:CIFAR100:/home/ann/data@test", "torch:CIFAR100:data@test"),
        ("hf:owner/birds@test", "hf:owner/birds@test"),  # a public name
        ("hf:/home/ann/birds", "hf:birds"),
        ("hf:ann/secret/birds", "hf:birds"),
        ("wds:s3://bucket/deep/train-{0..9}.tar", "wds:train-{0..9}.tar"),
        ("digits:@train?per_class=5", "digits:@train?per_class=5"),
    ],
)
def test_what_may_be_published_has_no_folders(text, published):
    assert str(DatasetSpec.parse(text).without_folders()) == published


def test_a_local_copy_is_no_name_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ann" / "birds").mkdir(parents=True)
    assert str(DatasetSpec.parse("hf:ann/birds").without_folders()) == "hf:birds"
