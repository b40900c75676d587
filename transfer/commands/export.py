from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from features.bank import SUFFIXES, FeatureBank
from features.checkpoint import is_trained_model
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Address, local_copy, located, on_disk
from features.precomputed.writing import WrittenFeatures, write_features
from finetune.exporting import FORMATS
from finetune.exporting.pushing import Hub, check_repository
from transfer.screen import say, show_next

if TYPE_CHECKING:
    from finetune.exporting import Exported
    from transfer.lineage import Step


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a trained model in a format that other programs load; its logits are compared with the run's first.

    Attributes:
        run: Run directory of transfer finetune, fit-classifier or pretrain, or a checkpoint (.safetensors) in one; or a
            feature bank (.h5).
        out: The file (.onnx, .pt2; of a bank .parquet or .npz), or the folder of the format hub.
        format: onnx (one file for ONNX Runtime), torch (a program of torch.export) or hub (a folder that timm loads,
            with a model card); by default the one that the ending of `out` says.
        push: With the format hub, upload the folder to this model of the Hugging Face hub, OWNER/NAME.
        private: With `push`, make the model there a private one if it is new.
        license: Licence of the weights for the model card, as the hub calls it, such as cc-by-nc-4.0; by default the
            card says that it is not stated.
        overwrite: Replace an existing file or folder of an export instead of refusing.
    """

    run: str
    out: str
    format: str | None = None
    push: str | None = None
    private: bool = False
    license: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.is_bank:
            given = [name for name in ("format", "push", "private", "license") if getattr(self, name)]
            if given:
                value, what = getattr(self, given[0]), f"{self.run} is a bank"
                raise InputError(f"`{given[0]}` {value}: is for a trained model, and {what}; leave it out")
            return
        if self.format is not None:
            FORMATS.find(self.format)
        if self.push is not None:
            check_repository(self.push)
        if self.private and self.push is None:
            raise InputError("`private`: is for a model that is uploaded with `push`; leave it out")
        if self.license is not None and not self.license.strip():
            raise InputError("`license`: is empty; name a licence, or leave it out")

    @property
    def is_bank(self) -> bool:
        """Whether a feature bank is exported."""
        return located(self.run).suffix in SUFFIXES


@dataclass(frozen=True)
class Exporting:
    """A written export, and its address on the hub if it was pushed."""

    exported: Exported
    address: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**self.exported.to_json(), "address": self.address}


def export(config: ExportConfig) -> Exporting | WrittenFeatures:
    """Export what ``config.run`` names; its kind decides which formats there are.

    Raises:
        InputError: It is nothing that can be exported, or that has the format; or the output is there already.
    """
    if config.is_bank:
        return write_features(FeatureBank.open(config.run), config.out, overwrite=config.overwrite)
    if is_trained_model(on_disk(config.run, "`run`")):
        return _export_model(config)
    raise InputError(
        f"`run` {config.run}: no trained model there; expected a finished run directory (with "
        f"checkpoints/last.safetensors), a checkpoint (.safetensors) of one, or a feature bank (.h5)"
    )


def _export_model(config: ExportConfig) -> Exporting:
    """Export a trained model, and push it if that is asked for."""
    from finetune.exporting.export import Export, check_export, export_classifier, format_of, metadata  # import PyTorch
    from finetune.model import ImageClassifier
    from transfer.lineage import lineage
    from transfer.model_card import model_card

    row, out = format_of(config.format, config.out), located(config.out)
    for name, of_folder in (("push", "folder"), ("license", "model card")):
        if getattr(config, name) is not None and not row.holds:
            fault = f"`format` {row.name} has no {of_folder}; give `format` hub"
            raise InputError(f"`{name}` {getattr(config, name)}: {fault}")
    if config.push is not None and isinstance(out, Address):
        raise InputError(f"`push` {config.push}: uploads a folder of the disk, and `out` is {out}; name a local folder")
    model, card = ImageClassifier.open(config.run)
    check_export(row, model, config.run, out, overwrite=config.overwrite)
    hub = None if config.push is None else Hub(config.push)
    steps = [step.published() for step in lineage(config.run)]
    about = {**metadata(model, card), "provenance": _provenance(steps)}
    found = Export(model.eval(), card["scale"], about)
    if row.holds:
        name = (config.push or out.resolve().name).rpartition("/")[2]
        texts = {"repository": config.push, "licence": config.license}
        found = replace(found, readme=model_card(name, about, card, steps, **texts))
    exported = export_classifier(row, found, out)
    return Exporting(exported, None if hub is None else hub.push(local_copy(out), private=config.private))


def _provenance(steps: list[Step]) -> list[dict[str, Any]]:
    """The runs behind a model, the newest first, without paths of this machine."""
    return [
        {
            "command": step.command,
            "seed": step.environment.get("seed"),
            "started": step.environment.get("started"),
            "versions": step.environment.get("versions"),
            "inputs": step.environment.get("inputs"),
        }
        for step in steps
    ]


def show(config: ExportConfig, result: Exporting | WrittenFeatures) -> None:
    """Print what was written and how well it was checked, and how to load it."""
    if isinstance(result, WrittenFeatures):
        say(f"{result.path}: a row {'an image' if result.of_images else 'a class'}, {result.rows:,} rows")
        show_next(f"transfer extract {shlex.quote(f'features:{result.path}')} --out again.h5    (the same bank)")
        return
    exported = result.exported
    checked = f"its logits are the run's within {exported.difference:.1g}"
    say(f"{exported.path}: {FORMATS[exported.format].meaning}; {checked}")
    if result.address is not None:
        say(f"uploaded to {result.address}")
    load = FORMATS[exported.format].load
    if load is None:
        show_next(f"transfer report {shlex.quote(config.run)}")
    else:
        place = str(exported.path) if config.push is None else f"hf-hub:{config.push}"
        show_next(f"{load(place)}    (in Python)")
