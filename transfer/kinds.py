"""The kinds of names that a person types, such as strategies and losses: listed with their meanings, or by patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from features.backbones.family import OFFLINE, backbone_names
from features.infrastructure.errors import InputError
from features.infrastructure.suggestions import did_you_mean
from features.readers import SCHEMES
from finetune.augmentation import AUGMENTATIONS
from finetune.classifiers.second_stage import METHODS
from finetune.exporting import FORMATS
from finetune.losses.loss import LOSSES
from finetune.samplers import sampler_meanings
from similarity import GEOMETRIES, MEASURES, STRATEGIES
from similarity.measures import Measure
from transfer.commands import COMMANDS
from transfer.uses import USES


def _recipe_keys() -> dict[str, str]:
    from transfer.recipe_keys import recipe_key_meanings  # imports the configurations of all steps

    return recipe_key_meanings()


#: Kind of names → the names with their meanings, or those of backbones in lists by origin.
KINDS: dict[str, Callable[[], Mapping[str, Any]]] = {
    "commands": lambda: {name: command.meaning for name, command in COMMANDS.items()},
    "backbones": backbone_names,
    "schemes": SCHEMES.meanings,
    "losses": LOSSES.meanings,
    "methods": METHODS.meanings,
    "samplers": sampler_meanings,
    "recipe-keys": _recipe_keys,
    "uses": lambda: {use.name: use.meaning for use in USES.values()},
    "formats": FORMATS.meanings,
    "augmentations": AUGMENTATIONS.meanings,
    "geometries": GEOMETRIES.meanings,
    "strategies": lambda: STRATEGIES.meanings(lambda row: row.meaning + ("; has shares" if row.has_shares else "")),
    "measures": lambda: MEASURES.meanings(_measure),
}

#: Kind of names → the command that takes one.
USED_BY = {
    "commands": "transfer COMMAND --help",
    "backbones": "transfer extract DATASET --backbone NAME --out BANK.h5",
    "schemes": "transfer inspect SCHEME:LOCATION",
    "losses": "transfer pretrain --subset subset.csv --loss NAME --out runs/pre",
    "methods": "transfer fit-classifier DATASET --init RUN --method NAME --out runs/NAME",
    "samplers": "transfer pretrain --subset subset.csv --sampler NAME --out runs/pre",
    "recipe-keys": "transfer run RECIPE.yaml --dry-run",
    "uses": "transfer run RECIPE.yaml    (arms: {NAME: {strategy: nearest, use: NAME}})",
    "formats": "transfer export RUN --format NAME --out FILE",
    "augmentations": f"transfer finetune DATASET --init {OFFLINE} --augment NAME --out runs/NAME",
    "geometries": "transfer rank --target TARGET.h5 --source SOURCE.h5 --geometry NAME",
    "strategies": "transfer select --target TARGET.h5 --source SOURCE.h5 --strategy NAME --out subset.csv",
    "measures": "transfer rank --target TARGET.h5 --source SOURCE.h5 --measures NAME",
}


def names_of(kind: str, patterns: Sequence[str] = ()) -> dict[str, Any]:
    """The names of a kind with their meanings: all, or those that one of the patterns matches, such as ``resnet*``.

    Raises:
        InputError: A pattern matches no name.
    """
    listed = dict(KINDS[kind]())
    if not patterns:
        return listed
    every = list(_every(listed))
    for pattern in patterns:
        if not _matching(every, [pattern]):
            near = did_you_mean(pattern, every) or f"; {pattern!r} may hold * and ?, as in '*{pattern.strip('*?')}*'"
            raise InputError(f"`names` {pattern}: none of the {kind} has this name{near}")
    found = {}
    for name, value in listed.items():
        if isinstance(value, list):
            if kept := _matching(value, patterns):
                found[name] = kept
        elif _matching([name], patterns):
            found[name] = value
    return found


def kind_of(name: str) -> str | None:
    """The kind that lists a name; None if none does."""
    return next((kind for kind, names in KINDS.items() if name in _every(names())), None)


def _every(listed: Mapping[str, Any]) -> Iterable[str]:
    """All names of a kind, which may stand in lists by origin."""
    for name, value in listed.items():
        yield from value if isinstance(value, list) else (name,)


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)]


def _measure(measure: Measure) -> str:
    """What a measure is, what it compares and what it needs."""
    compared = "sources and models" if measure.compares == "both" else measure.compares
    kept = measure.compares != "models" and any("images" in need for need in measure.needs)
    images = " To compare sources it needs banks extracted with --keep-images." if kept else ""
    return f"{measure.meaning}; {measure.direction} is better. Compares {compared}.{images}"
