"""The formats of exported classifiers: one :class:`ExportFormat` row each, in the modules of ``formats``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.infrastructure.catalogue import Catalogue

if TYPE_CHECKING:
    from finetune.model import ImageClassifier


@dataclass(frozen=True, eq=False)
class Export:
    """A trained classifier, and what is said of it in every format.

    Attributes:
        model: The classifier, on the CPU.
        scale: The factor of its scores, see :class:`finetune.exporting.scoring.ScoringNetwork`.
        about: What is said of it, as JSON values: see :func:`finetune.exporting.export.metadata`.
        readme: The model card, as Markdown; only a folder of the hub holds one.
    """

    model: ImageClassifier
    scale: float
    about: Mapping[str, Any]
    readme: str = ""


@dataclass(frozen=True)
class ExportFormat:
    """A format of exported classifiers.

    Attributes:
        name: The word after ``--format``.
        meaning: What it is, in one line.
        ending: The ending of its file; empty for a folder.
        obstacle: Why a classifier cannot have this format, in words that follow a colon; None if it can.
        write: Writes an export to a new file, or into a new folder, reads it again, and returns the largest difference
            of its logits; `InputError` if that is no rounding.
        holds: Names of the files in its folder.
        packages: Packages that it needs.
        extra: The extra that installs them.
        load: Returns the line of Python that loads an export. It is called with the path; or, of a folder that was
            pushed, with its address ``hf-hub:OWNER/NAME``. None if no line is to be shown.
    """

    name: str
    meaning: str
    ending: str
    obstacle: Callable[[ImageClassifier], str | None]
    write: Callable[[Export, Path], float]
    holds: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""
    load: Callable[[str], str] | None = None


FORMATS = Catalogue("format", ExportFormat, "finetune.exporting.formats", "transfer.formats")
