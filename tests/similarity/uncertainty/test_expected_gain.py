"""Expected gains: how near a choice is, the line through measured gains, and when there is no figure."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from features.infrastructure.formats.tables import write_table
from similarity.distances import shares
from similarity.uncertainty import expected_gain as module
from similarity.uncertainty.expected_gain import (
    COLUMNS,
    LEAST_FAMILIES,
    OVERS,
    SIZES,
    TABLE,
    expected_gain,
    measured,
    nearness,
    nearness_of_source,
)

#: A case amid the measured ones.
SIZES_AMID = {"share": 0.1, "target_classes": 20, "images": 10}


def table(path, rng, families=6, noise=1.0, image_size=224):
    """A table of gains of 10 + 40·nearness, four choices for each family of targets, and its rows."""
    rows = []
    for family in range(families):
        shift = noise * rng.normal()
        for choice in range(4):
            near = rng.uniform(0.05, 0.25)
            gain = 10 + 40 * near + shift + noise * rng.normal()
            sizes = (0.05 + 0.02 * choice, 10 + 8 * family, 10, near)
            rows.append(("classes", f"t{family}", f"f{family}", str(choice), image_size, *sizes, gain, gain - 1))
    write_table(path, {"backbone": "resnet18", "weights_sha256": "w", "geometry": "euclidean"}, COLUMNS, rows)
    return rows


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A table of gains instead of the packaged one."""
    table(tmp_path / "gains.csv", np.random.default_rng(0))
    found = measured("classes", tmp_path / "gains.csv")
    monkeypatch.setattr(module, "measured", lambda kind: found)
    return found[0]


def test_nearness_is_relative_to_all_choices_of_the_size():
    rng = np.random.default_rng(0)
    distances, counts = rng.random((7, 4)), np.array([1, 2, 3, 4])
    chosen = np.array([0, 3, 5])
    every = [distances[list(choice)].min(axis=0) @ shares(counts) for choice in combinations(range(7), 3)]
    expected = 1 - distances[chosen].min(axis=0) @ shares(counts) / np.mean(every)
    assert nearness(distances, counts, chosen) == pytest.approx(expected, rel=1e-9)


def test_nearness_of_the_extremes():
    distances = 1 - np.eye(5)
    assert nearness(distances[:, :2], np.ones(2), np.array([0, 1])) == pytest.approx(1)
    assert nearness(distances, np.ones(5), np.arange(5)) == 0  # no distance is left by chance either
    distances[:, 0] = 3.0  # equally far from every source class
    assert nearness(distances[:, :1], np.ones(1), np.array([4])) == pytest.approx(0)
    assert nearness_of_source([1.0, 2.0, 3.0], 0) == pytest.approx(0.5)
    assert nearness_of_source([0.0, 0.0], 0) == 0


def test_errors_are_those_of_families_that_are_left_out(known):
    for over in OVERS:
        near, gains = known.sizes["nearness"], known.gains[over]
        for i in range(len(gains)):
            others = known.families != known.families[i]
            slope, constant = np.polyfit(near[others], gains[others], 1)
            assert known.errors(over)[i] == pytest.approx(gains[i] - constant - slope * near[i], rel=1e-6)
    gain = known.gain("over_random", 0.15)
    slope, constant = np.polyfit(known.sizes["nearness"], known.gains["over_random"], 1)
    assert gain.points == pytest.approx(constant + 0.15 * slope)
    errors, width = np.abs(known.errors("over_random")), gain.high - gain.points
    of_family = [np.mean(errors[known.families == name] <= width + 1e-9) for name in np.unique(known.families)]
    below = [np.mean(errors[known.families == name] < width - 1e-9) for name in np.unique(known.families)]
    assert np.mean(below) < 0.8 * 7 / 6 <= np.mean(of_family)  # six families


def test_each_family_weighs_the_same(known):
    """A family that was measured on four times as many choices does not make the interval narrower."""
    rows = np.concatenate([np.arange(24), *[np.flatnonzero(known.families == "f0")] * 3])
    more = known.at(rows)
    near = known.sizes["nearness"]
    errors = np.concatenate([more.errors("over_random")])
    assert len(errors) == 36
    weights = np.where(more.families == "f0", 1 / 16, 1 / 4)
    order = np.argsort(np.abs(errors), kind="stable")
    place = np.flatnonzero(np.cumsum(weights[order]) >= 0.8 * 7 - 1e-9)[0]
    gain = more.gain("over_random", float(near[0]))
    assert gain.high - gain.points == pytest.approx(np.abs(errors)[order][place])


