"""The plan of a large extraction: its arithmetic against one written anew, and its page against the result."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from plan_tables import hours, number, share
from recorded import recorded

ROOT = Path(__file__).parents[2]
PLAIN = " ".join((ROOT / "docs" / "guides" / "plan-a-large-extraction.md").read_text(encoding="utf-8").split())
PLAN = recorded("plan")
INAT, LAKE = PLAN["cases"]["inat"], PLAN["cases"]["lake"]


def test_what_is_computed_is_that_of_the_inputs_and_the_measurements(monkeypatch):
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
