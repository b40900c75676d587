"""The device and the precision that a network runs in."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from features.infrastructure.errors import InputError
from features.infrastructure.processes import gather, local_rank, world_size

PRECISIONS = ("auto", "fp32", "bf16")


def pick_device(name: str = "auto") -> torch.device:
    """Return a device by name; ``auto`` is the first available of CUDA, MPS and CPU.

    If several processes run on a machine, each takes the GPU of its local rank.

    Raises:
        InputError: There is no such device, or it is not available on this machine.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", local_rank()) if world_size() > 1 else torch.device("cuda")
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"`device` {name}: expected auto, cpu, cuda, cuda:1 or mps") from error
    try:
        torch.zeros(1, device=device).cpu()  # there and back: ``meta`` holds no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"`device` {name}: not available here ({reason}); use auto or cpu") from error
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16``, which ``auto`` is if the hardware computes in it; raise `InputError` for others."""
    if name not in PRECISIONS:
        raise InputError(f"`precision` {name}: expected one of {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if _cpu_computes_bfloat16() else "fp32"
    return "fp32"


def job_precision(name: str, device: torch.device) -> str:
    """Return what :func:`pick_precision` does, for all processes of a job: ``auto`` is bf16 if all compute in it.

    Every process must call it.
    """
    return "fp32" if "fp32" in gather(pick_precision(name, device)) else "bf16"


def _cpu_computes_bfloat16() -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        # With AVX-512 alone, oneDNN accepts bfloat16 but emulates it.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a context in which matrix products are computed in ``precision``, ``fp32`` or ``bf16``."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
