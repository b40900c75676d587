"""The result of an extraction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from features.bank import FeatureBank
from features.infrastructure.storage.addresses import Location


@dataclass(frozen=True)
class Extraction:
    """The result of an extraction, or of a merge of shards.

    Attributes:
        path: The feature bank, or the shard of one.
        classes: Number of classes in it.
        images: Number of images in it; None for class means, if it is not known.
        skipped: Number of unreadable images.
        read: Number of images that this call has read; fewer than there are after a resume.
        seconds: Time that the call took; 0 if the bank was reused.
    """

    path: Location
    classes: int
    images: int | None
    skipped: int
    read: int
    seconds: float

    @property
    def reused(self) -> bool:
        """Whether the bank was there already."""
        return self.seconds == 0

    @cached_property
    def bank(self) -> FeatureBank:
        """The feature bank; raises `InputError` if the file is a shard."""
        return FeatureBank.open(self.path)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON holds it; ``images_per_second`` is None if no image was read."""
        return {
            "bank": str(self.path),
            "classes": self.classes,
            "images": self.images,
            "skipped": self.skipped,
            "images_per_second": round(self.read / self.seconds, 2) if self.read else None,
            "reused": self.reused,
        }
