"""Extraction of a file of class means: a bank of what it knows, without an image."""

from __future__ import annotations

import time

from features.bank import FeatureBank
from features.extraction.options import ExtractConfig, check_without_network
from features.extraction.result import Extraction
from features.extraction.resume import discard, find_finished
from features.infrastructure.console import console
from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError
from features.infrastructure.processes import world_size
from features.infrastructure.storage.addresses import located
from features.precomputed.class_means import read_class_means
from features.readers import SCHEMES, check_spec
from features.readers.plain_paths import labelled_spec


def class_means_of(spec: str) -> FeatureBank | None:
    """Return the bank of a dataset spec that means class means, in memory; None for other specs.

    Raises:
        InputError: As of :func:`features.precomputed.class_means.read_class_means`.
    """
    parsed = labelled_spec(spec)
    scheme = SCHEMES.get(parsed.scheme)
    if scheme is None or scheme.holds_images:
        return None
    check_spec(parsed)
    return read_class_means(parsed)


def extract_class_means(bank: FeatureBank, config: ExtractConfig) -> Extraction:
    """Write a bank of class means, or reuse the one that is there if it agrees.

    Raises:
        InputError: An option is about images, or ``out`` holds something else.
    """
    out, started = located(config.out), time.perf_counter()
    check_without_network(bank.name, config)
    if config.keep_images or config.shard is not None:
        name = "keep_images" if config.keep_images else "shard"
        raise InputError(f"`{name}`: {bank.name} holds class means, and no images; leave it out")
    if world_size() > 1:
        raise InputError(f"{bank.name}: class means are read by one process; start the command without torchrun")
    with locked(out):
        found = None if config.overwrite else find_finished(out, bank.attrs, modified=0.0, keep_images=False)
        if found is None:
            bank.write(out)
        discard(out)
    if found is not None:
        console.print(f"{out}: already extracted, reused")
    seconds = 0.0 if found is not None else time.perf_counter() - started
    return Extraction(out, len(bank.classes), bank.images_in, 0, 0, seconds)
