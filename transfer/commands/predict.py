from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from transfer.screen import console, say, show_next, show_table
from transfer.typed_command import again

if TYPE_CHECKING:
    from finetune import PredictConfig, Prediction

#: The most frequent classes that are printed.
SHOWN = 10


def show(config: PredictConfig, result: Prediction) -> None:
    """Print the most frequent classes, how many images are unsure or unreadable, and the commands that follow."""
    from finetune.prediction.prediction import UNSURE  # imports PyTorch

    classes = result.frequent()
    unreadable = f", {len(result.unreadable)} of them unreadable (see the column error)" if result.unreadable else ""
    say(f"{result.out}: {len(result)} images{unreadable}")
    console.print(f"\nmost frequent of {len(classes)} predicted classes:")
    show_table(["class", ">images", ">mean probability"], classes[:SHOWN])
    say(f"{result.unsure} images are unsure: their two most probable classes are less than {UNSURE} apart")
    if result.labels is None:
        say(
            f"every image gets one of the model's {len(result.names):,} classes, an image of something else too, and "
            f"the model may be sure of it"
        )
    if result.features is not None:
        say(f"features of the images: {result.features}")
    run, images = shlex.quote(config.run), shlex.quote(config.images)
    judged = images if result.labels is not None else "DATASET    (images whose classes are known)"
    kept = again("predict", config, features="features.npz", overwrite=True)
    more = [] if result.features else [f"{kept}    (the features of the images too)"]
    show_next(f"transfer evaluate {run} {judged}", *more)
