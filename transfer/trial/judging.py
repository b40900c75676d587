"""After a trial: predict the held-out images by every start, compare, and keep the best model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.console import console
from features.infrastructure.disk.files import write_text
from features.infrastructure.errors import InputError, as_typed
from features.infrastructure.names import file_name
from finetune import PredictConfig, Prediction, predict
from transfer.commands.export import ExportConfig, export
from transfer.trial.photographs import Photographs
from transfer.trial.verdict import judge, sentences

if TYPE_CHECKING:
    from transfer.commands.trial import TrialConfig

#: The folder of the model that is kept, and that of the same for timm.
MODEL, HUB = "model", "model-for-timm"
#: Mistakes on the page, the most confident first.
_MISTAKES = 40


def judged(
    config: TrialConfig, out: Path, given: Photographs, plan: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of ``verdict.json``; the best model and the predictions are written.

    Args:
        config: The options.
        out: The directory of the trial.
        given: The photographs.
        plan: The fields ``left_out`` and ``pretraining`` of the plan.
        result: The results of the recipe.
    """
    recipe, runs = result["recipe"], {arm["arm"]: arm["runs"][0]["run"] for arm in result["arms"]}
    found = {
        name: _predicted(config, run, recipe["test"], out / "predictions" / f"{file_name(name)}.csv")
        for name, run in runs.items()
    }
    verdict = judge({name: _correct(one) for name, one in found.items()}, config.seed)
    model = _kept(out / MODEL, runs[verdict.best])
    unlabelled = {
        name: str(_predicted(config, str(model), images, out / f"{name}.csv").out)
        for name, images in _unlabelled(config, out, given).items()
    }
    tuned = [arm["finetune"]["steps"] for arm in recipe["arms"].values() if "steps" in (arm.get("finetune") or {})]
    told = {"sources": recipe["sources"], "tuning": next(iter(tuned), None), **plan}
    return {
        "sentences": sentences(verdict, recipe["extract"]["backbone"], **told),
        **verdict.to_json(),
        "model": str(model),
        "starts": runs,
        "left_out": dict(plan["left_out"]),
        "test": recipe["test"],
        "mistakes": _mistakes(found[verdict.best]),
        "predictions": unlabelled,
        "report": result["report"],
    }


def _predicted(config: TrialConfig, run: str, images: str, out: Path) -> Prediction:
    options = {"overwrite": True, "max_unreadable": 1.0, **config.machine()}
    return predict(PredictConfig(run=run, images=images, out=str(out), **options))


def _correct(prediction: Prediction) -> NDArray[np.bool_]:
    """(N,) whether each readable image was classified correctly."""
    readable = prediction.classes[:, 0] >= 0
    assert prediction.labels is not None  # the test images have labels
    return np.asarray(prediction.names[prediction.classes[readable, 0]] == prediction.labels[readable])


def _mistakes(prediction: Prediction) -> list[dict[str, Any]]:
    """The images that were classified wrongly with the highest probability."""
    wrong = (prediction.classes[:, 0] >= 0) & (prediction.names[prediction.classes[:, 0]] != prediction.labels)
    order = np.flatnonzero(wrong)[np.argsort(-prediction.probabilities[wrong, 0], kind="stable")]
    assert prediction.labels is not None
    return [
        {
            "image": prediction.ids[i],
            "class": prediction.labels[i],
            "predicted": str(prediction.names[prediction.classes[i, 0]]),
            "probability": float(prediction.probabilities[i, 0]),
        }
        for i in order[:_MISTAKES]
    ]


def _kept(place: Path, run: str) -> Path:
    """A copy of the best run, in place of an earlier one."""
    aside = place.with_name(f".{place.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(run, aside)
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    return place


def for_timm(model: str, out: Path) -> str | None:
    """Write the folder from which timm loads the model; None if timm does not know the network, which is said."""
    folder = out / HUB
    try:
        export(ExportConfig(run=model, out=str(folder), format="hub", overwrite=True))
    except InputError as error:
        console.print(f"the model is not written for timm: {as_typed(str(error))}")
        return None
    return str(folder)


def _unlabelled(config: TrialConfig, out: Path, given: Photographs) -> dict[str, str]:
    """What is to be predicted: images that lie outside of the class folders, and those of `unlabelled`."""
    found = {}
    if given.loose:
        listed = out / "loose.txt"
        write_text(listed, "".join(f"{name}\n" for name in given.loose))
        found["loose"] = f"images:{listed}?root={given.root}"
    if config.unlabelled is not None:
        found["unlabelled"] = config.unlabelled
    return found
