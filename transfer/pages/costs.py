"""What a run cost: its time and its training images, from its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.run_directory import open_run


def place_of(recorded: str, directory: Path) -> Path:
    """A file or directory that results name: where they say, or below ``directory``, the results' own, if it moved."""
    path = Path(recorded)
    moved = directory / path.parent.name / path.name
    return moved if not path.exists() and moved.exists() else path


def is_counted(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether a history has the numbers of images; those of earlier versions have only rates of them."""
    return all("images" in row for row in history)


def training_cost(history: Sequence[Mapping[str, float]]) -> tuple[float, int] | None:
    """Seconds and images of a training; None without a history. Images that were not counted have three digits."""
    if not history:
        return None
    seconds = sum(row["seconds"] for row in history)
    if is_counted(history):
        return seconds, int(sum(row["images"] for row in history))
    return seconds, int(float(f"{sum(row['seconds'] * row['images_per_second'] for row in history):.3g}"))


def arm_costs(arms: Sequence[Mapping[str, Any]], directory: Path) -> tuple[list[tuple[Any, ...]], bool]:
    """A row for each arm, and whether all images were counted rather than rounded.

    A row has seconds and images of the arm's pre-trainings, and of its trainings on the target, over all seeds. A
    pre-training that several arms share counts for each. Runs that are not at hand count nothing.
    """
    rows, counted = [], True
    for arm in arms:
        first, last = [0.0, 0], [0.0, 0]
        for one in arm["runs"]:
            path: Path | None = place_of(one["run"], directory)
            total, seen = last, set()
            while path is not None and path.resolve() not in seen and (path / "config.yaml").is_file():
                seen.add(path.resolve())
                run = open_run(path)
                counted &= is_counted(run["history"])
                for column, value in enumerate(training_cost(run["history"]) or (0, 0)):
                    total[column] += value
                start = run["config"].get("init") or run["config"].get("backbone") or ""
                before = place_of(start, directory)
                path, total = (before if before != path and "/" in start else None), first
        times = [(seconds_in_words(seconds), int(images) or None) for seconds, images in (first, last)]
        rows.append((arm["arm"], *times[0], *times[1]))
    return rows, counted


def seconds_in_words(seconds: float) -> str | None:
    """A time; None for no time.

    >>> seconds_in_words(4.2), seconds_in_words(130), seconds_in_words(8000)
    ('4 s', '2 min 10 s', '2 h 13 min')
    """
    if seconds == 0:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{max(1, rest)} s"
