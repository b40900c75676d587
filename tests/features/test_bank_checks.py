"""What holds for the attributes of every bank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.bank_checks import check_schema
from features.infrastructure.errors import InputError

SCHEMA = {"kind": "feature bank", "schema": "bank", "version": 1, "advice": "extract it again"}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ("other", "schema is 'other'"),
        (None, "schema is None"),
        (np.array(["bank", "bank"], "O"), "schema is no text and no number)"),
        (np.array(["bank"], "O"), "schema is no text and no number)"),
        (np.arange(3), "schema is no text and no number)"),
    ],
)
def test_another_schema_is_shown_whatever_it_is(schema, shown):
    with pytest.raises(InputError) as error:
        check_schema(Path("a.h5"), attributes={"schema": schema, "schema_version": 1}, **SCHEMA)
    assert str(error.value).startswith(f"a.h5: an HDF5 file, but not a feature bank ({shown}")
    assert str(error.value).endswith("; extract it again")


def test_the_schema_itself_is_taken():
    check_schema(Path("a.h5"), attributes={"schema": "bank", "schema_version": 1}, **SCHEMA)
    with pytest.raises(InputError, match=r"a feature bank of schema version 2, and .* or install a newer release"):
        check_schema(Path("a.h5"), attributes={"schema": "bank", "schema_version": 2}, **SCHEMA)
