"""Unreadable images: no other image takes their place, and too large a share of them is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from features.infrastructure.errors import InputError

#: Share of the images of a dataset that may be unreadable unless a command states its own.
MAX_UNREADABLE = 0.05
#: What to do about an unreadable image: list it with the reason and go on, or stop.
OnError = Literal["skip", "fail"]


def check_unreadable(
    spec: str,
    unreadable: Sequence[tuple[str, str]],
    n_images: int,
    max_unreadable: float = MAX_UNREADABLE,
    on_error: OnError = "skip",
) -> None:
    """Raise an `InputError` that names the first unreadable image if there are more than allowed.

    Args:
        spec: The dataset in messages.
        unreadable: Unreadable images, as (id, reason).
        n_images: Number of images of the whole dataset.
        max_unreadable: The largest share of them that may be unreadable, 0 to 1.
        on_error: ``fail`` allows none.
    """
    if not unreadable:
        return
    id_, reason = unreadable[0]
    if on_error == "fail":
        raise InputError(f"{spec}: cannot read {id_} ({reason})")
    if len(unreadable) / n_images > max_unreadable:
        raise InputError(
            f"{spec}: at least {len(unreadable)} of {n_images} images cannot be read, more than `max_unreadable` "
            f"{max_unreadable:g}; the first is {id_} ({reason}); repair them, or raise the limit: the result then "
            f"lists them"
        )
