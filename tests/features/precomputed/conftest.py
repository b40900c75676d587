"""Small files of features in every format, and the class statistics of their rows by plain NumPy."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from features import ExtractConfig, extract

ROWS, WIDTH, NAMES = 1200, 7, ("owl", "auk", "kea")


@pytest.fixture(scope="session")
def rows():
    """Features (N, D) of three classes, their labels as numbers and as names, and ids."""
    generator = np.random.default_rng(0)
    numbers = generator.integers(0, 3, ROWS)
    features = (generator.normal(size=(ROWS, WIDTH)) + numbers[:, None]).astype(np.float32)
    return {
        "feature": features,
        "number": numbers,
        "label": np.array(NAMES)[numbers],
        "id": np.array([f"im/{i:04d}.jpg" for i in range(ROWS)]),
    }


def parquet(path, arrays, fixed=True):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {}
    for name, array in arrays.items():
        if np.ndim(array) == 2:
            flat, width = arrow.array(np.ravel(array)), array.shape[1]
            ends = arrow.array(np.arange(len(array) + 1, dtype=np.int32) * width)
            columns[name] = arrow.ListArray.from_arrays(ends, flat)
            if fixed and width:
                columns[name] = arrow.FixedSizeListArray.from_arrays(flat, width)
        else:
            columns[name] = arrow.array(list(array)) if isinstance(array, list) else arrow.array(array)
    parquet.write_table(arrow.table(columns), path, row_group_size=500)


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            text = np.asarray(array).dtype.kind == "U"
            file.create_dataset(name, data=list(array) if text else array, dtype=h5py.string_dtype() if text else None)


SAVE = {
    "npz": lambda path, arrays: np.savez(path, **arrays),
    "compressed.npz": lambda path, arrays: np.savez_compressed(path, **arrays),
    "parquet": parquet,
    "lists.parquet": lambda path, arrays: parquet(path, arrays, fixed=False),
    "h5": hdf5,
    "safetensors": lambda path, arrays: save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, path
    ),
    "npy": lambda path, arrays: np.save(path, arrays["feature"]),
}


@pytest.fixture
def save(tmp_path):
    """A function that saves arrays in a format, and returns the ``features:`` spec without options."""

    def saved(kind, arrays, name="emb"):
        path = tmp_path / f"{name}.{kind}"
        SAVE[kind](path, arrays)
        return f"features:{path}"

    return saved


@pytest.fixture
def bank_of(tmp_path):
    """A function that extracts the bank of a spec."""

    def made(spec, name="bank", **options):
        return extract(ExtractConfig(spec, str(tmp_path / f"{name}.h5"), **options)).bank

    return made


@pytest.fixture(scope="session")
def expected():
    """A function from features and labels 0 to C − 1 to counts, means, variances and within-class covariance."""

    def figures(features, labels):
        x = features.astype(np.float64)
        classes = range(labels.max() + 1)
        means = np.stack([x[labels == c].mean(axis=0) for c in classes])
        variances = np.stack([x[labels == c].var(axis=0) for c in classes])
        centred = x - means[labels]
        return np.bincount(labels), means, variances, centred.T @ centred / len(x)

    return figures
