"""Shards add up to the bank of the whole."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from features import FeatureBank, InputError, MergeConfig, extract, merge
from features.extraction.shard import Shard


@pytest.mark.parametrize("total", [1, 3, 8])
def test_shards_add_up_to_the_whole(checkpointed, photos, whole, tmp_path, total):
    shards = [tmp_path / f"{i}.h5" for i in range(1, total + 1)]
    for i, path in enumerate(shards, start=1):
        found = extract(checkpointed(photos, path, shard=f"{i}/{total}", max_unreadable=0.1))
        assert extract(checkpointed(photos, path, shard=f"{i}/{total}", max_unreadable=0.1)).reused
        with pytest.raises(InputError, match="shards become a bank with: transfer merge"):
            _ = found.bank
    result = merge(MergeConfig([str(path) for path in reversed(shards)], str(tmp_path / "bank.h5")))
    bank = result.bank
    assert result.images == 119 and bank.skipped == whole.skipped and bank.classes == whole.classes
    assert bank.counts.tolist() == whole.counts.tolist()
    for name in ("means", "variances", "within_covariance"):  # the order of float64 sums shows in a last digit
        np.testing.assert_allclose(getattr(bank, name), getattr(whole, name), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(bank.images()[1:], whole.images()[1:], strict=True):
        assert list(ours) == list(theirs)
    assert {n: v for n, v in bank.attrs.items() if n != "created"} == {
        n: v for n, v in whole.attrs.items() if n != "created"
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["bank.h5", *(path.name for path in shards)])


def test_shards_that_are_no_whole_are_refused(checkpointed, photos, whole, tmp_path):
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2, 3)]
    for i, path in enumerate(shards, start=1):
        extract(checkpointed(photos, path, shard=f"{i}/3", max_unreadable=0.1))
    out = str(tmp_path / "bank.h5")
    other = str(tmp_path / "other.h5")
    extract(checkpointed(photos, other, shard="2/3", backbone="resnet14", max_unreadable=0.1))

    def refused(paths):
        with pytest.raises(InputError) as caught:
            merge(MergeConfig(paths, out))
        assert not os.path.exists(out) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "shard 2/3 of folder:" in refused([shards[0], shards[2]]) and "is missing" in refused(shards[1:])
    assert "shard 3/3" in refused([*shards, shards[2]]) and "is given twice" in refused([*shards, shards[2]])
    assert "different extractions: backbone is " in refused([shards[0], other, shards[2]])
    assert "no such shard" in refused([*shards, str(tmp_path / "absent.h5")])
    assert "but not a shard" in refused([str(whole.path)])
    merge(MergeConfig(shards, out))
    with pytest.raises(InputError, match="is there already"):
        merge(MergeConfig(shards, out))
    assert FeatureBank.open(out).counts.sum() == 119


def test_a_shard_and_a_bank_are_not_taken_for_each_other(checkpointed, photos, tmp_path):
    extract(checkpointed(photos, tmp_path / "bank.h5"))
    with pytest.raises(InputError, match="something else is there"):
        extract(checkpointed(photos, tmp_path / "bank.h5", shard="1/2"))
    extract(checkpointed(photos, tmp_path / "1.h5", shard="1/2", max_unreadable=0.1))
    with pytest.raises(InputError, match=r"holds another bank .shard is '1/2', asked for '2/2'"):
        extract(checkpointed(photos, tmp_path / "1.h5", shard="2/2"))
    with pytest.raises(InputError, match="something else is there"):
        extract(checkpointed(photos, tmp_path / "1.h5"))
    with pytest.raises(InputError, match="`shard` 1/500: the dataset has 120 images"):
        extract(checkpointed(photos, tmp_path / "2.h5", shard="1/500"))


def test_a_class_that_no_shard_could_read_is_named(checkpointed, photos, tmp_path):
    for i in (1, 2):
        out = tmp_path / f"{i}.h5"
        extract(checkpointed(photos, out, shard=f"{i}/2", max_unreadable=0.1, keep_images=False))
    shard = Shard.open(tmp_path / "1.h5")
    shard.skipped += [(f"class1/{i}.png", "broken") for i in range(shard.counts[1])]
    shard.statistics.counts[1] = 0
    shard.write(tmp_path / "1.h5")
    with pytest.raises(InputError, match="class 'class1' has no readable image"):
        merge(MergeConfig([str(tmp_path / "1.h5"), str(tmp_path / "2.h5")], str(tmp_path / "b.h5"), max_unreadable=1))


def test_a_merged_bank_is_as_old_as_its_oldest_shard(checkpointed, photos, tmp_path):
    shards = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for i in (2, 1):  # the first part is read last
        extract(checkpointed(photos, shards[i - 1], shard=f"{i}/2", max_unreadable=0.1))
    os.utime(photos / "class5" / "19.png")
    extract(checkpointed(photos, shards[0], shard="1/2", max_unreadable=0.1, overwrite=True))
    merge(MergeConfig([str(path) for path in shards], str(tmp_path / "bank.h5")))
    with pytest.raises(InputError, match="were changed after it was made"):
        extract(checkpointed(photos, tmp_path / "bank.h5"))


def test_what_is_no_shard_is_not_merged(checkpointed, interrupted, photos, tmp_path):
    interrupted(checkpointed(photos, tmp_path / "bank.h5"), 5)
    with pytest.raises(InputError, match="is an unfinished extraction of the whole"):
        merge(MergeConfig([str(tmp_path / "bank.h5.resume")], str(tmp_path / "out.h5")))
    with pytest.raises(InputError, match="none is given"):
        merge(MergeConfig([], str(tmp_path / "out.h5")))
    with pytest.raises(InputError, match="is a directory"):
        merge(MergeConfig(["x.h5"], str(tmp_path), overwrite=True))


def test_unreadable_images_are_judged_against_the_whole_dataset(checkpointed, photos, tmp_path):
    shards = [str(tmp_path / f"{i}.h5") for i in range(1, 9)]
    for i, path in enumerate(shards, start=1):  # one image is 1/15 of the fourth shard, and 1/120 of the dataset
        extract(checkpointed(photos, path, shard=f"{i}/8"))
    assert extract(checkpointed(photos, shards[3], shard="4/8")).reused
    message = "at least 1 of 120 images cannot be read, more than `max_unreadable` 0.008"
    with pytest.raises(InputError, match=message):
        extract(checkpointed(photos, tmp_path / "again.h5", shard="4/8", max_unreadable=0.008))
    with pytest.raises(InputError, match=r"cannot read class2/07\.png"):
        extract(checkpointed(photos, tmp_path / "fail.h5", shard="4/8", on_error="fail"))
    with pytest.raises(InputError, match=message):
        merge(MergeConfig(shards, str(tmp_path / "bank.h5"), max_unreadable=0.008))
    assert not (tmp_path / "bank.h5").exists()
    assert merge(MergeConfig(shards, str(tmp_path / "bank.h5"), max_unreadable=0.01)).skipped == 1


def test_a_merge_takes_the_limit_of_the_extraction(config, folder, tmp_path):
    for name in ("0.png", "1.png"):
        (folder / "azure" / name).write_bytes(b"damaged")
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2)]
    for i, path in enumerate(shards, start=1):
        extract(config(folder, path, max_unreadable=0.2, shard=f"{i}/2"))
    merged = merge(MergeConfig(shards, str(tmp_path / "bank.h5")))
    assert merged.skipped == 2 and "max_unreadable" not in merged.bank.attrs


def test_a_merge_judges_the_unreadable_images_of_all_shards(config, folder, tmp_path):
    for name in ("azure", "coal"):  # one image a shard is 1/24 of the dataset, and both are 1/12
        (folder / name / "0.png").write_bytes(b"damaged")
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2)]
    for i, path in enumerate(shards, start=1):
        assert extract(config(folder, path, shard=f"{i}/2")).skipped == 1
    with pytest.raises(InputError, match=r"at least 2 of 24 images cannot be read, more than `max_unreadable` 0\.05"):
        merge(MergeConfig(shards, str(tmp_path / "bank.h5")))
    assert merge(MergeConfig(shards, str(tmp_path / "bank.h5"), max_unreadable=0.1)).skipped == 2
    with pytest.raises(InputError, match="`max_unreadable` 2: expected at least 0 and at most 1"):
        MergeConfig(shards, "bank.h5", max_unreadable=2)


def test_what_was_assumed_about_intensities_is_added_up(checkpointed, folder, tmp_path, capsys):
    for i in range(5):
        grey = np.asarray(Image.open(folder / "coal" / f"{i}.png").convert("L"))
        Image.fromarray(grey.astype(np.uint16) << 4).save(folder / "coal" / f"{i}.png")  # 12 bits in 16
    whole = extract(checkpointed(folder, tmp_path / "whole.h5")).bank
    assert json.loads(whole.attrs["assumed"]) == {"12 bits in 16": 5}
    said = capsys.readouterr().err
    assert "5 images were scaled as 12 bits in 16, judged by their largest values" in said
    assert "images were scaled by different ranges" in said  # the others have 8 bits
    shards = [str(tmp_path / f"{i}.h5") for i in (1, 2)]
    for i, path in enumerate(shards, start=1):
        extract(checkpointed(folder, path, shard=f"{i}/2"))
    merged = merge(MergeConfig(shards, str(tmp_path / "bank.h5"))).bank
    assert merged.attrs["assumed"] == whole.attrs["assumed"]
    assert extract(checkpointed(folder, tmp_path / "whole.h5")).reused  # what is found is not what is asked for
