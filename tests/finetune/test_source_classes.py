"""Which images the sources and the subset file give."""

from __future__ import annotations

import numpy as np
import pytest
from source_folders import FIRST, subset_file
from support import picture

from features.infrastructure.errors import InputError
from features.readers import open_dataset
from finetune.class_shares import class_shares
from finetune.source_classes import open_sources
from similarity.selection.subset import Subset, SubsetRow


def mean_colour(dataset, label: int) -> np.ndarray:
    chosen = [np.asarray(dataset.image(int(i))) for i in np.flatnonzero(dataset.labels == label)]
    return np.mean(chosen, axis=(0, 1, 2)).round(-1)


def test_several_sources_are_one_dataset_and_equal_names_stay_apart(sources):
    dataset = open_sources(sources, None).images
    assert dataset.classes == ("folder:first/both", "one", "two", "folder:second/both", "three")
    assert dataset.counts.tolist() == [6, 6, 6, 4, 4]


def test_a_subset_takes_its_classes_of_both_sources(sources, tmp_path):
    chosen = [("folder:second", "three"), ("folder:first", "two"), ("folder:second", "both"), ("folder:first", "one")]
    file = subset_file(tmp_path / "s.csv", *chosen)
    for given in (sources, sources[::-1], (*sources, "digits:@test"), ()):  # without any: those that it names
        dataset = open_sources(given, file).images
        assert dataset.classes == ("one", "two", "both", "three")
        assert dataset.counts.tolist() == [6, 6, 4, 4]
        first = open_sources(sources[:1], None).images
        for name in ("one", "two"):
            label = dataset.classes.index(name)
            assert mean_colour(dataset, label).tolist() == mean_colour(first, first.classes.index(name)).tolist()


def test_what_the_subset_names_must_be_there(sources, tmp_path):
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"), ("folder:first", "goose"))
    with pytest.raises(InputError, match=r"`subset` .*s.csv: folder:first has no class 'goose' \(1 of 2"):
        open_sources(sources, file)
    file = subset_file(tmp_path / "s.csv", ("folder:first", "one"), ("folder:third", "x"))
    with pytest.raises(InputError, match=r"s\.csv: names the source 'folder:third', which is not given; given: folder"):
        open_sources(sources, file)
    with pytest.raises(InputError, match=r"s\.csv: dataset spec 'folder:third': no such directory"):
        open_sources([], file)
    with pytest.raises(InputError, match="no such subset file"):
        open_sources(sources, "none.csv")


def test_a_source_that_changed_after_the_choice_is_refused(sources, tmp_path):
    file = tmp_path / "s.csv"
    rows = tuple(
        SubsetRow("folder:first", name, 6, rank, 0.5, ("t",), 0.5) for rank, name in enumerate(["one", "two"], 1)
    )
    provenance = {"sources": [{"dataset": "folder:first", "manifest_sha256": open_dataset(sources[0]).manifest_sha256}]}
    Subset(rows, provenance).write(file)
    assert open_sources([], str(file)).images.classes == ("one", "two")
    source = open_sources(sources[:1], None)
    assert class_shares(str(file), source).tolist() == [0, 0.5, 0.5]

    one, two = tmp_path / "first/one", tmp_path / "first/two"
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    message = r"`subset` .*s\.csv: folder:first has changed since its classes were chosen .*; extract its bank"
    with pytest.raises(InputError, match=message):
        open_sources([], str(file))
    with pytest.raises(InputError, match=message):
        open_sources(sources[:1], str(file))
    with pytest.raises(InputError, match=r"`class_weights` .*s\.csv: folder:first has changed since"):
        class_shares(str(file), open_sources(sources[:1], None))
    file.write_text(file.read_text().partition("\n")[2])  # as the message says
    assert open_sources([], str(file)).images.classes == ("one", "two")


def test_a_signed_source_is_the_one_that_the_subset_names_without_its_signature(web, tmp_path):
    for i in range(4):
        picture(web.root / f"{i}.png", i)
    (web.root / "a.txt").write_text("".join(f"{i}.png {i % 2}\n" for i in range(4)))
    web.key, public = "sig=SECRET", f"list:{web.address}/a.txt"
    given = f"list:<{web.address}/a.txt?sig=SECRET>"
    Subset((SubsetRow(public, "class_1", 2, 1, 0.5, ("digits:",)),)).write(tmp_path / "subset.csv")
    found = open_sources([given], str(tmp_path / "subset.csv"))
    assert found.origin == ((public, "class_1"),) and len(found.images) == 2 and found.images.image(0)
    with pytest.raises(InputError, match=r"access is denied .* not recorded: give them anew"):
        open_sources([], str(tmp_path / "subset.csv"))


def test_a_source_that_is_given_is_opened_from_the_working_directory(sources, tmp_path, monkeypatch, write_folder):
    """Not the one of the same relative path where the classes were chosen."""
    rows = (SubsetRow("folder:first", name, 6, rank, 0.5, ()) for rank, name in enumerate(["one", "two"], 1))
    Subset(tuple(rows), {"directory": str(tmp_path)}).write(tmp_path / "s.csv")
    write_folder(tmp_path / "elsewhere" / "first", FIRST, per_class=2)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert open_sources(["folder:first"], "../s.csv").images.counts.tolist() == [2, 2]
    assert open_sources([], "../s.csv").images.counts.tolist() == [6, 6]
