"""The plan of a large extraction: its arithmetic against one written anew, and its page against the result."""

from __future__ import annotations

import importlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from plan_tables import hours, number, share
from recorded import recorded

from similarity import clustering
from similarity.copies import neighbours

ROOT = Path(__file__).parents[2]
PLAIN = " ".join((ROOT / "docs" / "guides" / "plan-a-large-extraction.md").read_text(encoding="utf-8").split())
PLAN = recorded("plan")
INAT, LAKE = PLAN["cases"]["inat"], PLAN["cases"]["lake"]


def test_the_record_is_what_the_arithmetic_gives_now(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    arithmetic = importlib.import_module("plan_arithmetic")
    assert {name: row["value"] for name, row in PLAN["inputs"].items() if name != "cpu_rate"} == {
        name: row[0] for name, row in arithmetic.INPUTS.items()
    }
    for name, found in PLAN["cases"].items():
        assert arithmetic.case(name, PLAN["measured"], PLAN["inputs"]["cpu_rate"]["value"]) == found


def test_the_arithmetic_of_the_lake():
    assert LAKE["bank"] == 2 * 2048 * 4 + 2048 * 2048 * 4
    assert LAKE["bank_keep"] - LAKE["bank"] == 10**8 * (2048 * 4 + 8 + 19)
    assert LAKE["gpu_hours"] == pytest.approx(10**8 / 3229.32 / 3600)
    assert LAKE["all_images"] == pytest.approx(10e12 / 4)
    assert LAKE["machine_hours"] == pytest.approx(LAKE["gpu_hours"] / 8)  # its CPUs decode faster
    assert LAKE["usd"] == pytest.approx(21.957642 * (LAKE["gpu_hours"] / 8 + LAKE["index_hours"]))


def test_the_arithmetic_of_inaturalist():
    assert INAT["bank"] == 4 * (2 * 10_000 * 2048 + 2048 * 2048)
    assert INAT["bytes_per_gpu"] == pytest.approx(3229.32 * 224e9 / 2_686_843)
    assert INAT["decode_share"] == pytest.approx(8 * INAT["cpus_per_gpu"] / 96)


def shapes(case):
    """Images, width, bytes of an id, and classes of a case."""
    return (10**8, 2048, 19, 1) if case is LAKE else (2_686_843, 2048, 120, 10_000)


@pytest.mark.parametrize("case", [INAT, LAKE], ids=["inat", "lake"])
def test_disk_by_what_is_stored(case):
    images, width, id_, classes = shapes(case)
    features, labels, ids = images * width * 4, images * 8, images * id_  # float32, int64, the texts
    figures = (2 * classes * width + width * width) * 4
    assert case["bank"] == figures
    assert case["checkpoint"] == case["sums"] == 2 * figures  # float64
    assert case["disk_keep"] == pytest.approx(features + labels + (figures + features + labels + ids))
    # The shards, the features of the merged bank on their way, and the bank.
    assert case["disk_merge"] == pytest.approx((features + labels + ids) + (features + labels) + case["bank_keep"])
    assert case["duplicates_disk"] == features


@pytest.mark.parametrize("case", [INAT, LAKE], ids=["inat", "lake"])
def test_memory_of_copies_by_the_constants_of_the_search(case):
    images, width, id_, _ = shapes(case)
    assert images > neighbours.EXACT
    lists = min(round(1.3 * images**0.5), neighbours._SAMPLE_NUMBERS // width // neighbours._LEAST_TRAINING)
    points = min(images, neighbours._SAMPLE_NUMBERS // width, neighbours._TRAINING * lists)
    training = points * width * np.dtype(np.float32).itemsize
    assert training == 2**30
    code = width // neighbours._SUB_DIMENSIONS * neighbours._BITS / 8 + np.dtype(np.int64).itemsize
    read = 2 * images * (np.dtype(np.int64).itemsize + id_ + 8)  # by `find_duplicates` and by `_copies_inside`
    assert case["duplicates"] == pytest.approx(read + max(2 * training, training + images * code))


def test_memory_while_a_sample_is_drawn_is_that_of_its_parts_and_of_it(monkeypatch):
    class Points:
        shape = 60_000, 64

        def __len__(self):
            return self.shape[0]

        def __getitem__(self, rows):
            return np.zeros((len(range(*rows.indices(len(self)))), 64), dtype=np.float32)

    tracemalloc.start()
    try:
        sample = neighbours._sample(Points(), 50_000, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / sample.nbytes == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("case", [INAT, LAKE], ids=["inat", "lake"])
def test_memory_of_clusters_by_the_constants_of_the_search(case):
    images, width, id_, _ = shapes(case)
    clusters = min(images // clustering.IMAGES_A_CLUSTER, clustering.MOST_CLUSTERS)
    assert clusters == PLAN["inputs"]["clusters"]["value"]
    points = min(images, clustering._SAMPLE_A_CLUSTER * clusters, clustering._SAMPLE_NUMBERS // width)
    sample = points * width * np.dtype(np.float32).itemsize
    measured = PLAN["measured"]["ids"][0]  # of 19 bytes
    twins = measured["peak_of_twins"] / measured["ids"] + id_ - 19
    labels, chosen = 8, 1
    assert case["cluster"] == pytest.approx(images * max(labels + twins, labels + chosen + id_ + 8 + sample / images))
    assert twins + labels - id_ == pytest.approx(82, abs=0.5)  # what the table says


@pytest.mark.parametrize("case", [INAT, LAKE], ids=["inat", "lake"])
def test_opening_and_requests_by_what_was_measured(case):
    images, _, id_, _ = shapes(case)
    few, many = PLAN["measured"]["index"]
    an_image = (many["peak"] - few["peak"]) / 200_000
    assert case["index"] == pytest.approx(images * (an_image + 2 * (id_ - 19)))
    assert case["index_hours"] == pytest.approx(images * (many["seconds"] - few["seconds"]) / 200_000 / 3600)
    rate = min(8 * 3229.32, 96 * PLAN["measured"]["decode"]["inat" if case is INAT else "lake"]["rate"])
    assert case["prefixes"] == pytest.approx(rate / 5500)


def test_words_of_the_page():
    assert "The features of the lake take a third of the space of its images" in PLAIN
    assert LAKE["bank_keep"] / LAKE["all_images"] == pytest.approx(1 / 3, abs=0.01)
    assert "longer than the eight GPUs need for all images" in PLAIN and LAKE["index_hours"] > LAKE["machine_hours"]
    assert "none of this breaks on one machine, and the download takes longer than the extraction" in PLAIN
    assert INAT["decode_share"] < 1 and INAT["download_hours"] > INAT["all_hours"]
    assert all(INAT[step] < 64e9 for step in ("index", "duplicates", "cluster"))
    assert "NVIDIA with TensorFlow in 2020" in PLAIN and "TensorFlow" in PLAN["inputs"]["gpu_rate"]["source"]


def test_what_is_published_has_an_address():
    for row in PLAN["inputs"].values():
        assert (
            row["url"].startswith("https://")
            or row["source"] in ("assumed", "its layout", "the default")
            or (ROOT / row["source"].strip("`")).is_file()
        )


FIGURES = (
    (hours, 0.05, "3.0 min"),
    (hours, 0.5, "30 min"),
    (hours, 8.61, "8.6 h"),
    (hours, 203.2, "203 h"),
    (number, 1.66, "1.7"),
    (number, 1954.8, "1,955"),
    (share, 0.435, "44 %"),
)


@pytest.mark.parametrize(("form", "value", "text"), FIGURES)
def test_figures_are_written_in_their_units(form, value, text):
    assert form(value) == text.replace(" ", "\N{NO-BREAK SPACE}")
