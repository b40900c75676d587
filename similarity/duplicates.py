"""Detection of source images that are copies of a target's images (ImageNet's training set has test images of CUB-200).

Plain cosine similarity does not separate a copy from another photograph of the same species. The search therefore
whitens by the covariance of the source images most similar to the target (hard negatives), which gives little weight to
directions that vary between similar images. In
``benchmarks/unlabelled.py`` it finds 1,199 of 1,200 copies (re-compressed at quality 60, halved, mirrored, or cropped
by 5 %) among 100,000 images without a false positive; plain cosine similarity at the same false positive rate misses a
tenth of the cropped copies.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.bank import FeatureBank
from features.dataset import ImageDataset
from features.dataset_spec import DatasetSpec
from features.extraction.relabelling import regroup
from features.infrastructure.console import progress
from features.infrastructure.disk.files import check_new
from features.infrastructure.disk.joint_files import atomic_files, finish_joint_files
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from features.infrastructure.options import Range, check_ranges
from features.infrastructure.storage.addresses import Location, located
from features.readers import open_dataset
from features.readers.spec_options import excluding, files_of
from similarity.distances import inner_product_index
from similarity.geometry import Geometry, are_rectified

COLUMNS = ("id", "target_id", "cosine", "class", "target_class", "source", "target")
#: Least cosine similarity of a copy, determined for 1,280 features; larger for narrow ones.
THRESHOLD = 0.5
#: Number of hard negatives per feature.
_NEAR_A_FEATURE = 8
#: Ridge of their covariance in units of the mean eigenvalue; larger if there are fewer hard negatives.
_RIDGE = 0.1


@dataclass(frozen=True)
class DuplicatesConfig:
    """Find the images of a source that are copies of a target's (test) images, and list them for ?exclude=FILE.csv.

    Attributes:
        source: Feature bank (.h5) of the source, extracted with `keep_images`.
        against: Feature banks of the images that must not be trained on, extracted with `keep_images`.
        out: The list (.csv) of the copies and their originals.
        threshold: Least cosine similarity of a copy, above 0 and at most 1; a lower one finds more copies and more
            false positives. By default 0.5, or for narrow features the similarity that chance reaches.
        clean_bank: A file (.h5) for the source's bank without the copies; no image is decoded again.
        overwrite: Replace existing files.
    """

    source: str
    against: list[str]
    out: str
    threshold: Annotated[float | None, Range(0, 1, above=True)] = None
    clean_bank: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.against:
            raise InputError("`against` is missing: name the bank of the images that must not be trained on")
        if any(sign in self.out for sign in ",&?"):
            raise InputError(f"`out` {self.out}: a dataset spec cannot contain this name; leave out , & and ?")
        if self.clean_bank is not None and located(self.clean_bank).suffix in ("", ".csv"):
            raise InputError(f"`clean_bank` {self.clean_bank}: expected the name of a bank, such as clean.h5")


@dataclass(frozen=True)
class Duplicate:
    """A source image ``id`` that is a copy of a target image, their classes, and the dataset specs of both.

    ``cosine`` is their similarity in :func:`local_geometry`, −1 to 1.
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
        next_cosine: The highest similarity below the threshold.
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
    """Search a source for copies of the targets' images; write the list and, if requested, the bank without them.

    The list has each copy once, with the most similar target image. The features of the targets are held in memory;
    those of the source are read in blocks, twice for each target.

    Raises:
        InputError: A bank keeps no image features or the banks cannot be compared, features are too narrow to separate
            copies, ``out`` or ``clean_bank`` exists, or the source's dataset has changed since its extraction.
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
    labels, ids = source.image_labels()
    threshold = config.threshold
    if threshold is None:
        width, pairs = source.means.shape[1], len(ids) * sum(len(target.image_labels()[1]) for target in targets)
        threshold = copy_threshold(pairs, width)
        if threshold >= 1:
            raise InputError(
                f"{source.path}: features of width {width} do not separate copies among {pairs:,} pairs of images; "
                f"extract with a wider backbone"
            )
    if clean is not None and open_dataset(source.name, images=False).manifest_sha256 != source.attrs.get(
        "manifest_sha256"
    ):
        raise InputError(f"{source.path}: its dataset {source.name} has changed since; extract it again")

    best, of_target, of_image = np.full(len(ids), -np.inf), np.zeros(len(ids), int), np.zeros(len(ids), int)
    for number, target in enumerate(targets):
        cosine, nearest = most_similar(source, target)
        better = cosine > best
        best[better], of_target[better], of_image[better] = cosine[better], number, nearest[better]
    found = np.flatnonzero(best >= threshold)
    found = found[np.argsort(-best[found], kind="stable")]
    named = [target.image_labels() for target in targets]
    rows = []
    for i in found.tolist():
        target, (target_labels, target_ids), j = targets[of_target[i]], named[of_target[i]], of_image[i]
        classes = source.classes[labels[i]], target.classes[target_labels[j]]
        rows.append(Duplicate(ids[i], target_ids[j], float(best[i]), *classes, source.name, target.name))
    provenance = {
        "source": source.name,
        "targets": [target.name for target in targets],
        "banks": [config.source, *config.against],
        "threshold": threshold,
    }
    if clean is not None and len(found) == len(ids):
        raise InputError(f"`clean_bank` {clean}: all images of {source.name} are copies, so none would be left")
    spec = excluding(DatasetSpec.parse(source.name), out)
    with atomic_files(outputs) as (aside, *new_bank):
        write_table(aside, provenance, COLUMNS, map(astuple, rows))
        for clean_aside in new_bank:
            without = open_dataset(excluding(DatasetSpec.parse(source.name), aside), images=False)
            _write_clean(source, found, without, str(spec), clean_aside, f"`clean_bank` {clean}")
    rest = float(best[best < threshold].max(initial=-1))
    return Duplicates(tuple(rows), threshold, str(spec), len(ids), rest, out, clean)


def copy_threshold(pairs: int, width: int) -> float:
    """The least cosine similarity of a copy among so many pairs of images; 1 or more if none can be told.

    It is at least the largest cosine of as many pairs of independent directions, which are normal variables of variance
    1 / ``width``.
    """
    return max(THRESHOLD, math.sqrt(2 * math.log(max(pairs, 1)) / width))


def most_similar(source: FeatureBank, target: FeatureBank) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The most similar target image of each of the N source images.

    Returns:
        (N,) cosine similarity in the :func:`local_geometry` of the source images nearest to the target, and (N,) index
        of the target image.
    """
    sought, _, _ = target.images()
    images = len(source.image_labels()[0])
    near = _near(source, images, sought, min(images, _NEAR_A_FEATURE * sought.shape[1]))
    metric = local_geometry(near, rectified=are_rectified([near, sought]))
    cosines, nearest = [], []
    index = inner_product_index(metric.points(sought))
    with progress("duplicates", images) as advance:
        for block in source.image_blocks():
            cosine, found = index.search(metric.points(block).astype(np.float32), 1)
            cosines.append(cosine[:, 0])
            nearest.append(found[:, 0])
            advance(len(block))
    return np.concatenate(cosines), np.concatenate(nearest)


