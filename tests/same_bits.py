"""Whether two banks hold the same bits."""

import h5py
import numpy as np


def contents(path):
    """Every dataset of an HDF5 file, by name, and its attributes but for the time."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        attributes = {name: value for name, value in file.attrs.items() if name != "created"}
    return found, attributes


def assert_same_bits(path, other):
    (found, attributes), (expected, other_attributes) = contents(path), contents(other)
    assert attributes == other_attributes and set(found) == set(expected)
    for name, value in expected.items():
        assert value.dtype == found[name].dtype
        assert value.tolist() == found[name].tolist() if value.dtype == object else np.array_equal(value, found[name])
