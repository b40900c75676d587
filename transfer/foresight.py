"""What ``--dry-run`` says: what a command would read, compute and write, and how long it would take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.backbones.family import family_of
from features.dataset import ImageDataset
from features.infrastructure.errors import InputError
from finetune.shared_options import TrainingOptions, training_config

if TYPE_CHECKING:
    from features.backbones.backbone import Backbone


@dataclass(frozen=True)
class Foresight:
    """What a command would do.

    Attributes:
        reads: The datasets, in a line each.
        computes: The steps, in a line each.
        writes: The file or the directory.
        exists: Whether something stands there, which is reused or resumed if it is the same.
        seconds: Expected time, by rates that were measured on some of the images; None if none of the work is known.
    """

    reads: tuple[str, ...]
    computes: tuple[str, ...]
    writes: str
    exists: bool
    seconds: float | None

    @classmethod
    def of(
        cls, datasets: Iterable[ImageDataset], computes: Iterable[str], out: str | Path, seconds: float | None
    ) -> Foresight:
        """The foresight of a command that reads some datasets and writes ``out``."""
        reads = tuple(f"{len(one):,} images of {len(one.classes):,} classes: {one.spec}" for one in datasets)
        return cls(reads, tuple(computes), str(out), Path(out).exists(), seconds)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for the screen."""
        found = [f"would read:    {line}" for line in self.reads] + [f"would compute: {line}" for line in self.computes]
        there = " (something stands there: it is reused or resumed if it is the same)" if self.exists else ""
        found.append(f"would write:   {self.writes}{there}")
        if self.seconds is not None:
            found.append(f"would take:    about {_duration(self.seconds)}, by what this machine did just now")
        return found


def network_to_measure(
    name: str, weights: str, image_size: int | None = None, crop_pct: float | None = None, seed: int | None = None
) -> Backbone:
    """A network as :func:`features.load_backbone` builds it, but no weights are downloaded: its rates need none."""
    from features.backbones.loading import load_backbone  # imports PyTorch

    return load_backbone(name, "none" if downloads(name, weights) else weights, image_size, crop_pct, seed=seed)


def downloads(name: str, weights: str) -> bool:
    """Whether the weights of a network come from elsewhere on first use; those of an unknown name do not."""
    try:
        return weights == "default" and family_of(name).downloads(name)
    except InputError:  # which loading it says better
        return False


def say_downloads(name: str, weights: str) -> list[str]:
    """A line for weights that would be downloaded, if any."""
    if not downloads(name, weights):
        return []
    return [f"the published weights of {name}, which are downloaded on first use; that is not in the time"]


def in_words(backbone: Backbone) -> str:
    """A network and the size of its images."""
    return f"{backbone.name} at {backbone.preprocessing.image_size} px"


def training_steps(config: TrainingOptions, images: int) -> int:
    """The steps of a training on so many images."""
    from finetune.training.batches import batches_an_epoch  # imports PyTorch

    complete = training_config(config)
    return complete.steps or (complete.epochs or 0) * batches_an_epoch(images, config.images_per_step)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"
