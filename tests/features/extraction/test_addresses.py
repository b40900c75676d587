"""Extraction from addresses and to addresses: the same bank, reused, resumed and merged, without a secret."""

import os

import fsspec
import numpy as np
import pytest

from features import FeatureBank, MergeConfig, extract, merge, open_dataset
from features.image_sources import FileImages
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located


@pytest.fixture
def there(folder, memory):
    """The address of the class folders of ``folder``."""
    fsspec.filesystem("memory").put(f"{folder}/", f"{memory}/data/", recursive=True)
    return f"{memory}/data"


def same(one: FeatureBank, other: FeatureBank) -> None:
    assert one.classes == other.classes
    for name in ("counts", "means", "variances", "within_covariance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_bank_of_an_address_is_that_of_the_disk_and_is_reused(folder, there, config, memory, workers):
    here = extract(config(folder, workers=workers, keep_images=True)).bank
    asked = config(there, f"{memory}/bank.h5", workers=workers, keep_images=True)
    bank = extract(asked).bank
    same(bank, here)
    np.testing.assert_array_equal(bank.images()[0], here.images()[0])
    assert bank.attrs["dataset"] == f"folder:{there}" and extract(asked).reused
    assert os.listdir() == []  # nothing is left in the working directory
    fsspec.filesystem("memory").pipe_file(f"{there}/brick/0.png", b"changed")
    with pytest.raises(InputError, match=r"holds another bank|were changed after it was made"):
        extract(asked)


def test_a_killed_extraction_to_an_address_goes_on(folder, checkpointed, memory, monkeypatch):
    real, read = FileImages.read, []

    def read_some(self, index, min_side=None):
        read.append(index)
        if len(read) == 11:
            raise KeyboardInterrupt
        return real(self, index, min_side)

    monkeypatch.setattr(FileImages, "read", read_some)
    asked = checkpointed(folder, f"{memory}/bank.h5")
    with pytest.raises(KeyboardInterrupt):
        extract(asked)
    assert not located(f"{memory}/bank.h5").exists()
    assert {name.partition(".resume")[2] for name in os.listdir()} == {"", ".features"}
    done = extract(asked)
    assert done.read == 24 - 8 and os.listdir() == []
    same(done.bank, extract(checkpointed(folder, folder.parent / "here.h5")).bank)


def test_shards_at_addresses_are_merged(folder, config, memory):
    shards = [f"{memory}/{i}.h5" for i in (1, 2)]
    for i, shard in enumerate(shards, start=1):
        extract(config(folder, shard, shard=f"{i}/2", keep_images=True))
    merged = merge(MergeConfig(shards, f"{memory}/bank.h5")).bank
    whole = extract(config(folder, keep_images=True)).bank
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-6)
    np.testing.assert_array_equal(merged.images()[0], whole.images()[0])
    assert os.listdir() == []


def test_a_bank_of_a_signed_dataset_is_known_without_its_signature(folder, config, web, tmp_path):
    (web.root / "list.txt").write_text("".join(f"{i}.png {i % 2}\n" for i in range(4)))
    for i, picture in enumerate(sorted(folder.rglob("*.png"))[:4]):
        (web.root / f"{i}.png").write_bytes(picture.read_bytes())
    for signature in ("sig=SECRET1", "sig=SECRET2"):  # as it is signed anew each day
        web.key = signature
        spec = f"list:<{web.address}/list.txt?{signature}>"
        done = extract(config(web.root, tmp_path / "bank.h5", dataset=spec))
    assert done.reused and done.bank.name == f"list:{web.address}/list.txt"
    assert b"SECRET" not in (tmp_path / "bank.h5").read_bytes()
    assert open_dataset(spec).manifest_sha256 == done.bank.attrs["manifest_sha256"]


def test_a_web_server_takes_no_bank_and_the_work_is_not_begun(folder, config, web, capsys):
    with pytest.raises(InputError, match="a web server takes no files"):
        extract(config(folder, f"{web.address}/bank.h5"))
    assert "extract" not in capsys.readouterr().err
