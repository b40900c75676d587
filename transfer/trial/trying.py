"""A trial from its options to its verdict; finished steps are reused."""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from features import FeatureBank, open_dataset
from features.bank import SUFFIXES
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.infrastructure.disk.files import TEXT, write_text
from features.infrastructure.disk.regular_files import read_limited
from features.infrastructure.errors import InputError, difference
from features.infrastructure.formats.structured_files import LARGEST_YAML, write_sealed_json
from features.infrastructure.storage.addresses import located, on_disk
from features.infrastructure.storage.secrets import without_secrets
from finetune.evaluation.class_matching import align_classes
from transfer.commands.report import ReportConfig, report
from transfer.pipeline import run_recipe
from transfer.recipe import Recipe
from transfer.recipe_steps import without_immaterial
from transfer.result_files import TRIAL, VERDICT, read_trial
from transfer.trial.judging import for_timm, judged
from transfer.trial.photographs import as_spec, read_photographs
from transfer.trial.preparing import prepare

if TYPE_CHECKING:
    from transfer.commands.trial import TrialConfig

#: The recipe of a trial in its directory.
RECIPE = "recipe.yaml"
#: Options of a trial that may change without making it another one.
_IMMATERIAL = ("minutes", "out", "device", "precision", "workers")


@dataclass(frozen=True)
class Trial:
    """The outcome of a trial.

    Attributes:
        path: Its directory.
        content: What is in ``verdict.json``: ``sentences``, ``best``, ``accuracy``, ``lead``, ``model``, ….
    """

    path: Path
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.content)


def try_starts(config: TrialConfig) -> Trial:
    """Try the starts that fit into the time, and judge them on photographs that no training sees.

    Raises:
        InputError: The photographs or the sources cannot be read, a class has too few, or the directory holds another
            trial.
    """
    began = time.perf_counter()
    given = read_photographs(config.photographs, config.test)
    out = directory_of(config)
    if any(sign in str(out) for sign in ",&?"):
        raise InputError(f"`out` {out}: a dataset spec cannot contain this name; leave out , & and ?")
    if given.test is None and "holdout" in DatasetSpec.parse(given.whole).options:
        raise InputError(f"{given.whole}: is a part of a dataset; give the other part, or none of it, as `test`")
    whole = open_dataset(given.whole)
    _check(whole)
    test = None if given.test is None else open_dataset(given.test)
    if test is not None:
        align_classes(test, whole.classes, whole.numbers)
    banks, specs = sources_of(config)
    opened = [open_dataset(spec) for spec in (*specs, *banks)]
    inputs = [one.manifest_sha256 for one in (whole, *([] if test is None else [test]), *opened)]
    known = _same_trial(config, out, inputs)
    if known is None:
        recipe, plan = prepare(config, out, given, whole, opened, banks, began)
        text = without_secrets(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
        write_text(out / RECIPE, text)
        planned = {"left_out": dict(plan.left_out), "pretraining": plan.pretraining}
        known = {
            "options": without_immaterial(asdict(config)),
            "inputs": inputs,
            "recipe_sha256": _sha256(text.encode(**TEXT)),
            "plan": planned,
        }
        write_sealed_json(out / TRIAL, known)
    written = Recipe.read(out / RECIPE)
    experiment = run_recipe(written if config.workers is None else written.with_workers(config.workers), out)
    content = judged(config, out, given, known["plan"], experiment.content) | {"recipe": str(out / RECIPE)}
    write_sealed_json(out / VERDICT, content)
    report(ReportConfig(run=[str(out)]))
    content["hub"] = for_timm(content["model"], out)
    write_sealed_json(out / VERDICT, content)
    return Trial(out, content)


def directory_of(config: TrialConfig) -> Path:
    """The directory of a trial: by default it has the last part of the photographs' path in its name."""
    last = Path(config.photographs.partition("?")[0]).name.removesuffix(".csv")
    name = re.sub(r"[^\w.@-]+", "-", last).strip("-") or "photographs"
    return on_disk(config.out or f"runs/try-{name}", "`out`")


def sources_of(config: TrialConfig) -> tuple[dict[str, str], list[str]]:
    """The banks among the sources, spec → file, and the specs of the other sources."""
    files = [one for one in config.source if located(one).suffix in SUFFIXES]
    return {FeatureBank.open(one).name: one for one in files}, [
        as_spec(one) for one in config.source if one not in files
    ]


def _check(whole: ImageDataset) -> None:
    if len(whole.classes) < 2:
        raise InputError(f"{whole.spec}: has one class, {whole.classes[0]!r}; put images of two or more into folders")
    if (whole.counts < 2).all():
        raise InputError(f"{whole.spec}: every class has a single image; none can be held out to judge by")


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _same_trial(config: TrialConfig, out: Path, inputs: Sequence[str]) -> Mapping[str, Any] | None:
    """What an earlier call of the same trial has written; None if it must be planned, as after a change of ``inputs``.

    Raises:
        InputError: The directory holds another trial, or its recipe was edited.
    """
    known = read_trial(out)
    if known is None:
        return None
    there, asked = known["options"], asdict(config)
    for name in (name for name in asked if name not in _IMMATERIAL):
        if there.get(name) != asked[name]:
            found = difference(name, there.get(name), asked[name])
            raise InputError(f"`out` {out}: holds another trial ({found}); name another directory")
    if there.get("minutes") != config.minutes or known["inputs"] != inputs or not (out / RECIPE).is_file():
        return None
    if _sha256(read_limited(out / RECIPE, "recipe", LARGEST_YAML)) != known["recipe_sha256"]:
        raise InputError(
            f"{out / RECIPE}: was edited since the trial wrote it; run it with: transfer run "
            f"{shlex.quote(str(out / RECIPE))}"
        )
    return known
