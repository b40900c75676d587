"""What runs were trained or fitted with, in a few words, from their options as ``open_run`` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.run_directory import FINE_TUNED, IMMATERIAL

#: Options of a run that do not tell what it learns from that of others.
_UNTOLD = {*IMMATERIAL, "test", "device"}


def describe(config: Mapping[str, Any]) -> str:
    """A description of the options of one run, such as ``softmax, 30 epochs from resnet50``."""
    start = Path(config.get("init") or config.get("backbone") or "").name
    untrained = config.get("weights") == "none"
    method = config.get("method", FINE_TUNED)
    if method != FINE_TUNED:
        tau = "" if config.get("tau") is None else f" {config['tau']:g}"
        return f"{method}{tau} on {'untrained ' * untrained}{start}"
    words = [config.get("loss") or "unknown loss"]
    if config.get("sampler", "shuffle") != "shuffle":
        words.append(f"sampler {config['sampler']}")
    if config.get("class_weights"):
        words.append(f"drawn by the weights of {Path(config['class_weights']).name}")
    if config.get("with_"):
        words.append(f"co-trained on {Path(config['with_']).name}")
    budget = "epochs" if config.get("steps") is None else "steps"
    way = f"of {start} from scratch" if untrained else f"from {start}"
    return ", ".join([*words, f"{config.get(budget) or ''} {budget} {way}".strip()])


def describe_all(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A description of each run; runs that the words do not distinguish are followed by the options that do."""
    words = [describe(config) for config in configs]
    if len({_data(config) for config in configs}) > 1:
        words = [f"{mine} on {_data(config)}" for mine, config in zip(words, configs, strict=True)]
    found = []
    for mine, config in zip(words, configs, strict=True):
        alike = [other for other, theirs in zip(configs, words, strict=True) if theirs == mine]
        names = [
            name
            for name, value in config.items()
            if name not in _UNTOLD and value is not None and any(other.get(name, value) != value for other in alike)
        ]
        found.append(", ".join([mine, *(f"{name} {config[name]}" for name in names)]))
    return found


def _data(config: Mapping[str, Any]) -> str:
    """The training data of a run: its dataset, or the subset or the sources of a pre-training."""
    given = config.get("dataset") or config.get("subset") or config.get("sources") or ""
    return given if isinstance(given, str) else " + ".join(given)
