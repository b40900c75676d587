"""Files of features at addresses: read in every format, and written."""

import fsspec
import numpy as np
import pytest

from features import ExtractConfig, FeatureBank, InputError, extract, open_dataset
from features.precomputed.writing import write_features


@pytest.mark.parametrize("place", ["memory", "web"])
@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "safetensors", "parquet"])
def test_features_at_an_address_are_those_on_the_disk(kind, place, save, rows, bank_of, web, memory):
    (web.root / "labels.txt").write_text("\n".join(rows["label"]))
    here = save(kind, {"feature": rows["feature"]}, "web/emb") + f"?label={web.root}/labels.txt"
    fsspec.filesystem("memory").put(f"{web.root}/", f"{memory}/", recursive=True)
    there = here.replace(str(web.root), memory if place == "memory" else web.address)
    one, other = (open_dataset(spec, images=False) for spec in (there, here))
    assert one.spec == there and one.classes == other.classes and list(one.ids) == list(other.ids)
    assert one.manifest_sha256 == other.manifest_sha256
    banks = [bank_of(there, "there"), bank_of(here, "here")]
    for name in ("counts", "means", "variances", "within_covariance"):
        np.testing.assert_array_equal(*(getattr(bank, name) for bank in banks))
    missing = there.replace(f"emb.{kind}", f"none.{kind}")
    with pytest.raises(InputError, match=rf"^dataset spec .*no such file: \S+/none.{kind}; expected"):
        open_dataset(missing, images=False)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_bank_goes_out_to_an_address_and_comes_back(suffix, memory):
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    means, ones = rng.normal(size=(3, 4)).astype(np.float32), np.ones((3, 4), np.float32)
    attrs = {"dataset": "list:<https://h/a.txt?sig=SECRET>", "backbone": "b", "weights_sha256": "w", "created": "2024"}
    bank = FeatureBank(("a", "b", "c"), np.array([2, 3, 4]), means, ones, np.eye(4, dtype=np.float32), attrs)
    written = write_features(bank, f"{memory}/bank.{suffix}")
    assert str(written.path) == f"{memory}/bank.{suffix}"
    content = fsspec.filesystem("memory").cat_file(f"{memory}/bank.{suffix}").replace(b"\0", b"")  # UTF-32 in .npz
    assert b"https://h/a.txt" in content and b"SECRET" not in content
    back = extract(ExtractConfig(f"features:{memory}/bank.{suffix}", "back.h5")).bank
    np.testing.assert_array_equal(back.means, means)
    assert back.classes == bank.classes and back.counts.tolist() == [2, 3, 4]
