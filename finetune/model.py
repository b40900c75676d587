"""An image classifier: a backbone and a head over named classes, and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from features.backbones.loading import Backbone, load_backbone
from features.checkpoint import RESTORE, Checkpoint, open_checkpoint, save_checkpoint
from features.infrastructure.errors import InputError
from features.tensors import check_tensors
from finetune.heads import HEADS


class ImageClassifier(nn.Module):
    """Normalised images (B, 3, H, W) to class scores (B, C), float32; ``head`` is one of :data:`finetune.heads.HEADS`.

    The head always computes in float32: bfloat16 has 8 significant bits, so the best two of a hundred scores are often
    equal, and of equal scores the lower class number wins.
    """

    head: Any  # each kind of head has its own attributes

    def __init__(self, backbone: Backbone, classes: Sequence[str], head: str = "linear") -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = tuple(classes)
        self.head_kind = head
        self.head = HEADS[head](backbone.dim, len(self.classes))
        for parameter in self.head.parameters():
            if parameter.ndim > 1:
                # Small weights: every class starts with about the same score at any scale of the features.
                nn.init.normal_(parameter, std=0.01)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.backbone(x))

    def classify(self, features: Tensor) -> Tensor:
        """Class scores (B, C), float32, of the features (B, D) of the backbone."""
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.float())

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        """Write the checkpoint, a .safetensors file; ``card`` adds to what its card says of the classifier itself."""
        tensors = {f"backbone.{name}": value for name, value in self.backbone.network.state_dict().items()}
        tensors |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        own: dict[str, Any] = {
            "backbone": self.backbone.name,
            "dim": self.backbone.dim,
            "preprocessing": self.backbone.preprocessing.to_json(),
            "weights_sha256": self.backbone.weights_sha256(),
            "head": self.head_kind,
            "classes": list(self.classes),
        }
        if self.backbone.blueprint is not None:
            own["blueprint"] = self.backbone.blueprint
        save_checkpoint(path, tensors, own | dict(card))

    @classmethod
    def open(cls, location: str | Path) -> tuple[ImageClassifier, Mapping[str, Any]]:
        """Read the classifier of a run directory or checkpoint file, and its card.

        Raises ``InputError`` if there is no checkpoint, or this version does not know its head.
        """
        checkpoint = open_checkpoint(location)
        head = checkpoint.card.get("head")
        if head not in HEADS:
            raise InputError(f"{checkpoint.path}: its head is {head!r}; this version knows {', '.join(HEADS)}")
        if missing := [name for name in ("sigmoid", "scale", "train_counts") if name not in checkpoint.card]:
            raise InputError(f"{checkpoint.path.with_suffix('.json')}: {missing[0]!r} is missing; {RESTORE}")
        state = checkpoint.state("head.")
        model = cls(load_backbone(str(location)), checkpoint.classes, head)
        fill_head(model.head, state, checkpoint)
        return model, checkpoint.card


def fill_head(head: nn.Module, state: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Load the tensors of a checkpoint's head.

    Raises:
        InputError: One is missing or has another shape, such as that of another number of classes.
    """
    try:
        head.load_state_dict(dict(state))
    except (RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{checkpoint.path}: its head does not fit the {len(checkpoint.classes)} classes of its card ({reason}); "
            f"{RESTORE}"
        ) from error
    check_tensors(state, head.state_dict(), str(checkpoint.path), RESTORE, head=True)


def as_scores(logits: Tensor, sigmoid: bool) -> Tensor:
    """Logits (B, C) as probabilities (B, C), by the link function of the loss: the sigmoid or the softmax."""
    return torch.sigmoid(logits) if sigmoid else torch.softmax(logits, dim=1)
