"""``?exclude=FILE.csv``: a dataset without the images that a file lists, such as a file of ``transfer duplicates``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec, split_outside
from features.infrastructure.formats.tables import read_provenance, read_rows
from features.infrastructure.names import as_text
from features.infrastructure.storage.addresses import Address, Location
from features.infrastructure.texts import Texts
from features.readers.checks import existing_file, expanded, is_file
from features.readers.holdout import HOLDOUT_OPTIONS, hold_out
from features.readers.rules import with_images
from features.readers.scheme import SpecOption, base_of
from features.readers.subsampling import DRAW_OPTIONS, draw

EXCLUDE = "exclude"
#: The options that every scheme takes.
GENERIC_OPTIONS = {
    **DRAW_OPTIONS,
    **HOLDOUT_OPTIONS,
    EXCLUDE: SpecOption("FILE.csv[,…]", "without the images whose ids the files list, as `transfer duplicates` writes"),
}
#: Those that take a part of the images by chance.
_CHANCE = (*DRAW_OPTIONS, *HOLDOUT_OPTIONS)


def apply_spec_options(dataset: ImageDataset, spec: DatasetSpec) -> ImageDataset:
    """Apply the generic options to the whole dataset.

    The holdout comes first, so that no other option changes which images are held out; ``exclude`` and the draw follow
    in the order in which the spec has them.

    Raises:
        InputError: An option is malformed, or a file does not fit the dataset.
    """
    listed = _listed(dataset, spec) if EXCLUDE in spec.options else Texts.of([])
    dataset = hold_out(dataset, spec)
    if EXCLUDE not in spec.options:
        return draw(dataset, spec)
    if _drawn_first(spec):
        return _without(draw(dataset, spec), listed, spec)
    return draw(_without(dataset, listed, spec), spec)


def files_of(spec: DatasetSpec) -> Iterator[Location]:
    """Yield the files, other than images, that a dataset reads: its location, groups, exclusions, and its base's."""
    location = expanded(spec.location)
    is_read = isinstance(location, Address) or is_file(location)  # no file that a command writes is a folder
    if is_read:
        yield location
    yield from map(expanded, split_outside(spec.options.get("groups", ""), ","))
    yield from map(expanded, split_outside(spec.options.get(EXCLUDE, ""), ","))
    if is_read and (base := base_of(spec)):
        yield from files_of(base)


def excluding(spec: DatasetSpec, path: str | Location) -> DatasetSpec:
    """Return the spec of the same dataset that also excludes the images that the file at ``path`` lists."""
    files = [spec.options[EXCLUDE]] if EXCLUDE in spec.options else []
    return replace(spec, options={**spec.options, EXCLUDE: ",".join([*files, str(path)])})


def _listed(whole: ImageDataset, spec: DatasetSpec) -> Texts:
    """The ids in all files that ``exclude`` names; each file must be about this dataset."""
    own, known = _own(spec), whole.ids.stripped()
    names = {*own, *_bases(spec)}
    listed = []
    for word in split_outside(spec.options[EXCLUDE], ","):
        path = existing_file(spec, expanded(word), "a table with a column id, as transfer duplicates writes it")
        about: set[str] = set()  # the datasets whose images the file lists
        lines, ids, sure = [], [], []
        head = read_provenance(path, **_KIND).get("source")
        if isinstance(head, str):
            about.add(_name(head))
        for line, row in read_rows(path, ("id",), **_KIND):
            source = row.get("source") or head
            if isinstance(source, str):
                source = _name(source)
                about.add(source)
                if source not in names:
                    continue  # an image of another source
            lines.append(line)
            ids.append(row["id"])
            sure.append(source is None or source in own)
        listed.append(_known(known, ids))
        unknown = np.flatnonzero((known.positions(listed[-1]) < 0) & np.array(sure, dtype=bool))
        if len(unknown):
            line, id_ = lines[unknown[0]], ids[unknown[0]]
            raise spec.error(f"{path}, line {line}: {id_!r} is no image of {own[0]}; remove the line")
        if about and not about & names:
            raise spec.error(
                f"{path} lists images of {', '.join(sorted(about))}, not of {own[-1]}; name the dataset as there, with "
                f"{EXCLUDE}=… as its last option"
            )
    return Texts.joined(listed)


def _known(known: Texts, ids: list[str]) -> Texts:
    """The ids of a list; those that are not known are read as earlier versions wrote them."""
    found = Texts.of(ids)
    places = known.positions(found)
    if (places >= 0).all():
        return found
    read = (id_ if place >= 0 else posixpath.normpath(as_text(id_)) for id_, place in zip(ids, places, strict=True))
    return Texts.of(read)


def _without(dataset: ImageDataset, listed: Texts, spec: DatasetSpec) -> ImageDataset:
    """The images that are not listed; a class that loses all of its images is left out, and said."""
    left = dataset.take(np.flatnonzero(listed.positions(dataset.ids.stripped()) < 0))
    if not len(left):
        raise spec.error(f"{EXCLUDE}={spec.options[EXCLUDE]} leaves no image")
    return with_images(left)


def _drawn_first(spec: DatasetSpec) -> bool:
    """Whether ``exclude`` follows an option that draws."""
    order = list(spec.options)
    return any(name in order[: order.index(EXCLUDE)] for name in DRAW_OPTIONS if name != "seed")


def _own(spec: DatasetSpec) -> list[str]:
    """The names that a list may use for the dataset that images are excluded from.

    These are the whole dataset, the part that a holdout leaves and, if the draw comes before the exclusion, the drawn
    part. A list about a drawn part is refused if the draw comes after the exclusion, because images would be drawn that
    were never checked.
    """
    names = [_name(str(spec), _CHANCE), _name(str(spec), tuple(DRAW_OPTIONS))]
    if EXCLUDE not in spec.options or _drawn_first(spec):
        names.append(_name(str(spec)))
    return names


def _bases(spec: DatasetSpec) -> Iterator[str]:
    """The names of the base datasets of ``spec``, whose ids it keeps."""
    if base := base_of(spec):
        yield from (*_own(base), _name(str(base)), *_bases(base))  # a re-labelled dataset lists what was drawn


@lru_cache
def _name(text: str, without: tuple[str, ...] = ()) -> str:
    """A spec without its exclusions and without the options ``without``, with sorted options."""
    spec = DatasetSpec.parse(text)
    if "holdout" in spec.options and "holdout" not in without:
        without = tuple(name for name in without if name != "seed")  # it is the holdout's too
    kept = sorted((name, value) for name, value in spec.options.items() if name not in (EXCLUDE, *without))
    return str(replace(spec, options=dict(kept)))


_KIND: dict[str, Any] = {"kind": "list of images", "make": "transfer duplicates SOURCE.h5 --against TARGET.h5"}
