"""``extract``: its JSON, the reuse of a bank, and the commands of the other shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import ExtractConfig
from features.extraction.result import Extraction
from transfer.commands.extract import show

TRAIN = "digits:@train?per_class=5"
NETWORK = ["--weights", "none", "--device", "cpu", "--precision", "fp32"]


def test_extract_and_its_reuse(place, said):
    argv = ["extract", TRAIN, "--out", place / "one.h5", "--backbone", "resnet8", *NETWORK]
    found = said(*argv)
    assert {"bank", "classes", "images", "skipped", "images_per_second"} <= found.keys()
    assert (found["bank"], found["classes"], found["images"], found["skipped"]) == (str(place / "one.h5"), 10, 50, 0)
    assert found["images_per_second"] > 0
    assert said(*argv)["reused"]


def commands(out: str, shard: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The commands that follow an extraction of a shard."""
    show(ExtractConfig(dataset="digits:", out=out, shard=shard), Extraction(Path(out), 10, 6, 0, 6, 1.0))
    return [line.partition("    (")[0].strip() for line in capsys.readouterr().out.partition("next:\n")[2].splitlines()]


@pytest.mark.parametrize(
    ("out", "shard", "following", "first_two"),
    [
        ("inat-5.h5", "5/8", "inat-6.h5", "inat-1.h5 inat-2.h5"),
        ("of 5/inat-5.h5", "5/8", "'of 5/inat-6.h5'", "'of 5/inat-1.h5' 'of 5/inat-2.h5'"),
        ("inat2021-8.h5", "8/8", "inat2021-1.h5", "inat2021-1.h5 inat2021-2.h5"),
        ("shards/2.h5", "2/3", "shards/3.h5", "shards/1.h5 shards/2.h5"),
        ("s3://bucket-1/1.h5", "1/3", "s3://bucket-1/2.h5", "s3://bucket-1/1.h5 s3://bucket-1/2.h5"),
    ],
)
def test_the_other_shards_differ_in_the_number_of_the_file(out, shard, following, first_two, capsys):
    more, merge = commands(out, shard, capsys)
    number, total = map(int, shard.split("/"))
    assert more == f"transfer extract digits: --out {following} --shard {number % total + 1}/{total}"
    assert merge.startswith(f"transfer merge {first_two} ") and merge.endswith(" --out digits.h5")


@pytest.mark.parametrize("out", ["inat.h5", "5/inat.h5", "inat-15.h5", "5-of-5.h5", "my.5/bank"])
def test_a_name_without_the_number_of_the_shard_is_kept(out, capsys):
    assert commands(out, "5/8", capsys) == ["transfer merge SHARD.h5 … --out digits.h5"]
