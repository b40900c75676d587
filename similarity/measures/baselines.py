"""The Earth Mover's Distance of a ranking as a measure, and two baselines: how large source and model are."""

from __future__ import annotations

from features.bank import FeatureBank
from features.infrastructure.errors import InputError
from similarity.measures.catalogue import Measure


def _images(bank: FeatureBank) -> float:
    if bank.images_in is None:
        raise InputError(f"of {bank.name} the number of images is not known")
    return float(bank.images_in)


EMD = Measure(
    name="emd",
    meaning="Earth Mover's Distance of the class means in a geometry (Cui et al. 2018)",
    needs=frozenset({"source"}),
    direction="lower",
    compares="sources",
    function=lambda evidence: evidence.transport.value,
    place=0,
)
SOURCE_IMAGES = Measure(
    name="source-images",
    meaning="number of images of the source, a baseline",
    needs=frozenset({"source"}),
    direction="higher",
    compares="sources",
    function=lambda evidence: _images(evidence.given_source),
    place=3,
)
PARAMETERS = Measure(
    name="parameters",
    meaning="number of parameters of the model, a baseline",
    needs=frozenset({"parameters"}),
    direction="higher",
    function=lambda evidence: float(evidence.parameters or 0),
    place=3,
)
