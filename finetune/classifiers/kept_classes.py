"""The classifier that a training continues from: its classes' rows in the classifier of a run or a published model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from features.backbones.backbone import Backbone
from features.checkpoint import find_checkpoint, is_trained_model
from features.infrastructure.console import say_once
from features.infrastructure.errors import InputError
from finetune.classifiers.second_stage import TrainedClassifier

#: Entry of a checkpoint's card: dataset spec of each class, and its name there.
ORIGIN = "origin"
#: Classes of the published classifiers whose names are known: those of ImageNet (ILSVRC 2012).
IMAGENET_CLASSES = 1000


def kept_classifier(init: str, backbone: Backbone, origin: Sequence[tuple[str, str]]) -> TrainedClassifier:
    """The classifier of ``init`` cut to some classes.

    A run knows a class by its source and its name there, or by its name alone if the run was not trained on that
    source, which may have moved. A published classifier knows the classes of ImageNet by WordNet id, such as
    ``n01443537``, which may be the first word of a name, or by an English name that one class alone has.

    Args:
        init: A run, or the name of a published model.
        backbone: Its network.
        origin: (C,) dataset spec of each class, and its name there.

    Returns:
        The classifier of C classes, in this order.

    Raises:
        InputError: The classifier does not know a class, two classes are one to it, it is not linear, or there is none.
    """
    if is_trained_model(init):
        whole, names = TrainedClassifier.read(init, "continued pre-training")
        known = _origin_of(init, names)
        positions = _in_run(origin, known)
        sources = {spec for spec, _ in known}
        others = [spec for spec, _ in origin if spec not in sources]
        if others and None not in positions:
            say_once(
                f"`init` {init}: {len(others)} of {len(origin)} classes are recognised by their names alone, because "
                f"the run was not trained on {others[0]}"
            )
        example = f"such as {names[0]!r}"
    elif backbone.classifier is not None and backbone.classes is not None:
        whole, names = _of(init, backbone.classifier), backbone.classes
        positions, example = _in_run(origin, [("", name) for name in names]), f"such as {names[0]!r}"
    else:
        whole, positions = _published(init, backbone), _in_imagenet(origin)
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


def _origin_of(run: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """The source of each class of a run, empty where earlier versions did not write it, and its name there."""
    checkpoint = find_checkpoint(run)
    stated = None if checkpoint is None else checkpoint.card.get(ORIGIN)
    return [(spec, name) for spec, name in stated] if stated else [("", name) for name in names]


def _in_run(origin: Sequence[tuple[str, str]], known: Sequence[tuple[str, str]]) -> list[int | None]:
    """The position of each class among those of a run."""
    position = {class_: i for i, class_ in enumerate(known)}
    times, by_name = Counter(name for _, name in known), {name: i for i, (_, name) in enumerate(known)}
    sources = {spec for spec, _ in known}

    def find(spec: str, name: str) -> int | None:
        if spec in sources:
            return position.get((spec, name))
        return by_name.get(f"{spec}/{name}", by_name[name] if times[name] == 1 else None)

    return [find(spec, name) for spec, name in origin]


def _published(name: str, backbone: Backbone) -> TrainedClassifier:
    """The published classifier of a model."""
    if backbone.classifier is None or len(backbone.classifier[0]) != IMAGENET_CLASSES:
        raise InputError(
            f"`init` {name}: has no published classifier of ImageNet's {IMAGENET_CLASSES} classes to keep; give a "
            f"finished run, or the network as `backbone`, which starts a new classifier"
        )
    return _of(name, backbone.classifier)


def _of(name: str, classifier: tuple[Tensor, Tensor]) -> TrainedClassifier:
    weight, bias = (tensor.numpy() for tensor in classifier)
    return TrainedClassifier(weight, bias, location=name)


def _in_imagenet(origin: Sequence[tuple[str, str]]) -> list[int | None]:
    """The position of each class among those of ImageNet."""
    from timm.data import ImageNetInfo

    imagenet = ImageNetInfo("imagenet-1k")
    by_id = {identifier: i for i, identifier in enumerate(imagenet.label_names())}
    synonyms = [_words(text) for text in imagenet.label_descriptions()]
    times = Counter(word for words in synonyms for word in set(words))
    by_word = {word: i for i, words in enumerate(synonyms) for word in words if times[word] == 1}

    def find(name: str) -> int | None:
        first = name.split()[0]
        if re.fullmatch(r"n\d{8}", first):
            return by_id.get(first)
        found = {by_word[word] for word in _words(name) if word in by_word}
        return found.pop() if len(found) == 1 else None

    return [find(name) for _, name in origin]


def _words(text: str) -> list[str]:
    """The names in a description such as ``great white shark, white shark``, in lower case."""
    return [word.strip().lower().replace("_", " ") for word in text.split(",")]
