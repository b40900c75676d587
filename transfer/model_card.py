"""The model card: what a published model is, what it was trained on and why, how good it is, and how to load it."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from features.dataset_spec import DatasetSpec
from similarity import STRATEGIES, Subset
from transfer.accuracies import judged_on
from transfer.intervals import wilson
from transfer.lineage import Step, published, selecting

#: Classes that a table or a list names.
SHOWN = 20
#: Figures of a run that the card and its metadata name.
_FIGURES = {"top1": "top-1 accuracy", "top5": "top-5 accuracy", "macro": "mean accuracy of the classes"}
#: What images a model was judged on, by ``judged_on`` of the metrics.
_JUDGED = {
    "test": "after the training on test images; if they also chose this model among others, the figure is too high",
    "validation": "on the validation images, by which its epoch was chosen, so that the figures are too high",
    "training": "on images of its own training, so that the figures say nothing of other images",
}


def model_card(
    name: str,
    about: Mapping[str, Any],
    card: Mapping[str, Any],
    steps: Sequence[Step],
    *,
    repository: str | None = None,
    licence: str | None = None,
) -> str:
    """The Markdown of a model card, with the front matter that the Hugging Face hub reads.

    Args:
        name: The name of the model.
        about: What an export says of the classifier, see :func:`finetune.exporting.export.metadata`.
        card: The card of its checkpoint, whose ``metrics`` are the figures of these very weights.
        steps: The runs behind it, the newest first, as :meth:`Step.published` has them.
        repository: OWNER/NAME on the hub; None if it is not pushed.
        licence: The licence of the weights, as the hub calls it; None if it is not stated.
    """
    figures = card.get("metrics")
    judged = None if figures is None else judged_on(figures, tested=bool(steps and steps[0].config.get("test")))
    data = published(str(card["data"]))
    environment = Environment(
        loader=PackageLoader("transfer"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shell"] = lambda value: shlex.quote(str(value))
    environment.filters["code"] = lambda value: f"`{_plain(value)}`"
    environment.filters["cell"] = lambda value: _plain(value).replace("|", "\\|").replace("<", "&lt;")
    return environment.get_template("model_card.md.j2").render(
        front=yaml.safe_dump(
            _front_matter(name, figures, judged, steps, data, licence), sort_keys=False, allow_unicode=True
        ),
        name=name,
        about=about,
        card=card,
        steps=steps,
        data=data,
        images=int(sum(card["train_counts"])),
        figures=figures,
        judged=None if judged is None else _JUDGED.get(judged, judged),
        judged_data=_judged_data(judged, steps, data),
        interval=None if figures is None or judged == "training" else _interval(figures),
        selecting=selecting,
        choices=[_choice(use, subset) for step in steps for use, subset in step.choices],
        classes=about["classes"][:SHOWN],
        more=max(0, len(about["classes"]) - SHOWN),
        repository=repository,
        licence=licence,
        version=importlib.metadata.version("transfer-toolkit"),
    )


def _interval(figures: Mapping[str, Any]) -> tuple[float, float]:
    """The 95 % interval of the top-1 accuracy."""
    return wilson(round(figures["top1"] * figures["images"]), figures["images"])


def _front_matter(
    name: str,
    figures: Mapping[str, Any] | None,
    judged: str | None,
    steps: Sequence[Step],
    data: str,
    licence: str | None,
) -> dict[str, Any]:
    """What the hub reads; figures of training images are no result of an evaluation."""
    front: dict[str, Any] = {"library_name": "timm", "pipeline_tag": "image-classification"}
    front["tags"] = ["image-classification", "timm", "transfer-toolkit"]
    if licence is not None:
        front["license"] = licence
    specs = [DatasetSpec.parse(part) for part in data.split(" + ")]
    if of_hub := [spec.location for spec in specs if spec.scheme == "hf" and "/" in spec.location]:
        front["datasets"] = of_hub
    if figures is not None and judged in ("test", "validation"):
        where = _judged_data(judged, steps, data)
        metrics = [
            {"type": "accuracy", "name": text, "value": round(figures[key], 6)} for key, text in _FIGURES.items()
        ]
        dataset = {"type": "image-classification", "name": where, "split": judged}
        front["model-index"] = [
            {
                "name": name,
                "results": [{"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}],
            }
        ]
    return front


def _judged_data(judged: str | None, steps: Sequence[Step], data: str) -> str:
    """The images that the figures are of, in words."""
    config = steps[0].config if steps else {}
    if judged == "test" and config.get("test"):
        return str(config["test"])
    validation = config.get("validation")
    if judged == "validation" and validation is not None:
        return f"{validation} images of each class of {data}" if isinstance(validation, int) else str(validation)
    return data


def _choice(use: str, subset: Subset) -> dict[str, Any]:
    """What the card says of a choice of source classes."""
    known = subset.provenance
    counts = [row.count for row in subset.rows if row.count is not None]
    strategy = str(known.get("strategy", ""))
    targets = [
        {**target, "dataset": published(str(target["dataset"]))} for target in known.get("targets", ()) if target
    ]
    return {
        "use": use,
        "rows": subset.rows[:SHOWN],
        "more": max(0, len(subset) - SHOWN),
        "classes": len(subset),
        "images": sum(counts) if len(counts) == len(subset) else None,
        "sources": [published(source) for source in subset.sources],
        "strategy": strategy,
        "meaning": STRATEGIES[strategy].meaning if strategy in STRATEGIES else "",
        "geometry": known.get("geometry"),
        "targets": targets,
        "shares": any(row.weight is not None for row in subset.rows),
    }


def _plain(value: Any) -> str:
    """A text on one line that ends no code span."""
    return " ".join(str(value).split()).replace("`", "'")
