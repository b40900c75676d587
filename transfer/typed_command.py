"""A configuration as the command line that gives it, and names for what the commands that follow write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from features.backbones.family import is_model_address
from features.bank import FeatureBank
from features.checkpoint import is_trained_model
from features.dataset_spec import DatasetSpec
from features.extraction.options import DEFAULT_BACKBONE
from features.infrastructure.errors import InputError, flag
from features.infrastructure.options import default_of
from features.infrastructure.storage.addresses import is_address
from features.readers.scheme import holds_images
from features.readers.spec_options import GENERIC_OPTIONS
from finetune.run_directory import open_run
from transfer.commands import COMMANDS


def typed_command(name: str, options: Mapping[str, Any]) -> str:
    """The command line of a command: its options that are not the defaults."""
    row, typed = COMMANDS[name], [name]
    for positional in row.positional:
        given = options.get(positional) or []
        typed += given if isinstance(given, list) else [given]
    for option in fields(row.config()):
        value = options.get(option.name)
        is_given = value is not None and value is not False and value != default_of(option)
        if option.name in row.positional or not is_given:
            continue
        words = [] if value is True else value if isinstance(value, list) else [value]
        typed += [flag(option.name), *map(str, words)]
    return f"transfer {shlex.join(typed)}"


def again(name: str, config: Any, **changed: Any) -> str:
    """The command line that gives a configuration with some options changed."""
    return typed_command(name, vars(config) | changed)


def extracting_as(bank: FeatureBank, dataset: str, **options: Any) -> str:
    """The command line that extracts a dataset by the network of a bank, so that both banks can be compared.

    The size of the images is always named, since the network's own is not known without building it.
    """
    network: dict[str, Any] = {}
    if holds_images(DatasetSpec.parse(dataset)):  # else the features are computed already
        backbone, weights = (str(bank.attrs[name]) for name in ("backbone", "weights"))
        if is_model_address(weights) or is_trained_model(weights):  # which names the network too
            backbone, weights = weights, "default"
        network = {"backbone": None if backbone == DEFAULT_BACKBONE else backbone, "weights": weights}
        network["image_size"] = int(bank.attrs["image_size"])
    return typed_command("extract", {"dataset": dataset, **network, **options})


def short_name(dataset: str) -> str:
    """A name for what is made of a dataset: the last part of its location, in letters that no shell reads.

    >>> short_name("folder:data/my birds/@train"), short_name("inat:train2021.json"), short_name("digits:@train")
    ('my-birds', 'train2021', 'digits')
    """
    try:
        spec = DatasetSpec.parse(dataset)
    except InputError:
        spec = DatasetSpec("", dataset)
    last = Path(spec.location.partition("?")[0]).name
    name = re.sub(r"[^\w.@-]+", "-", re.sub(r"\.(csv|json|txt|npz|npy|parquet|h5|tar)(\.gz)?$", "", last)).strip("-.")
    return name or spec.scheme or "photographs"


def spec_of_test(dataset: str) -> str | None:
    """The spec of the test images beside those that are trained on; None if the spec does not name a training split.

    The options of the scheme are kept, such as the folder of the images. Those that take a part of the images are not.
    """
    spec = DatasetSpec.parse(dataset)
    if spec.split != "train":
        return None
    own = {name: value for name, value in spec.options.items() if name not in GENERIC_OPTIONS}
    return str(replace(spec, split="test", options=own))


def other_run(run: str, test: str | None) -> str | None:
    """The newest other run in the folder of a run that was evaluated on the same dataset; None if there is none."""
    if test is None or is_address(run):
        return None
    here = Path(run)
    finished = [file.parent for file in here.parent.glob("*/metrics.json") if file.parent.name != here.name]
    for other in sorted(finished, key=lambda one: (one / "metrics.json").stat().st_mtime, reverse=True):
        try:
            if open_run(other)["config"].get("test") == test:
                return str(other)
        except InputError:
            continue  # it is not a run, or damaged
    return None
