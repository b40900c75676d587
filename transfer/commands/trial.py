from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from features.bank import SUFFIXES
from features.infrastructure.errors import InputError
from features.infrastructure.options import LARGEST_SEED, Machine, Range, check_ranges
from features.infrastructure.storage.addresses import located
from transfer.screen import console, say, show_next, show_page, show_table

if TYPE_CHECKING:
    from transfer.trial.trying import Trial


@dataclass(frozen=True, kw_only=True)
class TrialConfig(Machine):
    """Try where to start for your photographs: a verdict, a page and a model within the stated time.

    Attributes:
        photographs: A folder of class folders, or of train and test; a table (.csv) of images and labels; or a dataset
            spec.
        test: A folder, a table or a spec of test images; by default those of the folder or the table, or `holdout` of
            the photographs.
        holdout: Share of each class that is held out to judge by, if there are no test images.
        unlabelled: Images without labels to predict with the best model: a folder or a spec. Images that lie in the
            folder outside of its class folders are predicted as well.
        source: Datasets to choose classes from and pre-train on: folders, specs, or feature banks (.h5) under the
            model.
        model: Published models to start from; the best by a linear probe on the training photographs is taken.
        minutes: The time that the trial may take.
        out: Directory of the trial; by default runs/try-NAME. The same command goes on where it was killed.
        seed: Seed of the holdout and of the trainings.
    """

    photographs: str
    test: str | None = None
    holdout: Annotated[float, Range(0, 1, above=True, below=True)] = 0.2
    unlabelled: str | None = None
    source: list[str] = field(default_factory=list)
    model: list[str] = field(default_factory=lambda: ["efficientnet_lite0"])
    minutes: Annotated[float, Range(0, 10**6, above=True)] = 20.0
    out: str | None = None
    seed: Annotated[int, Range(0, LARGEST_SEED)] = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.model:
            raise InputError("`model`: give at least one published model")
        if len(self.model) > 1 and (banks := [one for one in self.source if located(one).suffix in SUFFIXES]):
            raise InputError(
                f"`source` {banks[0]}: is a bank, whose features are those of one model; give one `model`, or the "
                f"dataset of the bank"
            )


def trial(config: TrialConfig) -> Trial:
    """Try the starts that fit into the time; see :func:`transfer.trial.trying.try_starts`."""
    from transfer.trial.trying import try_starts  # imports PyTorch

    return try_starts(config)


def show(config: TrialConfig, result: Trial) -> None:
    """Print the verdict, the accuracy of each start, and where the page and the model are."""
    from transfer.intervals import percent, points  # imports NumPy and SciPy
    from transfer.trial.verdict import say_left_out

    content = result.content
    rows = []
    for name, figure in content["accuracy"].items():
        lead = content["lead"].get(name)
        led = None if lead is None else f"{points(lead['value'])} ({points(lead['low'])} to {points(lead['high'])})"
        interval = f"{percent(figure['low'])} to {percent(figure['high'])}"
        rows.append((name, percent(figure["value"]), interval, led))
    show_table(["start", ">top-1, %", ">95 % interval", ">the best leads by, points (95 % interval)"], rows)
    console.print()

    for sentence in filter(None, [*content["sentences"], say_left_out(content["left_out"])]):
        say(sentence)
    if content["optimism"] >= 0.0005:
        say(
            f"The best was chosen by these photographs, so its figure is about {percent(content['optimism'])} points "
            f"too high."
        )
    for name, file in content["predictions"].items():
        say(f"{name} images are predicted: {file}")
    say(f"\nmodel: {content['model']}")
    show_page(content["report"])
    show_next(
        f"transfer predict {shlex.quote(content['model'])} NEW_PHOTOGRAPHS/ --out predictions.csv",
        *(
            []
            if content["hub"] is None
            else [f'timm.create_model("local-dir:{content["hub"]}", pretrained=True)    (in Python)']
        ),
        f"{shlex.join(['transfer', 'run', content['recipe'], '--out', str(result.path)])}    (after changing it)",
    )
