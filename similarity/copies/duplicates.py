"""The command ``duplicates``: source images that are copies of a target's images, or of other source images.

ImageNet's training set has test images of CUB-200, and large collections hold many images several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.bank import SUFFIXES, FeatureBank
from features.dataset_spec import DatasetSpec
from features.infrastructure.disk.files import check_ending, check_new
from features.infrastructure.disk.joint_files import atomic_files, finish_joint_files
from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from features.infrastructure.options import Range, check_ranges
from features.infrastructure.storage.addresses import Location, located, working_file
from features.readers import open_dataset
from features.readers.spec_options import excluding, files_of
from similarity.copies.against import most_similar
from similarity.copies.clean_bank import write_clean_bank
from similarity.copies.local_geometry import copy_threshold, reach
from similarity.copies.within import copies_within

COLUMNS = ("id", "target_id", "cosine", "class", "target_class", "source", "target")


@dataclass(frozen=True)
class DuplicatesConfig:
    """Find the images of a source that are copies, and list them for ?exclude=FILE.csv.

    They are copies of a target's (test) images or, without `against`, of other images of the source, of which one
    stays.

    Attributes:
        source: Feature bank (.h5) of the source, extracted with `keep_images`.
        out: The list (.csv) of the copies and their originals.
        against: Feature banks of the images that must not be trained on, extracted with `keep_images`; by default the
            images of the source are compared with each other.
        threshold: Least cosine similarity of a copy, above 0 and at most 1; a lower one finds more copies and more
            false positives. By default 0.5, or for narrow features the similarity that chance reaches. Similarities up
            to 1e-5 below it count, the round-off of float32: 1 finds images whose features are equal or proportional.
        clean_bank: A file (.h5) for the source's bank without the copies; no image is decoded again.
        overwrite: Replace existing files.
    """

    source: str
    out: str
    against: list[str] = field(default_factory=list)
    threshold: Annotated[float | None, Range(0, 1, above=True)] = None
    clean_bank: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        check_ending(self.out, (".csv",))
        if any(sign in self.out for sign in ",&?"):
            raise InputError(f"`out` {self.out}: a dataset spec cannot contain this name; leave out , & and ?")
        if self.clean_bank is not None:
            check_ending(self.clean_bank, SUFFIXES, "`clean_bank`")


@dataclass(frozen=True)
class Duplicate:
    """A source image ``id`` that is a copy of a target image, their classes, and the dataset specs of both.

    Without targets, ``target_id`` is the image of the source that stays. ``cosine`` is their similarity in
    :func:`~similarity.copies.local_geometry.local_geometry`, −1 to 1.
    """

    id: str
    target_id: str
    cosine: float
    class_name: str
    target_class: str
    source: str
    target: str


@dataclass(frozen=True)
class Duplicates:
    """The copies that a search found.

    Attributes:
        rows: The copies by descending similarity.
        threshold: Least cosine similarity of a copy.
        source: Dataset spec of the source without the copies, with ``exclude``.
        images: Number of source images.
        next_cosine: The highest similarity below the threshold that was seen, −1 if none was.
        out: The list.
        clean_bank: The source's bank without the copies, if requested.
    """

    rows: tuple[Duplicate, ...]
    threshold: float
    source: str
    images: int
    next_cosine: float
    out: Location
    clean_bank: Location | None

    def to_json(self) -> dict[str, Any]:
        """The output of ``transfer duplicates --json``."""
        return {
            "duplicates": [dict(zip(COLUMNS, astuple(row), strict=True)) for row in self.rows],
            "threshold": self.threshold,
            "source": self.source,
            "images": self.images,
            "next_cosine": self.next_cosine,
            "out": str(self.out),
            "clean_bank": self.clean_bank and str(self.clean_bank),
        }


def find_duplicates(config: DuplicatesConfig) -> Duplicates:
    """Search a source for copies; write the list and, if requested, the bank without them.

    The list has each copy once: with the most similar target image or, without targets, with the image that stays. The
    features of the targets are held in memory; those of the source are read in blocks, twice for each target. Without
    targets they are written to a file beside ``out`` while they are compared (in the working directory if ``out`` is an
    address), and a search that was killed after more than a minute resumes.

    Raises:
        InputError: A bank keeps no image features or the banks cannot be compared, features are too narrow to separate
            copies, a target is the source, ``out`` or ``clean_bank`` exists, or the source's dataset has changed since
            its extraction; without targets, another process searches for the same ``out``.
    """
    out, clean = located(config.out), None if config.clean_bank is None else located(config.clean_bank)
    source = FeatureBank.open(config.source)
    read: list[str | Location] = [config.source, *config.against, *files_of(DatasetSpec.parse(source.name))]
    outputs = [out] if clean is None else [out, clean]
    finish_joint_files(outputs)
    check_new({"`out`": out, "`clean_bank`": clean}, read=read, overwrite=config.overwrite)
    targets = [FeatureBank.open(path) for path in config.against]
    for target in targets:
        source.require_comparable(target)
        if _are_same(source, target):
            raise InputError(
                f"`against` {target.path}: holds the images of the source; leave out `against` to compare the source "
                f"with itself"
            )
    labels, ids = source.image_labels()
    threshold = config.threshold or _threshold(source, len(ids), targets)
    if clean is not None and open_dataset(source.name, images=False).manifest_sha256 != source.attrs.get(
        "manifest_sha256"
    ):
        raise InputError(f"{source.path}: its dataset {source.name} has changed since; extract it again")

    # Until the pairs of an unfinished search are removed, no other search may go on with them.
    with nullcontext() if targets else locked(out):
        if targets:
            found, rest = _copies_of(source, targets, threshold)
        else:
            found, rest = _copies_inside(source, threshold, out)
        if clean is not None and len(found) == len(ids):
            raise InputError(f"`clean_bank` {clean}: all images of {source.name} are copies, so none would be left")
        provenance = {
            "source": source.name,
            "targets": [target.name for target in targets],
            "banks": [config.source, *config.against],
            "threshold": threshold,
        }
        rows = tuple(_row(source, ids, labels, copy) for copy in found)
        places = np.array([copy.place for copy in found], dtype=np.int64)
        spec = excluding(DatasetSpec.parse(source.name), out)
        with atomic_files(outputs) as (aside, *new_bank):
            write_table(aside, provenance, COLUMNS, map(astuple, rows))
            for clean_aside in new_bank:
                without = open_dataset(excluding(DatasetSpec.parse(source.name), aside), images=False)
                write_clean_bank(source, places, without, str(spec), clean_aside, f"`clean_bank` {clean}")
        if not targets:
            _working_files(out)[1].unlink(missing_ok=True)
    return Duplicates(rows, threshold, str(spec), len(ids), rest, out, clean)


def _are_same(one: FeatureBank, other: FeatureBank) -> bool:
    """Whether two banks are one file, or of the same images."""
    if one.path is not None and other.path is not None and one.path.resolve() == other.path.resolve():
        return True
    names = "dataset", "manifest_sha256"
    return all(one.attrs.get(name) and one.attrs.get(name) == other.attrs.get(name) for name in names)


def _threshold(source: FeatureBank, images: int, targets: Sequence[FeatureBank]) -> float:
    """The least cosine similarity of a copy; raise `InputError` if the features are too narrow for one."""
    others = sum(target.images_kept() for target in targets)
    pairs, width = images * others if targets else images * (images - 1) // 2, source.means.shape[1]
    threshold = copy_threshold(pairs, width)
    if threshold >= 1:
        raise InputError(
            f"{source.path}: features of width {width} do not separate copies among {pairs:,} pairs of images; "
            f"extract with a wider backbone"
        )
    return threshold


def _working_files(out: Location) -> tuple[Path, Path]:
    """The files of the points and of the pairs of an unfinished search inside the source."""
    return working_file(out, ".points"), working_file(out, ".resume")


@dataclass(frozen=True)
class _Found:
    """A copy: its position in the source, the bank, id and class of its original, and their cosine similarity."""

    place: int
    target: FeatureBank
    target_id: str
    target_class: str
    cosine: float


def _row(source: FeatureBank, ids: Sequence[str], labels: NDArray[np.int64], copy: _Found) -> Duplicate:
    """The row of a copy, from the ids and labels of the source's images."""
    return Duplicate(
        ids[copy.place],
        copy.target_id,
        copy.cosine,
        source.classes[labels[copy.place]],
        copy.target_class,
        source.name,
        copy.target.name,
    )


