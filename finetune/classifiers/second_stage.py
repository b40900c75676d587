"""Second-stage classifiers: each is fitted to the frozen features of a backbone and becomes the head of the model.

Every one is a row, which stands in the module that implements it; :data:`METHODS` collects them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.checkpoint import RESTORE, Checkpoint, find_checkpoint
from features.dataset import ImageDataset
from features.infrastructure.catalogue import Catalogue
from features.infrastructure.errors import InputError
from finetune.classifiers.feature_classifier import LinearClassifier
from finetune.losses.loss import LOSSES
from finetune.run_directory import open_run

if TYPE_CHECKING:
    from torch import nn

#: Where the nearest class mean measures; see :class:`finetune.classifiers.NearestClassMean`.
Space = Literal["cosine", "euclidean", "centred"]


@dataclass(frozen=True)
class TrainedClassifier:
    """The linear classifier of a run, its rows in the order of a dataset's classes.

    Attributes:
        weight, bias: (C, D) and (C,).
        sigmoid: Whether its scores are read by a sigmoid, not a softmax.
        balanced_by: The option that re-balanced the classes in its training, as the card states it; None if none did.
        location: The run directory.
    """

    weight: NDArray[np.floating]
    bias: NDArray[np.floating]
    sigmoid: bool = False
    balanced_by: str | None = None
    location: str = ""

    @classmethod
    def of(cls, location: str, classes: Sequence[str], option: str) -> TrainedClassifier:
        """Read the classifier of a run, its rows in the order of ``classes``.

        Raises:
            InputError: There is no run, its classes are others, or its classifier is not linear; the message names
                ``option``, which needs the classifier, such as ```method` lws``.
        """
        whole, known = cls.read(location, option)
        if set(known) != set(classes):
            other = sorted(set(known) ^ set(classes))
            raise InputError(
                f"`init` {location}: {option} needs a run trained on the dataset's {len(classes)} classes; "
                f"{len(other)} are not in both, such as {other[0]!r}"
            )
        position = {name: i for i, name in enumerate(known)}
        return whole.rows([position[name] for name in classes])

    @classmethod
    def read(cls, location: str, option: str) -> tuple[TrainedClassifier, tuple[str, ...]]:
        """Read the classifier of a run and its classes; errors are those of :meth:`of`."""
        checkpoint = find_checkpoint(location)
        if checkpoint is None:
            raise InputError(f"`init` {location}: {option} starts from a trained classifier; give a finished run")
        kind = checkpoint.card.get("head")
        if kind != "linear":
            raise InputError(f"`init` {location}: {option} needs a linear classifier, and this run's is {kind}")
        head, balanced_by = checkpoint.state("head."), _balanced_by(location, checkpoint)
        shapes = [tuple(head[name].shape) for name in ("weight", "bias") if name in head]
        rows = len(checkpoint.classes)
        if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[0][0] != rows or shapes[1] != (rows,):
            raise InputError(f"{checkpoint.path}: its head is of {shapes}, its card of {rows} classes; {RESTORE}")
        if not all(head[name].is_floating_point() for name in ("weight", "bias")):
            raise InputError(f"{checkpoint.path}: its head holds whole numbers; {RESTORE}")
        sigmoid = bool(checkpoint.card.get("sigmoid"))
        return cls(head["weight"].numpy(), head["bias"].numpy(), sigmoid, balanced_by, location), checkpoint.classes

    def rows(self, positions: Sequence[int]) -> TrainedClassifier:
        """The classifier of some of its classes, in this order."""
        return replace(self, weight=self.weight[positions], bias=self.bias[positions])

    @property
    def balancing_option(self) -> str:
        """:attr:`balanced_by` as a message names it, such as ```loss` cb-softmax``; empty if nothing did."""
        name, _, value = (self.balanced_by or "").removeprefix("--").partition(" ")
        return f"`{name.replace('-', '_')}` {value}" if name else ""

    def into(self, head: nn.Module) -> None:
        """Copy weight and bias into a linear head."""
        FittedHead.linear(self.weight, self.bias).into(head)

    def sha256(self) -> str:
        """Hash over weight and bias."""
        return hashlib.sha256(self.weight.tobytes() + self.bias.tobytes()).hexdigest()


def _balanced_by(location: str, checkpoint: Checkpoint) -> str | None:
    """The option that re-balanced the classes in the training of a run's classifier, None if none did."""
    if "balanced_by" not in checkpoint.card and (Path(location) / "config.yaml").is_file():  # of an earlier version
        loss = open_run(location)["config"].get("loss")
        return f"--loss {loss}" if loss in LOSSES and LOSSES[loss].balanced else None
    return checkpoint.card.get("balanced_by")


