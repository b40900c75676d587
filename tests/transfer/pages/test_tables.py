"""The pages of copies and of clusters."""

from __future__ import annotations

import numpy as np
import pytest

from features import open_dataset
from features.infrastructure.errors import InputError
from features.infrastructure.formats.tables import write_table
from features.readers.schemes.clusters import write_clusters
from similarity.copies.duplicates import COLUMNS
from transfer import ReportConfig, report

SOURCE, TARGET = "digits:@train?per_class=20", "digits:@test?per_class=20"


def test_copies_stand_side_by_side_the_least_alike_first(tmp_path, read_page):
    source, target = open_dataset(SOURCE), open_dataset(TARGET)
    rows = [(source.ids[i], target.ids[i], 0.9 - i / 1000, "one & two", "other", SOURCE, TARGET) for i in range(130)]
    write_table(tmp_path / "copies.csv", {}, COLUMNS, rows)
    page = read_page(report(ReportConfig(run=[str(tmp_path / "copies.csv")])).path)
    assert (tmp_path / "copies.html").is_file()
    assert page.text.count("cosine 0.") == 100
    assert page.source.count("<img") == 200
    assert page.text.index("cosine 0.771") < page.text.index("cosine 0.800")
    assert "130 images of" in page.text
    assert "30 more pairs" in page.text
    assert "one & two" in page.text


def test_copies_whose_images_are_gone_are_listed(tmp_path, read_page):
    rows = [("a.jpg", "b.jpg", 0.5, "c", "d", "folder:nowhere", TARGET)]
    write_table(tmp_path / "copies.csv", {}, COLUMNS, rows)
    page = read_page(report(ReportConfig(run=[str(tmp_path / "copies.csv")])).path)
    assert "No pictures of folder:nowhere" in page.text
    assert "a.jpg" in page.text


@pytest.mark.parametrize("provenance", [{"targets": []}, {}])
def test_copies_inside_a_dataset_are_of_images_that_stay(tmp_path, read_page, provenance):
    ids = open_dataset(SOURCE).ids
    rows = [(ids[i], ids[i + 90], 0.9 - i / 1000, "a", "b", SOURCE, SOURCE) for i in range(1, 103)]
    write_table(tmp_path / "copies.csv", provenance, COLUMNS, rows)
    page = read_page(report(ReportConfig(run=[str(tmp_path / "copies.csv")])).path)
    assert f"102 images of {SOURCE} were taken for copies of other images of it, which stay." in page.text
    assert f'alt="Image {ids[102]}, a copy"' in page.source and f'alt="Image {ids[192]}, which stays"' in page.source
    assert "of the source" not in page.source and "of the target" not in page.source


def test_a_bank_against_itself_has_a_source_and_a_target(tmp_path, read_page):
    ids = open_dataset(SOURCE).ids
    write_table(
        tmp_path / "copies.csv", {"targets": [SOURCE]}, COLUMNS, [(ids[0], ids[0], 1.0, "a", "a", SOURCE, SOURCE)]
    )
    page = read_page(report(ReportConfig(run=[str(tmp_path / "copies.csv")])).path)
    assert f"1 images of {SOURCE} were taken for copies of images of {SOURCE}." in page.text


def test_a_list_without_copies_says_so(tmp_path, read_page):
    write_table(tmp_path / "copies.csv", {"targets": []}, COLUMNS, [])
    page = read_page(report(ReportConfig(run=[str(tmp_path / "copies.csv")])).path)
    assert "No image was taken for a copy." in page.text and "least similar" not in page.text


def test_clusters_have_contact_sheets_the_largest_first(tmp_path, read_page):
    base = open_dataset(SOURCE)
    clusters = np.where(np.arange(len(base)) < 150, 0, 1 + np.arange(len(base)) % 70)
    rows = [(id_, f"cluster {number:04d}") for id_, number in zip(base.ids, clusters, strict=True)]
    write_clusters(tmp_path / "clusters.csv", SOURCE, base.manifest_sha256, rows, {})
    page = read_page(report(ReportConfig(run=[str(tmp_path / "clusters.csv")])).path)
    sizes = np.unique(clusters, return_counts=True)[1]
    assert f"{len(sizes)} clusters of 200 images." in page.text
    assert "cluster 0000 150 images" in page.text
    assert page.source.count('alt="An image of cluster 0000"') == 8
    assert page.source.count("<h2>") == min(60, len(sizes))


def test_another_table_is_refused(tmp_path):
    write_table(tmp_path / "other.csv", {}, ("a", "b"), [(1, 2)])
    with pytest.raises(InputError, match="nothing to report; expected a table of transfer duplicates"):
        report(ReportConfig(run=[str(tmp_path / "other.csv")]))
