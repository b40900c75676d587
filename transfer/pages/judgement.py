"""How a run did on the images that judge it: its classes, its confusions, and the images that it got wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.evaluation.metrics import FEW, MANY, worst_confusions
from finetune.run_tables import read_classes, read_predictions
from transfer.accuracies import judged_on
from transfer.pages.charts import confusion_chart
from transfer.pages.page import percent
from transfer.pages.pictures import Picture, Thumbnails, picture
from transfer.plots import classes_plot, confusion_plot
from transfer.plots.style import NAMED

#: Classes that are listed by name, worst first; pairs of classes with their images; and images of each pair.
WORST, PAIRS, IMAGES = 10, 5, 4
#: Images that are shown beside those of the pairs, the most confident mistakes first.
WRONG = 20


@dataclass
class Judgement:
    """The values of the template's part; what is not known is empty.

    Attributes:
        classes_picture, classes_note: Accuracy of each class.
        worst: Rows of the classes of the lowest accuracy.
        confusions: Rows of the pairs of classes that are confused most.
        matrix_picture, matrix_note: The confusion matrix, and ``chart``, the same to point at.
        examples: Images of the pairs.
        wrong: Further images that were classified wrongly.
        note: What is missing.
    """

    classes_picture: Picture | None = None
    classes_note: str = ""
    worst: Sequence[Sequence[Any]] = ()
    confusions: Sequence[Sequence[Any]] = ()
    matrix_picture: Picture | None = None
    matrix_note: str = ""
    chart: Mapping[str, Any] | None = None
    examples: Sequence[Mapping[str, Any]] = ()
    wrong: Sequence[Mapping[str, Any]] = ()
    note: str = ""


def judgement(run: Mapping[str, Any], thumbnails: Thumbnails, predictions: Path | None = None) -> Judgement:
    """What to show of a finished run, as ``open_run`` reads it.

    ``predictions`` is a table of transfer predict for the images that judge it, if it has none of its own.
    """
    figures, found = run["metrics"], Judgement()
    borders = figures.get("borders", {"many": MANY, "few": FEW})  # runs of earlier versions lack them
    classes = read_classes(run["path"])
    if classes:
        limits = (borders["many"], borders["few"])
        judged = judged_on(figures, tested=bool(run["config"].get("test"))).capitalize()
        alt = f"{judged} accuracy of each of {len(classes)} classes against its number of training images"
        found.classes_picture = picture(alt, classes_plot, classes, limits)
        if len(classes) <= NAMED:
            found.classes_note = "A dot is a class; its line is the 95 % interval over its images."
        else:
            found.classes_note = (
                "A dot is a class; bars are the means of many, medium and few. The accuracy of every class is in "
                "per_class.csv."
            )
            worst = sorted(classes, key=lambda row: row["accuracy"])[:WORST]
            found.worst = [
                (row["class"], row["train_images"], row["images"], percent(row["accuracy"])) for row in worst
            ]
    predicted = read_predictions(Path(run["path"]) / "predictions.csv")
    if predictions is not None and not predicted["image"]:
        predicted = read_predictions(predictions)
    if predicted["image"]:
        _confusions(found, predicted, run, thumbnails)
    elif pairs := figures.get("confusions"):
        found.confusions = [(p["true"], p["predicted"], p["images"], percent(p["share"])) for p in pairs]
        found.note = "The run has no predictions.csv, so that its confusion matrix and its wrong images are not known."
    return found


def _confusions(
    found: Judgement, predicted: Mapping[str, Sequence[Any]], run: Mapping[str, Any], thumbnails: Thumbnails
) -> None:
    names = sorted({*predicted["label"], *predicted["class"]})
    place = {name: i for i, name in enumerate(names)}
    true, guess = (np.array([place[name] for name in predicted[column]]) for column in ("label", "class"))
    pairs = worst_confusions(guess, true, len(names))
    if not pairs:
        return
    found.confusions = [(names[pair.true], names[pair.predicted], pair.images, percent(pair.share)) for pair in pairs]
    _matrix(found, names, true, guess)
    sure, shown = np.array(predicted["probability"]), set()
    wrong = np.flatnonzero(true != guess)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    of_pairs = []
    for pair in pairs[:PAIRS]:
        mine = wrong[(true[wrong] == pair.true) & (guess[wrong] == pair.predicted)][:IMAGES]
        shown.update(mine.tolist())
        of_pairs.append((names[pair.true], names[pair.predicted], mine))
    rest = np.array([i for i in wrong[: WRONG + len(shown)] if i not in shown][:WRONG], dtype=np.int64)
    spec = _images_of(run, [predicted["image"][i] for i in (*shown, *rest)], thumbnails)
    if spec is None:
        found.note = "The images that judged the run are not at hand, so that none are shown."
        return
    found.examples = [
        {
            "true": one,
            "predicted": other,
            "images": _images(mine, predicted, spec, thumbnails),
            "reference": thumbnails.of_classes(spec, [other])[0],
        }
        for one, other, mine in of_pairs
    ]
    found.wrong = _images(rest, predicted, spec, thumbnails)


def _images(
    rows: NDArray[np.int64], predicted: Mapping[str, Sequence[Any]], spec: str, thumbnails: Thumbnails
) -> list[dict[str, Any]]:
    addresses = thumbnails.of_images(spec, [predicted["image"][i] for i in rows])
    return [
        {
            "address": address,
            "true": predicted["label"][i],
            "predicted": predicted["class"][i],
            "probability": f"{100 * predicted['probability'][i]:.0f} %",
        }
        for i, address in zip(rows, addresses, strict=True)
    ]


def _matrix(found: Judgement, names: Sequence[str], true: NDArray[np.int64], guess: NDArray[np.int64]) -> None:
    """The confusion matrix, cut to the classes that are confused most if there are many."""
    size = len(names)
    cells, images = np.unique(true * size + guess, return_counts=True)
    rows, columns = np.divmod(cells, size)
    kept = np.arange(size)
    if size > NAMED:
        off = rows != columns
        lost = np.bincount(rows[off], images[off], minlength=size) + np.bincount(
            columns[off], images[off], minlength=size
        )
        kept = np.sort(np.argsort(-lost, kind="stable")[:NAMED])
    totals = np.bincount(true, minlength=size)
    position = np.full(size, -1)
    position[kept] = np.arange(len(kept))
    inside = (position[rows] >= 0) & (position[columns] >= 0)
    matrix = np.zeros((len(kept), len(kept)), dtype=np.int64)
    matrix[position[rows[inside]], position[columns[inside]]] = images[inside]
    shown = [names[int(i)] for i in kept]
    alt = f"Confusion matrix of {len(shown)} classes: the share of each class that was taken for each class"
    found.matrix_picture = picture(alt, confusion_plot, matrix, shown, totals=totals[kept])
    found.matrix_note = "Rows are true classes, columns what they were taken for."
    if len(shown) < size:
        found.matrix_note += f" These are the {len(shown)} of {size:,} classes that are confused most."
    found.chart = confusion_chart(
        [
            {
                "true": names[row],
                "predicted": names[column],
                "images": int(number),
                "share": number / totals[row] if totals[row] else 0.0,
            }
            for row, column, number in zip(rows[inside], columns[inside], images[inside], strict=True)
        ],
        shown,
    )


def _images_of(run: Mapping[str, Any], images: Sequence[str], thumbnails: Thumbnails) -> str | None:
    """The spec of the dataset that judged a run, if all of some images are in it; None if it is not at hand.

    Images that were held out of the training data have no spec of their own: they are looked for in these data. Ids of
    several datasets may be the same, so that the one that has the images must be the only one.
    """
    config = run["config"]
    judged = run["metrics"].get("evaluated_on") or config.get("test") or ""
    given = judged.split(" + ")
    if " " in judged.partition(":")[0]:  # no spec, but a number of images of one
        given = [config.get("dataset"), *(config.get("sources") or ())]
    found = [spec for spec in dict.fromkeys(given) if isinstance(spec, str) and thumbnails.holds(spec, images)]
    return found[0] if len(found) == 1 else None
