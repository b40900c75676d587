"""All augmentations by name. Each row stands in the module that implements the augmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import choice

if TYPE_CHECKING:
    from finetune.augmentation.geometric import Augmentation


@dataclass(frozen=True)
class AugmentationRow:
    """One row of :data:`finetune.augmentation.AUGMENTATIONS`.

    Attributes:
        name, meaning: Name on the command line and in recipes, and one line that says what it is. The name of an
            addition to another one, as in ``crop-flip+cutout``, begins with +.
        augmentation: What it does; an addition has steps before or after only.
    """

    name: str
    meaning: str
    augmentation: Augmentation

    @property
    def place(self) -> int:
        """Additions come after the bases."""
        return int(self.name.startswith("+"))


AUGMENTATIONS = Catalogue("augmentation", AugmentationRow, "finetune.augmentation", "transfer.augmentations")


def augmentation(name: str) -> Augmentation:
    """The augmentation called ``name``, such as ``crop-flip`` or ``crop-flip+randaugment+cutout``.

    Raises ``InputError`` if the base or an addition is unknown.
    """
    base, *added = name.split("+")
    if base not in AUGMENTATIONS:
        bases = [row for row in AUGMENTATIONS if not row.startswith("+")]
        unknown = f"{choice(base, bases)}; {' and '.join(_additions())} may follow it"
        raise InputError(f"`augment` {name}: {AUGMENTATIONS.fault(base) or unknown}")
    found = AUGMENTATIONS[base].augmentation
    for addition in dict.fromkeys(f"+{part}" for part in added):
        if addition not in AUGMENTATIONS:
            unknown = f"after {base}, {choice(addition, _additions())}"
            raise InputError(f"`augment` {name}: {AUGMENTATIONS.fault(addition) or unknown}")
        steps = AUGMENTATIONS[addition].augmentation
        found = replace(found, before=found.before + steps.before, after=found.after + steps.after)
    return found


def _additions() -> list[str]:
    return [row for row in AUGMENTATIONS if row.startswith("+")]
