"""Dataset readers: a spec in; classes, labels, ids and counts out, without decoding an image.

The readers are in :mod:`features.readers.schemes`, one module a format. The other modules are what they share.
"""

from __future__ import annotations

from dataclasses import replace

from features.dataset import ImageDataset
from features.dataset_spec import IN_PYTHON, DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import is_address, located
from features.infrastructure.suggestions import choice
from features.readers.plain_paths import labelled_spec
from features.readers.rules import by_the_rules
from features.readers.scheme import SCHEMES, Scheme
from features.readers.spec_options import GENERIC_OPTIONS, apply_spec_options

__all__ = ["SCHEMES", "check_spec", "open_dataset"]


def open_dataset(spec: str | DatasetSpec, *, images: bool = True) -> ImageDataset:
    """Open the dataset that ``spec`` names, by the rules of :mod:`features.readers.rules`; no image is decoded.

    Every scheme takes these options after ``?``:

    * ``per_class=K``: K images of each class, drawn at random; a class with fewer keeps all.
    * ``imbalance=F``: a long tail, from the largest class down to 1/F of it in the order of the
      labels (Cui et al., CVPR 2019; see :func:`features.readers.subsampling.long_tail_counts`).
    * ``holdout=0.2``: without a fifth of the images of each class; ``&part=held-out`` is that fifth. Equal images are
      on one side, and so are those that ``groups=FILE.csv`` (``id,group``) gives one group. This is decided first, for
      the whole dataset; see :mod:`features.readers.holdout`.
    * ``seed=S``: the seed of these draws, default 0.
    * ``exclude=FILE.csv[,FILE.csv…]``: without the images whose ids the files list, such as the files of ``transfer
      duplicates``. Given before ``per_class`` or ``imbalance``, images are excluded before the draw; given after
      them, images are excluded from the drawn ones. See :mod:`features.readers.spec_options`.

    Args:
        spec: ``scheme:location[@split][?option=value&…]``, see :data:`SCHEMES`.
        images: Whether images are needed. If not, features that were computed elsewhere are opened too: their source is
            a :class:`features.precomputed.rows.FeatureRows`.

    Raises:
        InputError: The spec cannot be read, or has no images where they are needed; the message says what was
            expected, what was found and what to type.
    """
    spec = labelled_spec(spec) if isinstance(spec, str) else spec
    scheme = check_spec(spec)
    if images and not scheme.holds_images:
        raise spec.error(
            f"{spec.scheme} has no images, and here they are needed; give the dataset of the images (of features, "
            f"transfer extract makes a bank, to rank, select and cluster)"
        )
    base = None if scheme.base is None else _open_base(spec, scheme.base(spec), images)
    dataset = scheme.open(spec) if base is None else scheme.open(spec, base)
    if not len(dataset):
        raise spec.error(f"the dataset is empty; expected {scheme.meaning}")
    return apply_spec_options(by_the_rules(dataset, spec), spec)


def check_spec(spec: DatasetSpec) -> Scheme:
    """Return the scheme of a spec; raise `InputError` for an unknown one, a missing location or an unknown option."""
    scheme = SCHEMES.get(spec.scheme)
    if scheme is None and spec.scheme == IN_PYTHON:
        raise spec.error("was given in Python, to extract_features; give the spec of a dataset that can be opened")
    if scheme is None:
        unknown = f"unknown scheme {spec.scheme!r}; {choice(spec.scheme, SCHEMES)}"
        raise spec.error(SCHEMES.fault(spec.scheme) or unknown)
    if scheme.needs_location and not spec.location:
        raise spec.error(f"{spec.scheme} needs a location; type {scheme.form}")
    if spec.options:
        known = [*(scheme.options(spec) if callable(scheme.options) else scheme.options), *GENERIC_OPTIONS]
        for name in spec.options:
            if name not in known:
                if is_address(spec.location):  # whose own query would be shown
                    spec = replace(spec, options={})
                    hint = f"an address that holds a ? stands in <>, as in {spec.scheme}:<ADDRESS>"
                else:
                    hint = choice(name, known)
                raise spec.error(f"{spec.scheme} has no option {name!r}; {hint}")
    if not scheme.addresses:
        own = [value for name, value in spec.options.items() if name not in GENERIC_OPTIONS]
        for word in (spec.location, spec.location.partition(":")[2], *own):
            if is_address(located(word)):
                raise spec.error(
                    f"{spec.scheme} reads from the disk only; copy {located(word)} there and give its path"
                )
    return scheme


def _open_base(spec: DatasetSpec, base: DatasetSpec, images: bool) -> ImageDataset:
    try:
        return open_dataset(base, images=images)
    except InputError as error:
        raise spec.error(f"its base dataset cannot be opened: {error}") from error
