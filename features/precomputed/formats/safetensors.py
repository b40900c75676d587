"""``.safetensors``: tensors by name; they hold no text, so names of classes are in a second file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, local_copy
from features.precomputed.feature_file import ArrayFile, Column, FileFormat, array_column

#: Types of tensors by their names in the file. NumPy lacks bfloat16, which is read as float32.
_TYPES = {"BF16": "f4", "F16": "f2", "F32": "f4", "F64": "f8", "BOOL": "?"}


class SafetensorsFile(ArrayFile):
    """The tensors of a safetensors file."""

    def __init__(self, path: Location) -> None:
        from safetensors import SafetensorError, safe_open

        columns: dict[str, Column] = {}
        self.path, self.columns, self.provenance = path, columns, {}
        try:
            with safe_open(local_copy(path), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  # it is no mapping
                    part = file.get_slice(name)
                    kind = str(part.get_dtype())
                    dtype = np.dtype(_TYPES.get(kind) or f"{kind[0].lower()}{int(kind[1:]) // 8}")
                    columns[name] = array_column(dtype, tuple(part.get_shape()))
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: not a readable safetensors file ({error})") from error

    @contextmanager
    def reader(self, name: str) -> Iterator[Callable[[int, int], NDArray[Any]]]:
        import torch
        from safetensors import safe_open

        with safe_open(local_copy(self.path), framework="pt") as file:
            found = file.get_slice(name)

            def read(start: int, stop: int) -> NDArray[Any]:
                rows = found[start:stop]
                return np.asarray((rows.float() if rows.dtype == torch.bfloat16 else rows).numpy())

            yield read


SAFETENSORS = FileFormat("safetensors", "tensors by name", (".safetensors",), SafetensorsFile)
