"""Tensors as files hold them: their digest, and whether they can take the place of others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.infrastructure.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors and of their names, shapes and types, in the order of their names."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        bytes_of = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(bytes_of.numpy().data)
    return digest.hexdigest()


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str, advice: str, *, head: bool = False
) -> None:
    """Check that tensors can take the place of those of ``expected`` that have the same names and shapes.

    In a ``head``, −∞ is the score of a class that cannot be chosen.

    Raises:
        InputError: One holds NaN or infinite values, whole numbers in place of others, or is sparse or quantised.
    """
    for name in (name for name in expected if name in tensors):
        value, own = tensors[name], expected[name]
        plain = value.layout == own.layout and not (value.is_complex() or value.is_quantized or value.is_meta)
        if not plain or value.is_floating_point() != own.is_floating_point():
            raise InputError(f"{where}: {name} holds values of {value.dtype}; expected {own.dtype}; {advice}")
    check_finite({name: value for name, value in tensors.items() if name in expected}, where, advice, head=head)


def check_finite(tensors: Mapping[str, Tensor], where: str, advice: str, *, head: bool = False) -> None:
    """Raise `InputError` if a tensor holds a value that is NaN or infinite; arguments are those of `check_tensors`."""
    for name, value in tensors.items():
        # The sum takes no memory, and is NaN or infinite if a value is. It may also overflow.
        if not value.is_floating_point() or value.float().sum().isfinite():
            continue
        if not (value < float("inf") if head else value.isfinite()).all():  # NaN is not less than anything
            raise InputError(f"{where}: {name} holds a value that is NaN or infinite; {advice}")
