"""The stages of Lightning's loop, which it names to its profiler."""

from __future__ import annotations

from lightning.pytorch.profilers import Profiler

from features.infrastructure.stage_clock import AFTER, AUGMENT, BACKWARD, OPTIMIZER, TRANSFER, WAIT, StageClock, Stages

#: The end of the name of an action of Lightning → its stage. The forward pass and the loss are within a training step.
_STAGES = {
    "train_dataloader_next": WAIT,
    "batch_to_device": TRANSFER,
    "training_step": AUGMENT,
    "backward": BACKWARD,
    "optimizer_step": OPTIMIZER,
    "on_train_batch_end": AFTER,
}


class LoopProfiler(Profiler):
    """Passes what Lightning does on to a clock; it prints and writes nothing itself."""

    def __init__(self, clock: StageClock) -> None:
        super().__init__()
        self._clock = clock

    def start(self, action_name: str) -> None:
        if stage := _STAGES.get(action_name.rpartition(".")[2]):
            self._clock.start(stage)

    def stop(self, action_name: str) -> None:
        if stage := _STAGES.get(action_name.rpartition(".")[2]):
            self._clock.stop(stage)


def loop_profiler(stages: Stages) -> LoopProfiler | None:
    """Return the profiler of Lightning for what measures a training; None if nothing does."""
    return LoopProfiler(stages) if isinstance(stages, StageClock) else None
