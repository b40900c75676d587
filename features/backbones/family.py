"""The families of backbones: one :class:`Family` row each, in the modules of :mod:`features.backbones.families`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.backbones.backbone import Backbone
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import did_you_mean

#: The backbone whose published weights need no network.
OFFLINE = "efficientnet_lite0"


@dataclass(frozen=True)
class Family:
    """A family of backbones.

    Attributes:
        name: What the family is called.
        meaning: What it is, in one line.
        place: Families are tried in ascending place; the first that knows a name builds it.
        knows: Whether it has a backbone of a name.
        build: Builds the backbone of a name. The second argument is ``default`` for published weights, which may raise
            `InputError`; with any other value the weights are random. The third is the side of the images in pixels,
            or None; only a network that is built for one size needs it.
        names: Lists its names.
        origin: The heading of its names in :func:`backbone_names`.
    """

    name: str
    meaning: str
    place: int
    knows: Callable[[str], bool]
    build: Callable[[str, str, int | None], Backbone]
    names: Callable[[], Collection[str]] = tuple
    origin: str = "this toolkit"


FAMILIES = Catalogue("family of backbones", Family, "features.backbones.families", "transfer.backbones")


def family_of(name: str, but: Family | None = None) -> Family:
    """Return the first family, other than ``but``, that knows ``name``.

    Raises:
        InputError: No family knows it.
    """
    for family in FAMILIES.values():
        if family is not but and family.knows(name):
            return family
    if "/" in name or Path(name).exists():
        raise InputError(
            f"backbone {name}: no checkpoint there; expected a model name or a run directory that holds "
            f"checkpoints/last.safetensors"
        )
    known = sorted({other for names in backbone_names().values() for other in names})  # some are in two families
    near = did_you_mean(name, known) or "; transfer inspect backbones lists the models"
    raise InputError(f"backbone {name}: no such model or run directory{near}")


def backbone_names() -> dict[str, list[str]]:
    """List the names of all models that :func:`features.load_backbone` knows, by origin."""
    names: dict[str, list[str]] = {}
    for family in FAMILIES.values():
        if listed := family.names():
            names.setdefault(family.origin, []).extend(listed)
    return names


def downloading(name: str, build: Callable[[], Any]) -> Any:
    """Build a network whose weights may have to be downloaded; raise `InputError` if that fails."""
    try:
        return build()
    except (OSError, RuntimeError) as error:  # URLError is an OSError; hubs raise RuntimeError
        raise InputError(
            f"backbone {name}: its published weights could not be loaded ({error}); give `weights` FILE, or "
            f"`backbone` {OFFLINE}, which needs no network"
        ) from error
