"""``transfer inspect``: what a dataset, a bank, a run or a subset holds, and which names there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features import FeatureBank, backbone_names, open_dataset
from features.checkpoint import find_checkpoint
from features.errors import InputError
from features.readers import SCHEMES
from finetune.augmentation import AUGMENTATIONS
from finetune.frozen import FROZEN_METHODS
from finetune.losses import LOSSES
from finetune.metrics import FEW, MANY
from finetune.run_directory import open_run
from finetune.samplers import SAMPLERS
from similarity import GEOMETRIES, STRATEGIES, Subset


@dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """Show what something holds.

    Attributes:
        what: A dataset spec, a bank (.h5), a run directory, a checkpoint, a subset file (.csv), or one of
            backbones, schemes, losses, samplers, methods, augmentations, geometries, strategies.
    """

    what: str


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        kind: ``dataset``, ``bank``, ``run``, ``checkpoint``, ``subset`` or ``names``.
        content: Name → value, as JSON can hold it.
    """

    kind: str
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.content}


_NAMES: dict[str, Callable[[], Mapping[str, Any]]] = {
    "backbones": backbone_names,
    "schemes": lambda: SCHEMES,
    "losses": lambda: {"losses": list(LOSSES)},
    "methods": lambda: {"full": "everything is trained"} | FROZEN_METHODS,
    "samplers": lambda: {"samplers": list(SAMPLERS)},
    "augmentations": lambda: {name: str(value) for name, value in AUGMENTATIONS.items()},
    "geometries": lambda: {"geometries": list(GEOMETRIES)},
    "strategies": lambda: STRATEGIES,
}


def inspect(config: InspectConfig) -> Inspection:
    """Look at ``config.what``.

    Raises:
        InputError: It is nothing that this toolkit knows.
    """
    what = config.what
    path = Path(what)
    if what in _NAMES:
        return Inspection("names", dict(_NAMES[what]()))
    scheme, colon, _ = what.partition(":")
    if colon and scheme in SCHEMES:  # before the suffixes: list:train.csv is no subset file
        return _dataset(what)
    if path.suffix in (".h5", ".hdf5"):
        return Inspection("bank", _bank(FeatureBank.open(path)))
    if path.suffix == ".csv":
        subset = Subset.read(path)
        return Inspection("subset", {"classes": len(subset), **subset.provenance, **subset.to_json()})
    if (path / "config.yaml").is_file():
        run = open_run(path)
        return Inspection("run", {"metrics": run["metrics"], **run["environment"], "config": run["config"]})
    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        return Inspection("checkpoint", dict(checkpoint.card))
    if colon:
        return _dataset(what)  # which knows what the scheme may have meant
    raise InputError(
        f"{what}: not a dataset spec (scheme:location), bank (.h5), run directory, checkpoint or subset file (.csv), "
        f"and not one of {', '.join(_NAMES)}"
    )


def _dataset(spec: str) -> Inspection:
    return Inspection("dataset", _tail(open_dataset(spec).counts) | {"dataset": spec})


def _bank(bank: FeatureBank) -> dict[str, Any]:
    skipped = [f"{id_} ({reason})" for id_, reason in bank.skipped]
    return dict(bank.attrs) | _tail(bank.counts) | {"dimensions": bank.means.shape[1], "skipped": skipped}


def _tail(counts: np.ndarray) -> dict[str, Any]:
    """How long the tail of a dataset is."""
    return {
        "classes": len(counts),
        "images": int(counts.sum()),
        "largest": int(counts.max()),
        "smallest": int(counts.min()),
        "imbalance": round(float(counts.max() / max(1, counts.min())), 2),
        "many": int((counts > MANY).sum()),
        "medium": int(((counts >= FEW) & (counts <= MANY)).sum()),
        "few": int((counts < FEW).sum()),
    }