def test_intervals_hold_the_gains_of_a_new_family(tmp_path):
    rng, held, tried = np.random.default_rng(1), 0, 300
    for trial in range(tried):
        rows = table(tmp_path / f"{trial}.csv", rng, families=7)
        (found,) = measured("classes", tmp_path / f"{trial}.csv")
        last = rows[-1]
        gain = found.at(found.families != last[2]).gain("over_random", last[COLUMNS.index("nearness")])
        held += gain.low <= last[COLUMNS.index("over_random")] <= gain.high
    assert 0.8 < held / tried < 0.97  # at least 0.8: the errors of a family are only partly the same


@pytest.mark.parametrize(
    ("case", "geometry", "reason"),
    [
        ({"share": 0.5}, "euclidean", "choices of 0.05 to 0.11 of the source classes (here 0.5)"),
        ({"target_classes": 200}, "euclidean", "targets of 10 to 50 classes (here 200)"),
        ({"images": 300}, "euclidean", "10 labelled images a class (here 300)"),
        ({"share": 1, "images": 3}, "euclidean", "source classes (here 1) and 10 labelled images a class (here 3)"),
        ({}, "whitened", r"in the geometry euclidean, not in whitened"),
    ],
)
def test_a_case_beyond_the_measured_ones_has_no_figure(known, make_bank, case, geometry, reason):
    def never():
        raise AssertionError("nearness was computed")

    banks = [make_bank(np.eye(2), dataset="folder:a", backbone="resnet18", image_size=224)]
    found = expected_gain("classes", banks, geometry, {**SIZES_AMID, **case}, never)
    assert found.over_random is None and found.over_all is None
    assert reason in str(found.unknown) and str(found.unknown) in found.describe("chance")


def test_a_measured_case_has_one(known, make_bank):
    banks = [make_bank(np.eye(2), dataset="folder:a", backbone="resnet18", image_size=224)]
    found = expected_gain("classes", banks, "euclidean", SIZES_AMID, lambda: 0.15)
    assert found.unknown is None and found.over_random == known.gain("over_random", 0.15)
    said = found.describe("chance")
    assert f"gained {found.over_random} points of top-1 over chance, and {found.over_all} over all classes" in said
    assert "6 to 11 passes over all source images" in said and "after 23 passes" in said
    assert found.to_json()["over_all"]["points"] == pytest.approx(found.over_random.points - 1)
    other = [*banks, make_bank(np.eye(2), dataset="folder:b", backbone="vit", weights_sha256="x", weights="none")]
    assert "published features of resnet18, not of vit with weights none" in str(
        expected_gain("classes", other, "euclidean", SIZES_AMID, lambda: 0.15).unknown
    )
    far = expected_gain("classes", banks, "euclidean", SIZES_AMID, lambda: 0.9)
    assert "measured for a nearness of 0.0" in str(far.unknown) and "(here 0.9)" in str(far.unknown)


def test_each_size_of_images_has_its_own_line(tmp_path, monkeypatch, make_bank):
    rng, lines = np.random.default_rng(3), []
    for image_size in (128, 224):
        table(tmp_path / f"{image_size}.csv", rng, image_size=image_size)
        lines.append((tmp_path / f"{image_size}.csv").read_text().splitlines(keepends=True))
    provenance = {"backbone": "resnet18", "weights_sha256": "w", "geometry": "euclidean"}
    rows = [line.rstrip().split(",") for of in lines for line in of[2:]]
    write_table(tmp_path / "both.csv", provenance, COLUMNS, rows)
    both = measured("classes", tmp_path / "both.csv")
    monkeypatch.setattr(module, "measured", lambda kind: both)
    assert [one.image_size for one in both] == [128, 224]
    for one in both:
        banks = [make_bank(np.eye(2), dataset="folder:a", backbone="resnet18", image_size=one.image_size)] * 2
        found = expected_gain("classes", banks, "euclidean", SIZES_AMID, lambda: 0.15)
        assert found.over_all == one.gain("over_all", 0.15)
    assert both[0].gain("over_all", 0.15) != both[1].gain("over_all", 0.15)
    other = [*banks, make_bank(np.eye(2), dataset="folder:a", backbone="resnet18", image_size=300)]
    found = expected_gain("classes", other, "euclidean", SIZES_AMID, lambda: 0.15)
    assert found.unknown == "measured with images of 128 or 224 pixels, not of 224 or 300"


def test_the_packaged_table_is_complete():
    for found in (*measured("classes"), *measured("domains")):
        assert set(found.sizes) == set(SIZES)
        assert all(np.isfinite(values).all() for values in (*found.sizes.values(), *found.gains.values()))
        assert len(np.unique(found.families)) >= 6 > LEAST_FAMILIES
    assert TABLE.is_file()
