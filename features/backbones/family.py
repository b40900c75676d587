"""The families of backbones: one :class:`Family` row each, in the modules of :mod:`features.backbones.families`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.backbones.hub_folder import hub_config
from features.checkpoint import is_trained_model
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import on_disk
from features.infrastructure.suggestions import did_you_mean

if TYPE_CHECKING:
    from features.backbones.backbone import Backbone

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
        prefixes: Beginnings of names that are of this family alone: of a library, such as ``timm/``, or of an address,
            such as ``hf-hub:``, with a colon at the end.
        rebuild: Builds the network of a :attr:`Backbone.blueprint` with random weights, for images of this side in
            pixels; only families whose networks have one need it.
        downloads: Whether the published weights of a name come from the network on first use.
    """

    name: str
    meaning: str
    place: int
    knows: Callable[[str], bool]
    build: Callable[[str, str, int | None], Backbone]
    names: Callable[[], Collection[str]] = tuple
    origin: str = "this toolkit"
    prefixes: tuple[str, ...] = ()
    rebuild: Callable[[Mapping[str, Any], int], Backbone] | None = None
    downloads: Callable[[str], bool] = lambda name: False


#: Where the names are, at the end of a message.
_LISTED = "; transfer inspect backbones lists the models"

FAMILIES = Catalogue("family of backbones", Family, "features.backbones.families", "transfer.backbones")


def family_of(name: str, but: Family | None = None) -> Family:
    """Return the first family, other than ``but``, that knows ``name``.

    Raises:
        InputError: No family knows it.
    """
    for family in FAMILIES.values():
        if family is not but and family.knows(name):
            return family
    for family in FAMILIES.values():
        for prefix in family.prefixes:
            if name.startswith(prefix):
                near = did_you_mean(name.removeprefix(prefix), family.names(), prefix)
                raise InputError(f"backbone {name}: {family.name} has no such model{near or _LISTED}")
    on_disk(name, "backbone")
    if "/" in name or Path(name).exists():
        raise InputError(
            f"backbone {name}: no checkpoint there; expected a model name or a run directory that holds "
            f"checkpoints/last.safetensors, or a folder in the format of the hub with config.json and model.safetensors"
        )
    known = sorted({other for names in backbone_names().values() for other in names})  # some are in two families
    near = did_you_mean(name, known) or _LISTED
    raise InputError(f"backbone {name}: no such model or run directory{near}")


def backbone_names() -> dict[str, list[str]]:
    """List the names of all models that :func:`features.load_backbone` knows, by origin."""
    names: dict[str, list[str]] = {}
    for family in FAMILIES.values():
        if listed := family.names():
            names.setdefault(family.origin, []).extend(listed)
    return names


def is_model_address(name: str) -> bool:
    """Whether a name is an address, such as ``hf-hub:OWNER/NAME``."""
    return ":" in name and _has_prefix(name, ":")


def is_path_of_run(name: str) -> bool:
    """Whether a name can only be the path of a run, not of a published model; a run need not be there.

    The families of other packages are imported only if nothing else decides it.
    """
    if "/" not in name:
        return False
    return is_trained_model(name) or not (hub_config(name) or _has_prefix(name))


def _has_prefix(name: str, ending: str = "") -> bool:
    """Whether a name begins with a prefix of a family that ends so; families are asked one after the other."""
    prefixes = (prefix for family in FAMILIES.values() for prefix in family.prefixes)
    return any(name.startswith(prefix) for prefix in prefixes if prefix.endswith(ending))
