"""A logger and callbacks for tests, as a user would write them in a package of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger


class MemoryLogger(Logger):
    """Keeps what is logged in a list that all loggers of this class share."""

    logged: ClassVar[list[tuple[int, dict[str, float]]]] = []
    options: ClassVar[list[dict[str, Any]]] = []
    ended: ClassVar[list[str]] = []

    def __init__(self, save_dir: str, tag: str = "") -> None:
        super().__init__()
        self.folder, self.tag = save_dir, tag

    @property
    def name(self) -> str:
        return self.tag

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged.append((int(step or 0), metrics))

    def log_hyperparams(self, params: dict[str, Any], *_: Any, **__: Any) -> None:
        self.options.append(params)

    def finalize(self, status: str) -> None:
        self.ended.append(status)


class Counter(Callback):
    """Counts images, and says how many there were at the end; its count is its state."""

    totals: ClassVar[list[int]] = []

    def __init__(self, first: int = 0, odd: bool = False) -> None:
        self.images, self.odd = first, odd

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.images += len(batch.labels)

    def on_train_end(self, *_: Any) -> None:
        self.totals.append(self.images)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "odd": torch.device("cpu") if self.odd else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = state["images"]