def _copies_of(source: FeatureBank, targets: Sequence[FeatureBank], threshold: float) -> tuple[list[_Found], float]:
    """The source images that are copies of target images, most similar first, and the highest similarity below."""
    images = source.images_kept()
    best, of_target, of_image = np.full(images, -np.inf), np.zeros(images, int), np.zeros(images, int)
    for number, target in enumerate(targets):
        cosine, nearest = most_similar(source, target)
        better = cosine > best
        best[better], of_target[better], of_image[better] = cosine[better], number, nearest[better]
    are_copies = reach(best, threshold)
    copies = np.flatnonzero(are_copies)
    copies = copies[np.argsort(-best[copies], kind="stable")]
    named = [target.image_labels() for target in targets]
    found: list[_Found] = []
    for i in copies.tolist():
        target, (labels, ids), j = targets[of_target[i]], named[of_target[i]], int(of_image[i])
        found.append(_Found(i, target, ids[j], target.classes[labels[j]], float(best[i])))
    return found, float(best[~are_copies].max(initial=-1))


def _copies_inside(source: FeatureBank, threshold: float, out: Location) -> tuple[list[_Found], float]:
    """As :func:`_copies_of`, of other images of the source; working files are beside ``out``."""
    labels, ids = source.image_labels()
    if len(ids) < 2:
        return [], -1.0
    copies, originals, cosine, rest = copies_within(source, threshold, *_working_files(out))
    order = np.argsort(-cosine, kind="stable")
    found: list[_Found] = []
    for i, j, similarity in zip(*(of[order].tolist() for of in (copies, originals, cosine)), strict=True):
        found.append(_Found(i, source, ids[j], source.classes[labels[j]], similarity))
    return found, rest
