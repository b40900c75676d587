"""What leads out of an HDF5 file, or declares more than it stores, is refused as a bank and as a file of features."""

import h5py
import numpy as np
import pytest

from features import ExtractConfig, InputError, extract
from features.bank import FeatureBank
from features.infrastructure.hdf5.survey import survey

TEXT = h5py.string_dtype()


def bank(file):
    """The content of a bank of an earlier release."""
    file.attrs.update(schema="transfer.feature-bank", schema_version=1, complete=True, dataset="x:y")
    file.create_dataset("class/name", data=["auk", "bee", "cow"], dtype=TEXT)
    file.update(
        {
            "class/count": np.array([1, 2, 3]),
            "class/mean": np.ones((3, 4), "f4"),
            "class/variance": np.ones((3, 4), "f4"),
            "within/covariance": np.eye(4, dtype="f4"),
            "image/feature": np.ones((2, 4), "f4"),
            "image/label": np.array([0, 1]),
        }
    )
    for name, data in (("image/id", ["a", "b"]), ("skipped/id", []), ("skipped/reason", [])):
        file.create_dataset(name, data=data, dtype=TEXT)


def replaced(file, name, data=None, **options):
    del file[name]
    return file.create_dataset(name, data=data, **options)


def external_link(file, other):
    del file["class/mean"]
    file["class/mean"] = h5py.ExternalLink(str(other), "/values")


def soft_link(file, _):
    file.move("class/mean", "class/real")
    file["class/mean"] = h5py.SoftLink("/class/real")


def loop_of_links(file, _):
    del file["class/mean"]
    file["class/mean"] = h5py.SoftLink("/class/mean")


def external_storage(file, other):
    replaced(file, "class/mean", shape=(3, 4), dtype="f4", external=[(str(other), 0, 48)])


def virtual(file, other):
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(str(other), "values", (3, 4))
    del file["class/mean"]
    file.create_virtual_dataset("class/mean", layout)


def references(file, _):
    replaced(file, "class/name", [file["class"].ref] * 3, dtype=h5py.ref_dtype)


def references_in_rows(file, _):
    rows = np.zeros(3, [("mean", "f4"), ("where", h5py.ref_dtype)])
    rows["where"] = file["class"].ref
    replaced(file, "class/mean", rows)


def plugin(file, _):
    del file["class/mean"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 4))
    plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
    space = h5py.h5s.create_simple((3, 4))
    h5py.h5d.create(file["class"].id, b"mean", h5py.h5t.NATIVE_FLOAT, space, plan)


def wide_bomb(file, _):
    replaced(file, "class/mean", shape=(3, 10**11), dtype="f4", chunks=(1, 1000), compression="gzip")


def long_bomb(file, _):
    replaced(file, "image/feature", shape=(10**12, 4), dtype="f4")


def bomb_of_zeros(file, _):
    replaced(file, "image/feature", np.zeros((2**19, 64), "f4"), chunks=(2**13, 64), compression=9)


def bomb_of_one_chunk(file, _):
    replaced(file, "class/count", shape=(3,), maxshape=(None,), dtype="i8", chunks=(2**28,), compression=9)


def bomb_of_texts(file, _):
    """Many references to one text, which is stored once."""
    texts = replaced(file, "image/id", shape=(1000,), dtype=TEXT, chunks=(1000,))
    texts[0] = "x" * 10**6
    file.flush()
    place = texts.id.get_chunk_info(0).byte_offset
    path = file.filename
    file.close()
    with open(path, "r+b") as raw:  # noqa: PTH123
        raw.seek(place)
        reference = raw.read(16)
        raw.seek(place)
        raw.write(reference * 100)


def wide_text(file, _):
    replaced(file, "class/name", shape=(3,), dtype="S2000000000")


HOSTILE = {
    external_link: "class/mean is an external link",
    soft_link: "class/mean is a link",
    loop_of_links: "class/mean is a link",
    external_storage: "class/mean has its values in another file",
    virtual: "class/mean is a virtual dataset",
    references: "class/name holds references",
    references_in_rows: "class/mean holds references",
    plugin: "class/mean needs filter 32015, which is not built in",
    wide_bomb: "class/mean declares 1,200,000,000,000 bytes, but stores 0",
    long_bomb: "image/feature declares 16,000,000,000,000 bytes, but stores 0",
    bomb_of_zeros: "image/feature declares 134,217,728 bytes, but stores",
    bomb_of_one_chunk: "class/count declares 2,147,483,648 bytes, but stores 0",
    bomb_of_texts: "image/id holds more text than the file has bytes",
    wide_text: "class/name declares 6,000,000,000 bytes, but stores 0",
}


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_file_is_refused(make, version, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = np.full((3, 4), 7, "f4")
    with h5py.File(tmp_path / "bank.h5", "w", libver=version) as file:
        bank(file)
        make(file, tmp_path / "other.h5")
    reads = FeatureBank.open, lambda path: extract(ExtractConfig(f"features:{path}", str(tmp_path / "out.h5")))
    for kind, read in zip(("feature bank", "file of features"), reads, strict=True):
        with pytest.raises(InputError) as caught:
            read(tmp_path / "bank.h5")
        assert f"bank.h5: not a readable {kind} ({HOSTILE[make]}" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def with_cycle(file):
    file["class/all"] = file["/"]


def deep(file):
    group = file
    for _ in range(3000):
        group = group.create_group("g")


def wide(file):
    for number in range(3000):
        file.create_group(f"group {number}")


def compressed(file):
    for name in ("class/mean", "class/count"):
        replaced(file, name, file[name][:], compression="gzip", shuffle=True, fletcher32=True)


def with_other_attributes(file):
    file["class"].attrs["about"] = np.arange(3)
    file["class/mean"].attrs["scale"] = file["class/count"].ref


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize(
    "add", [with_cycle, deep, wide, compressed, with_other_attributes], ids=lambda add: add.__name__
)
def test_what_is_unusual_but_harmless_is_read(add, version, tmp_path):
    with h5py.File(tmp_path / "bank.h5", "w", libver=version) as file:
        bank(file)
        add(file)
    found = FeatureBank.open(tmp_path / "bank.h5")
    assert found.classes == ("auk", "bee", "cow") and found.images()[2] == ["a", "b"]


def test_of_the_numbers_none_is_read(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "bank.h5", "w") as file:
        bank(file)
    read = []

    def noted(dataset, rows, original=h5py.Dataset.__getitem__):
        read.append(dataset.name)
        return original(dataset, rows)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", noted)
    with h5py.File(tmp_path / "bank.h5") as file:
        assert survey(file, tmp_path / "bank.h5")
        assert set(read) == {"/class/name", "/image/id"}
        read.clear()
        assert survey(file, tmp_path / "bank.h5", heap=False) and not read
