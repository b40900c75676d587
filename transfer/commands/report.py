from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from features import FeatureBank, open_dataset
from features.infrastructure.addresses import Location, located, on_disk
from features.infrastructure.errors import InputError
from features.infrastructure.files import TEXT, check_ending, check_new, write_text
from finetune.evaluation.metrics import FEW, MANY
from finetune.run_directory import open_run, read_classes
from similarity import STRATEGIES
from transfer.accuracies import accuracy_table
from transfer.plots import arms_plot, classes_plot, contact_sheet, counts_plot, examples, history_plot
from transfer.recipe import Arm
from transfer.run_description import describe
from transfer.screen import console, say

#: The file of a trial beside a recipe's results; see :mod:`transfer.trial`.
VERDICT = "verdict.json"
#: Name of the page in its directory.
PAGE = "report.html"
#: Thumbnails in a gallery.
GALLERY = 20
#: Classes of a run that are listed by name, worst first.
WORST = 10


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Write one self-contained HTML page of a run or of a recipe's results.

    Attributes:
        run: Run directory, or the directory of a recipe's results.
        out: The page; by default report.html in that directory, which is always replaced.
        overwrite: Replace the file that `out` names instead of refusing.
    """

    run: str
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.out is not None:
            check_ending(self.out, [".html"])


@dataclass(frozen=True)
class Report:
    """A written page.

    Attributes:
        path: The HTML file.
        finished: Whether the run has its final figures; a recipe's results always have them.
    """

    path: Location
    finished: bool

    def to_json(self) -> dict[str, Any]:
        return {"report": str(self.path), "finished": self.finished}


def report(config: ReportConfig) -> Report:
    """Write the page.

    Raises:
        InputError: The directory holds neither a run nor a recipe's results, or ``out`` exists.
    """
    directory = on_disk(config.run, "`run`")
    read = [path for path in directory.rglob("*") if path.is_file() and path != directory / PAGE]
    check_new({"`out`": config.out}, read=read, overwrite=config.overwrite)
    finished, result = True, directory / "result.json"
    if result.is_file():
        page = _experiment_page(json.loads(result.read_text(**TEXT)), _verdict(directory))
    elif (directory / "config.yaml").is_file():
        run = open_run(directory)
        finished, page = run["metrics"] is not None, _run_page(run)
    else:
        raise InputError(f"{directory}: nothing to report; expected a run directory or the directory of transfer run")
    out = located(config.out or directory / PAGE)
    write_text(out, page)
    return Report(out, finished)


def show(config: ReportConfig, result: Report) -> None:
    """Print where the page is."""
    say(str(result.path))
    if not result.finished:
        console.print("the run is not finished: the page has no final figures")


def _verdict(directory: Path) -> dict[str, Any] | None:
    """The verdict of a trial whose results stand in a directory; None without one."""
    file = directory / VERDICT
    return json.loads(file.read_text(**TEXT)) if file.is_file() else None


def _experiment_page(result: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> str:
    recipe = result["recipe"]
    if verdict is not None and verdict["starts"] != {arm["arm"]: arm["runs"][0]["run"] for arm in result["arms"]}:
        verdict = None  # of other runs than those of the page
    sources = {spec: open_dataset(spec) for spec in recipe["sources"]}
    target = open_dataset(result["target"])
    galleries = {
        name: contact_sheet(
            [one for row in chosen[:GALLERY] for one in examples(sources[row["source"]], [row["class"]])]
        )
        for name, chosen in result["selections"].items()
        if not STRATEGIES[recipe["arms"][name]["strategy"]].takes_all
    }
    banks = {name: FeatureBank.open(path) for name, path in result["banks"].items()}
    return _render(
        "experiment.html.j2",
        result=result,
        verdict=verdict,
        mistakes_picture=_mistakes(verdict) if verdict is not None and verdict["mistakes"] else None,
        choices=[_arm(recipe["arms"][arm["arm"]]).describe(recipe["classes"]) for arm in result["arms"]],
        arms_picture=arms_plot(result["arms"]),
        target_picture=contact_sheet(examples(target, target.classes[:GALLERY])),
        galleries=galleries,
        tails={name: counts_plot({name: bank.counts}) for name, bank in banks.items()},
        bank_attrs={name: dict(bank.attrs) for name, bank in banks.items()},
        skipped={name: bank.skipped for name, bank in banks.items() if bank.skipped},
        recipe_yaml=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
    )


def _mistakes(verdict: Mapping[str, Any]) -> Figure:
    """The photographs that the best start took for another class, the most confident first."""
    test = open_dataset(verdict["test"])
    position = {id_: i for i, id_ in enumerate(test.ids)}
    pictures = []
    for row in verdict["mistakes"]:
        caption = f"{row['class']} → {row['predicted']} {100 * row['probability']:.0f} %"
        pictures.append((caption, test.image(position[row["image"]], 96).resize((96, 96))))
    return contact_sheet(pictures)


def _arm(given: Mapping[str, Any]) -> Arm:
    """An arm of a recipe as it was run; earlier versions had fewer options."""
    return Arm(**{option.name: given[option.name] for option in fields(Arm) if option.name in given})


def _run_page(run: Mapping[str, Any]) -> str:
    figures = run["metrics"]
    borders = (figures or {}).get("borders", {"many": MANY, "few": FEW})  # runs of earlier versions lack them
    classes = read_classes(run["path"]) if figures else []  # those of an unfinished run may be left from an earlier one
    return _render(
        "run.html.j2",
        run=run,
        how=describe(run["config"]),
        accuracies=accuracy_table(figures) if figures else None,
        classes_picture=classes_plot(classes, (borders["many"], borders["few"])) if classes else None,
        worst=sorted(classes, key=lambda row: row["accuracy"])[:WORST],
        history_picture=history_plot(run["history"]) if run["history"] else None,
        config_yaml=yaml.safe_dump(run["config"], sort_keys=False, allow_unicode=True),
    )


def _inline(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _render(template: str, **values: Any) -> str:
    environment = Environment(loader=PackageLoader("transfer"), autoescape=True, undefined=StrictUndefined)
    environment.filters["inline"] = _inline
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f}"
    return environment.get_template(template).render(**values)
