"""The classifier that a training goes on from: its classes' rows in the classifier of a run or a published model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from features.backbones.backbone import Backbone
from features.checkpoint import is_trained_model
from features.infrastructure.errors import InputError
from finetune.classifiers.second_stage import TrainedClassifier

#: Classes of the published classifiers whose names are known: those of ImageNet (ILSVRC 2012).
IMAGENET_CLASSES = 1000


def kept_classifier(init: str, backbone: Backbone, origin: Sequence[tuple[str, str]]) -> TrainedClassifier:
    """The classifier of ``init`` cut to some classes.

    A run knows a class by its name, or by ``SPEC/NAME`` if it was trained on several sources that have the name. A
    published classifier knows the classes of ImageNet by WordNet id, such as ``n01443537``, which may be the first word
    of a name, or by one of its English names.

    Args:
        init: A run, or the name of a published model.
        backbone: Its network.
        origin: (C,) dataset spec of each class, and its name there.

    Returns:
        The classifier of C classes, in this order.

    Raises:
        InputError: The classifier does not know a class, knows two of them as one, is not linear, or is not there.
    """
    if is_trained_model(init):
        whole, names = TrainedClassifier.read(init, "continued pre-training")
        known = {name: i for i, name in enumerate(names)}
        positions = [known.get(f"{spec}/{name}", known.get(name)) for spec, name in origin]
        example = f"such as {names[0]!r}"
    else:
        whole, known = _published(init, backbone)
        positions = [_in_imagenet(name, known) for _, name in origin]
        example = "which go by their WordNet ids, such as n01443537, or by an English name that only one class has"
    missing = [name for (_, name), position in zip(origin, positions, strict=True) if position is None]
    if missing:
        raise InputError(
            f"`init` {init}: its classifier does not know {len(missing)} of {len(origin)} classes, such as "
            f"{missing[0]!r}; it knows {len(whole.weight)}, {example}; leave these out of the subset, or give the "
            f"network as `backbone`, which starts a new classifier"
        )
    rows = [position for position in positions if position is not None]
    twice, times = Counter(rows).most_common(1)[0]
    if times > 1:
        same = [f"{name!r} of {spec}" for (spec, name), row in zip(origin, rows, strict=True) if row == twice]
        raise InputError(f"`init` {init}: its classifier knows {' and '.join(same)} as one class; leave one out")
    return whole.rows(rows)


def _published(name: str, backbone: Backbone) -> tuple[TrainedClassifier, dict[str, int]]:
    """The published classifier of a model, and the position of each WordNet id and of each name of one class."""
    from timm.data import ImageNetInfo

    if backbone.classifier is None or len(backbone.classifier[0]) != IMAGENET_CLASSES:
        raise InputError(
            f"`init` {name}: has no published classifier of ImageNet's {IMAGENET_CLASSES} classes to keep; give a "
            f"finished run, or the network as `backbone`, which starts a new classifier"
        )
    weight, bias = (tensor.numpy() for tensor in backbone.classifier)
    imagenet = ImageNetInfo("imagenet-1k")
    synonyms = [[word.strip().lower() for word in text.split(",")] for text in imagenet.label_descriptions()]
    classes_of = Counter(word for words in synonyms for word in set(words))
    known = {word: i for i, words in enumerate(synonyms) for word in words if classes_of[word] == 1}
    known |= {identifier: i for i, identifier in enumerate(imagenet.label_names())}
    return TrainedClassifier(weight, bias, location=name), known


def _in_imagenet(name: str, known: dict[str, int]) -> int | None:
    """The position of a class by its WordNet id, else by its English name; None if there is none."""
    identifier = name.split()[0]
    return known.get(identifier, known.get(name.lower().replace("_", " ")))
