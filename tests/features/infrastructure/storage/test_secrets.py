"""Credentials and signatures leave every text, and nothing else does."""

import json

import pytest
import yaml

from features.infrastructure.errors import InputError
from features.infrastructure.storage.secrets import without_secrets


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://h/bank.h5?X-Amz-Signature=SECRET&X-Amz-Date=1", "https://h/bank.h5"),
        ("https://me:SECRET@h/bank.h5", "https://h/bank.h5"),
        ("http://SECRET@h:8080/a@b/bank.h5", "http://h:8080/a@b/bank.h5"),
        ("sftp://me:SECRET@h/bank.h5", "sftp://h/bank.h5"),
        ("list:<https://me:SECRET@h/a.txt?SECRET>@val?seed=1", "list:<https://h/a.txt>@val?seed=1"),
        ("list:a.txt?root=<https://h/i?SECRET>&seed=1", "list:a.txt?root=<https://h/i>&seed=1"),
        ("see 'https://h/a?SECRET' and (https://h/b?SECRET).", "see 'https://h/a' and (https://h/b)."),
        (
            "transfer rank --target https://h/a.h5?SECRET --source b.h5",
            "transfer rank --target https://h/a.h5 --source b.h5",
        ),
    ],
)
def test_secrets_are_left_out(text, public):
    assert without_secrets(text) == public
    assert "SECRET" not in str(InputError(text))


@pytest.mark.parametrize(
    "text",
    [
        "list:https://h/a.txt?root=https://h/images&names=https://h/names.txt",  # options of a spec
        "csv:https://h/a.csv@train?image=file&label=kind",
        "folder:s3://bucket@train?seed=3",
        "s3://bucket/key?versionId=abc",
        "folder:/home/a@b/dir?holdout=0.2 is a path: with a colon, a ? and an @",
        "what? https://host/path: no",
    ],
)
def test_everything_else_stays(text):
    assert without_secrets(text) == text


def test_json_and_yaml_stay_what_they_are():
    content = {"out": 'https://h/a?SECRET="1"', "dataset": "list:<https://me:SECRET@h/a?SECRET>?seed=1", "n": ["x"]}
    public = {"out": 'https://h/a"1"', "dataset": "list:<https://h/a>?seed=1", "n": ["x"]}
    assert json.loads(without_secrets(json.dumps(content))) == public
    assert yaml.safe_load(without_secrets(yaml.safe_dump(content))) == public