def local_geometry(near: NDArray[np.floating], *, rectified: bool) -> Geometry:
    """The geometry that separates similar images, from the features (M, D) of such images.

    Rectified (non-negative) features are first replaced by their square root. Points are centred, whitened by the
    covariance of the given images, and scaled to length 1. The covariance of fewer than eight images per feature
    overfits these images, among which the copies are; the ridge is therefore 0.1 · max(1, 8·D / M) mean eigenvalues.
    """
    points = np.asarray(near, dtype=np.float64)
    slope = None
    if rectified:
        points = np.maximum(points, 0)  # round-off
        slope = 0.5 / np.sqrt(np.maximum(points.mean(axis=0), np.finfo(np.float32).tiny))
        points = np.sqrt(points)
    centre = points.mean(axis=0)
    points = points - centre
    width = points.shape[1]
    covariance = points.T @ points / len(points)
    mean_eigenvalue = np.trace(covariance) / width
    factor = None
    if mean_eigenvalue > 0:
        ridge = _RIDGE * max(1.0, _NEAR_A_FEATURE * width / len(points))
        covariance[np.diag_indices(width)] += ridge * mean_eigenvalue
        factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    return Geometry("local", centre, factor, unit_length=True, slope=slope)


def _near(source: FeatureBank, images: int, sought: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """(size, D) features of the source images with the highest cosine similarity to any of the images ``sought``."""
    plain = Geometry("cosine", unit_length=True)
    index = inner_product_index(plain.points(sought))
    near, scores, floor = np.empty((0, sought.shape[1]), dtype=np.float32), np.empty(0, dtype=np.float32), -np.inf
    with progress("images most like the others", images) as advance:
        for block in source.image_blocks():
            cosine = index.search(plain.points(block).astype(np.float32), 1)[0][:, 0]
            enters = cosine > floor
            near, scores = np.concatenate([near, block[enters]]), np.concatenate([scores, cosine[enters]])
            if len(near) > size:
                kept = np.argsort(-scores, kind="stable")[:size]
                near, scores, floor = near[kept], scores[kept], scores[kept[-1]]
            advance(len(block))
    return near


def _write_clean(
    source: FeatureBank, found: NDArray[np.int64], dataset: ImageDataset, spec: str, out: Location, where: str
) -> None:
    """Write the bank that an extraction of ``dataset``, the source without its copies, would write.

    Messages call the bank ``where``.
    """
    labels, ids = source.image_labels()
    position = {name: i for i, name in enumerate(dataset.classes)}
    of_class = np.array([position.get(name, -1) for name in source.classes], dtype=np.int64)
    kept = of_class[labels]
    kept[found] = -1
    left = np.bincount(kept[kept >= 0], minlength=len(dataset.classes))
    if not left.all():
        name = dataset.classes[int(np.argmin(left))]
        raise InputError(f"{where}: class {name!r} has unreadable images only; remove the class")
    read = {id_ for id_, _ in source.skipped}
    expected = [id_ for id_ in dataset.ids if id_ not in read]
    if [id_ for id_, label in zip(ids, kept.tolist(), strict=True) if label >= 0] != expected:
        raise InputError(
            f"{where}: {source.path} does not hold the remaining images of {source.name}, perhaps because "
            f"two images have the same id; extract {spec!r} instead"
        )
    attrs = {"dataset": spec, "manifest_sha256": dataset.manifest_sha256}
    regroup(source, kept, dataset.classes, out, attrs=attrs, skipped=source.skipped, keep_images=True)