def images_per_class(
    checkpoint: Checkpoint | None, entry: Literal["train_counts", "classifier_counts"], classes: Sequence[str]
) -> NDArray[np.int64] | None:
    """(C,) training images of each class, as the card of a run states them; None for a run of other classes.

    They are those of the representation, ``train_counts``, or those of the classifier.
    """
    if checkpoint is None or set(checkpoint.classes) != set(classes):
        return None
    stated = checkpoint.card.get(entry, checkpoint.card.get("train_counts"))  # earlier versions wrote only these
    if stated is None:
        raise InputError(f"{checkpoint.path.with_suffix('.json')}: 'train_counts' is missing; {RESTORE}")
    counts = dict(zip(checkpoint.classes, stated, strict=True))
    return np.array([counts[name] for name in classes], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class FittedHead:
    """The head of a model, fitted to frozen features.

    Attributes:
        kind: Name of the head in :data:`finetune.heads.HEADS`.
        state: Its parameters and buffers by name.
        scale: What its scores are multiplied by before the softmax.
        sigmoid: Whether its scores are read by a sigmoid instead.
        said: One sentence about the fit for the log, or nothing.
    """

    kind: str
    state: Mapping[str, Any]
    scale: float = 1.0
    sigmoid: bool = False
    said: str = ""

    @classmethod
    def linear(cls, weight: NDArray[np.floating], bias: NDArray[np.floating], **more: Any) -> FittedHead:
        """A linear head of weight (C, D) and bias (C,)."""
        return cls("linear", {"weight": weight, "bias": bias}, **more)

    def into(self, head: nn.Module) -> None:
        """Copy the state into a head of this kind."""
        import torch

        head.load_state_dict({name: torch.as_tensor(np.asarray(value)) for name, value in self.state.items()})


@dataclass(frozen=True, kw_only=True)
class FittingInputs:
    """What a second-stage classifier may be fitted to.

    Attributes:
        dataset: The training images.
        features_of: A dataset of the same classes to its features (N, D) and labels (N,), without unreadable images.
        counts: (C,) images of each class that ``trained`` was trained on; by default those of ``dataset``.
        trained: The classifier of the run, for a row that keeps it.
        validation: Images that the model was not trained on, of the dataset's classes in its order.
        tau: τ; None for the method's own choice.
        space: Where the nearest class mean measures.
        seed: Seed of the draws.
    """

    dataset: ImageDataset
    features_of: Callable[[ImageDataset], tuple[NDArray[np.float32], NDArray[np.int64]]]
    counts: NDArray[np.int64] | None = None
    trained: TrainedClassifier | None = None
    validation: ImageDataset | None = None
    tau: float | None = None
    space: Space = "cosine"
    seed: int = 0

    @property
    def start(self) -> TrainedClassifier:
        """The classifier of the run; raises ``ValueError`` if none is given."""
        if self.trained is None:
            raise ValueError("`trained` must be the classifier that the method starts from")
        return self.trained

    def fitted(self, classifier: LinearClassifier) -> FittedHead:
        """The linear head of a classifier that is fitted to the training images."""
        classifier.fit(*self.features_of(self.dataset), len(self.dataset.classes))
        return FittedHead.linear(classifier.weight_, classifier.bias_)


#: Options of ``fit-classifier`` that few methods read.
OPTIONS = frozenset({"tau", "space", "validation"})


@dataclass(frozen=True)
class SecondStage:
    """One row of :data:`METHODS`.

    Attributes:
        name, meaning: Name on the command line and in recipes, and one line that says what it is.
        fit: The head fitted to the inputs.
        keeps_classifier: Whether it starts from the classifier of the run, ``FittingInputs.trained``.
        options: Those of :data:`OPTIONS` that it reads.
        needs_one_of: Options of which exactly one must be given, each with what it is in a few words.
        balanced: Whether it re-balances the classes.
        check: Raises ``InputError`` for a start (and τ) that the method cannot use.
    """

    name: str
    meaning: str
    fit: Callable[[FittingInputs], FittedHead]
    keeps_classifier: bool = False
    options: frozenset[str] = frozenset()
    needs_one_of: Mapping[str, str] = field(default_factory=dict)
    balanced: bool = False
    check: Callable[[TrainedClassifier, float | None], None] | None = None


METHODS = Catalogue("method", SecondStage, "finetune.classifiers", "transfer.methods")
