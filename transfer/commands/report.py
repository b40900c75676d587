from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.infrastructure.disk.files import check_ending, check_new, write_text
from features.infrastructure.disk.regular_files import check_own_files
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import Location, located, on_disk
from finetune.run_directory import open_run
from transfer.result_files import RESULT, check_finished, read_result, read_verdict
from transfer.screen import console, say, show_next

#: Name of the page in its directory, and of the page of several runs.
PAGE, COMPARISON = "report.html", "comparison.html"


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Write one self-contained HTML page of results, with pictures.

    Attributes:
        run: A run directory, or several to compare; the directory of a recipe's results or of a trial; or a table
            (.csv) of transfer duplicates or transfer cluster, whose images are shown.
        out: The page; by default report.html in the directory, or TABLE.html beside a table, which are always replaced,
            or comparison.html.
        overwrite: Replace the file that `out` names instead of refusing.
    """

    run: list[str]
    out: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.run, str):  # one alone may be given so in Python
            object.__setattr__(self, "run", [self.run])
        if not self.run:
            raise InputError("missing: `run`")
        if self.out is not None:
            check_ending(self.out, [".html"])


@dataclass(frozen=True)
class Report:
    """A written page.

    Attributes:
        path: The HTML file.
        finished: Whether the run has its final figures; other results always have them.
    """

    path: Location
    finished: bool

    def to_json(self) -> dict[str, Any]:
        return {"report": str(self.path), "finished": self.finished}


def report(config: ReportConfig) -> Report:
    """Write the page.

    Raises:
        InputError: There is nothing to report, runs cannot be compared, or ``out`` exists.
    """
    if len(config.run) > 1:
        return _of_several(config)
    place = on_disk(config.run[0], "`run`")
    if place.is_file():
        return _of_table(config, place)
    if place.is_dir() and config.out is None:
        check_own_files(place, "`run`")
    page = place / PAGE
    _check(config, (path for path in place.rglob("*") if path.is_file() and path != page))
    finished, result = True, place / RESULT
    if result.is_file():
        from transfer.pages.experiment import experiment_page

        text = experiment_page(read_result(result), read_verdict(place), place)
    elif (place / "config.yaml").is_file():
        from transfer.pages.run import run_page

        run = open_run(place)
        finished, text = run["metrics"] is not None, run_page(run)
    else:
        check_finished(place)
        raise InputError(
            f"{place}: nothing to report; expected a run directory, the directory of transfer run or transfer try, or "
            f"a table of transfer duplicates or transfer cluster"
        )
    return _written(config, page, text, finished)


def _of_several(config: ReportConfig) -> Report:
    from transfer.pages.comparison import comparison_page

    places = [on_disk(run, "`run`") for run in config.run]
    for place in places:
        if (place / RESULT).is_file():
            raise InputError(f"{place}: holds the results of a recipe; give its runs, or it alone")
    page = Path(COMPARISON)
    read = (path for place in places for path in place.rglob("*") if path.is_file())
    check_new({"`out`": config.out or str(page)}, read=read, overwrite=config.overwrite)
    return _written(config, page, comparison_page(config.run))


def _of_table(config: ReportConfig, table: Path) -> Report:
    from transfer.pages.tables import table_page

    page = table.with_suffix(".html")
    _check(config, [table])
    return _written(config, page, table_page(table))


def _check(config: ReportConfig, read: Iterable[Path]) -> None:
    check_new({"`out`": config.out}, read=read, overwrite=config.overwrite)


def _written(config: ReportConfig, page: Path, text: str, finished: bool = True) -> Report:
    out = located(config.out or page)
    write_text(out, text)
    return Report(out, finished)


def show(config: ReportConfig, result: Report) -> None:
    """Print where the page is."""
    say(str(result.path))
    if not result.finished:
        console.print("the run is not finished: the page has no final figures")
    show_next(f"open {shlex.quote(str(result.path))}    (in a browser)")
