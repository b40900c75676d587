"""When the extractor reuses a bank, and what it does not replace."""

import os
import shutil
import time

import numpy as np
import pytest
import torch
from PIL import Image

from features import FeatureBank, InputError, extract
from features.extraction import extractor as extraction
from features.extraction.extractor import read_images
from features.infrastructure.disk.locks import locked


def refused(config):
    with pytest.raises(InputError) as caught:
        extract(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def passes(monkeypatch):
    """A list that grows with every pass over the images."""
    made = []
    monkeypatch.setattr(extraction, "read_images", lambda *arguments: made.append(1) or read_images(*arguments))
    return made


def test_an_identical_bank_is_reused(config, folder, passes):
    first = extract(config(folder))
    for options in ({}, {"batch_size": 7}, {"weights": "none"}):
        again = extract(config(folder, **options))
        assert (
            again.reused and again.seconds == 0 and again.images == 24 and again.to_json()["images_per_second"] is None
        )
        np.testing.assert_array_equal(again.bank.means, first.bank.means)
        assert again.bank.attrs["created"] == first.bank.attrs["created"]
    moved = folder.parent / "moved"
    folder.rename(moved)
    # The bank's spec goes into subset files and is opened from there: an old place must not stay in it.
    with pytest.raises(InputError, match="holds another bank"):
        extract(config(moved))
    assert len(passes) == 1


@pytest.mark.parametrize(
    ("options", "attribute"),
    [
        ({"backbone": "resnet14"}, "backbone"),
        ({"weights": "other.pth"}, "weights_sha256"),
        ({"image_size": 64}, "transform"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_another_bank_is_not_reused_and_the_difference_is_named(config, folder, passes, options, attribute):
    if "weights" in options:
        torch.manual_seed(7)
        options = {"weights": str(folder.parent / "other.pth")}
        from features.backbones.families.cifar_resnet import CifarResNet

        torch.save(CifarResNet(1).state_dict(), options["weights"])
    before = extract(config(folder)).bank
    message = refused(config(folder, **options))
    assert f"holds another bank ({attribute} is {before.attrs[attribute]!r}, asked for " in message
    assert "name another file or give `overwrite`" in message and len(passes) == 1
    after = extract(config(folder, overwrite=True, **options))
    assert not after.reused and after.bank.attrs[attribute] != before.attrs[attribute] and len(passes) == 2


def test_a_file_changed_after_the_bank_was_made_is_noticed_though_its_size_is_the_same(config, folder, passes):
    extract(config(folder))
    os.utime(folder / "coal" / "7.png")
    message = refused(config(folder))
    assert "were changed after it was made, or copied without their dates; give `overwrite`" in message
    assert len(passes) == 1
    extract(config(folder, overwrite=True))
    assert extract(config(folder)).reused and len(passes) == 2


def test_a_date_in_the_future_hides_no_change(config, folder, passes):
    later = time.time() + 10**7
    os.utime(folder / "azure" / "0.png", (later, later))
    extract(config(folder))
    assert extract(config(folder)).reused and len(passes) == 1
    os.utime(folder / "coal" / "7.png")
    assert "were changed after it was made, or copied without their dates; give `overwrite`" in refused(config(folder))


@pytest.mark.parametrize("change", ["added", "changed", "removed", "renamed"])
def test_other_images_are_another_bank(config, folder, passes, change):
    extract(config(folder))
    path = folder / "coal" / "7.png"
    match change:
        case "added":
            shutil.copy(folder / "coal" / "2.png", folder / "coal" / "8.png")
        case "changed":
            Image.new("RGB", (99, 99), "teal").save(path)
        case "removed":
            path.unlink()
        case "renamed":
            path.rename(folder / "coal" / "other.png")
    assert "holds another bank (manifest_sha256 is " in refused(config(folder)) and len(passes) == 1


def test_overwrite_makes_the_bank_anew(config, folder, passes):
    extract(config(folder))
    assert not extract(config(folder, overwrite=True)).reused and len(passes) == 2


def test_image_features_are_not_added_silently(config, folder):
    extract(config(folder))
    assert "without image features; give `overwrite` to add them" in refused(config(folder, keep_images=True))
    assert extract(config(folder, keep_images=True, overwrite=True)).bank.keeps_images
    assert extract(config(folder)).reused and extract(config(folder, keep_images=True)).reused


def test_a_bank_with_more_skipped_images_than_allowed_now_is_not_reused(config, folder):
    (folder / "brick" / "3.png").write_bytes(b"")
    extract(config(folder))
    assert extract(config(folder)).reused
    assert "cannot read brick/3.png" in refused(config(folder, on_error="fail"))
    assert "more than `max_unreadable` 0.01" in refused(config(folder, max_unreadable=0.01))


def test_a_file_that_is_no_bank_is_left_alone(config, folder):
    notes = folder.parent / "notes.h5"
    notes.write_text("do not lose this")
    message = refused(config(folder, out=str(notes)))
    assert message.startswith("`out`: something else is there") and str(notes) in message and "`overwrite`" in message
    assert notes.read_text() == "do not lose this"
    extract(config(folder, out=str(notes), overwrite=True))
    assert FeatureBank.open(notes).classes == ("azure", "brick", "coal")


def test_a_place_that_cannot_be_written_to_is_refused_before_the_pass(config, folder, passes):
    (folder.parent / "file").write_text("x")
    assert "is a directory; name a file in it" in refused(config(folder, out=str(folder), overwrite=True))
    assert "its directory cannot be made" in refused(config(folder, out=str(folder.parent / "file" / "bank.h5")))
    assert not passes
    assert extract(config(folder, out=str(folder.parent / "new" / "deep" / "bank.h5"))).bank.path.is_file()


def test_a_pass_that_breaks_off_leaves_no_bank(config, folder, monkeypatch):
    def break_off(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction.ClassStatistics, "add", break_off)
    with pytest.raises(KeyboardInterrupt):
        extract(config(folder))
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_dates_in_the_future_do_not_make_every_bank_an_old_one(checkpointed, photos, tmp_path):
    os.utime(photos / "class5" / "19.png", (4e9, 4e9))
    try:
        extract(checkpointed(photos, tmp_path / "bank.h5"))
        assert extract(checkpointed(photos, tmp_path / "bank.h5")).reused
    finally:
        os.utime(photos / "class5" / "19.png")


def test_a_finished_bank_is_reused_while_another_process_holds_it(checkpointed, photos, tmp_path):
    extract(checkpointed(photos, tmp_path / "bank.h5"))
    with locked(tmp_path / "bank.h5"):
        assert extract(checkpointed(photos, tmp_path / "bank.h5")).reused


def test_a_finished_bank_is_reused_where_nothing_can_be_written(config, folder, tmp_path, monkeypatch):
    settings = config(folder, tmp_path / "kept" / "bank.h5")
    extract(settings)

    def refuse(path, argument="`out`"):
        raise InputError(f"{argument} {path}: cannot be written to")

    monkeypatch.setattr("features.extraction.extractor.check_writable", refuse)
    assert extract(settings).reused
    with pytest.raises(InputError, match="cannot be written to"):
        extract(config(folder, tmp_path / "other.h5"))


def test_what_a_job_of_more_processes_left_is_removed_once_the_bank_is_there(config, folder, tmp_path, capsys):
    left = [tmp_path / name for name in ("bank.h5.1-of-2", "bank.h5.2-of-2.resume", "bank.h5.2-of-2.resume.features")]
    others = [tmp_path / name for name in ("bank.h5.1-of-2.txt", "other.h5.1-of-2", "bank.h5.bak")]
    for path in (*left, *others):
        path.write_bytes(b"")
    extract(config(folder))
    assert not any(path.exists() for path in left) and all(path.exists() for path in others)
    assert "removed what a job of 2 processes had left" in capsys.readouterr().err
