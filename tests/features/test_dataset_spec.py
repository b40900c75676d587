"""The dataset spec as text and as parts."""

import pytest

from features.dataset_spec import DatasetSpec, split_outside
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
        ("folder:s3://bucket/birds@train", ("folder", "s3://bucket/birds", "train", {})),
        ("folder:s3://bucket@train", ("folder", "s3://bucket", "train", {})),
        ("inat:s3://a@b/c.json", ("inat", "s3://a@b/c.json", None, {})),
        (
            "list:https://h/a.txt?root=s3://b/i&names=n",
            ("list", "https://h/a.txt", None, {"root": "s3://b/i", "names": "n"}),
        ),
        (
            "inat:<s3://b/a.json?versionId=1&x>@train?seed=1",
            ("inat", "s3://b/a.json?versionId=1&x", "train", {"seed": "1"}),
        ),
        ("folder:<odd>/a>b<@train", ("folder", "<odd>/a>b<", "train", {})),  # paths that look odd are paths
        ("folder:<odd://a>@train", ("folder", "<odd://a>", "train", {})),
        ("folder://data/birds@train", ("folder", "//data/birds", "train", {})),
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
        ("list:a.txt?per_class:10", "option 'per_class:10' needs a value, as in per_class=10"),
        ("my photos", "such as 'folder:my photos'"),
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


@pytest.mark.parametrize(
    ("text", "location", "options", "public"),
    [
        ("list:<https://h/a.txt?sig=1&t=2>@val", "https://h/a.txt?sig=1&t=2", {}, "list:https://h/a.txt@val"),
        ("list:https://me:pw@h/a.txt@val", "https://me:pw@h/a.txt", {}, "list:https://h/a.txt@val"),
        ("csv:<https://h/a@b.csv?s=1>@", "https://h/a@b.csv?s=1", {}, "csv:https://h/a@b.csv@"),
        (
            "list:a.txt?root=<https://h/i?s=1&t=2>&names=n.txt",
            "a.txt",
            {"root": "<https://h/i?s=1&t=2>", "names": "n.txt"},
            "list:a.txt?root=https://h/i&names=n.txt",
        ),
        (
            "digits:?exclude=a.csv,<https://h/b.csv?s=1,2>,c.csv&seed=1",
            "",
            {"exclude": "a.csv,<https://h/b.csv?s=1,2>,c.csv", "seed": "1"},
            "digits:?exclude=a.csv,https://h/b.csv,c.csv&seed=1",
        ),
    ],
)
def test_an_address_in_brackets_may_hold_any_sign_and_text_has_no_secret(text, location, options, public):
    spec = DatasetSpec.parse(text)
    assert (spec.location, dict(spec.options)) == (location, options)
    assert str(spec) == public and str(DatasetSpec.parse(public)) == public
    assert "sig" not in str(spec.without_folders()) and "s=1" not in str(spec.without_folders())
    assert "pw" not in str(spec.error("is wrong")) and "s=1" not in str(spec.error("is wrong"))


def test_a_list_is_split_outside_of_addresses():
    assert split_outside("a,<https://h/b?x=1,2>,<odd,c", ",") == ["a", "<https://h/b?x=1,2>", "<odd", "c"]
    assert split_outside("", ",") == [] and split_outside(",a,,b,", ",") == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("list:https://h/a.txt?SECRET", "an address that holds a ? stands in <>, as in list:<ADDRESS>"),
        ("list:a.txt?root=https://h/i?SECRET=1", "option 'root' is an address that holds a ?; write root=<ADDRESS>"),
        ("list:<https://h/a.txt?SECRET=1>train", "expected @split, ?option=value or nothing behind the >"),
    ],
)
def test_a_query_without_brackets_is_told_without_showing_it(text, told):
    with pytest.raises(InputError) as caught:
        DatasetSpec.parse(text)
    assert told in str(caught.value) and "SECRET" not in str(caught.value)
