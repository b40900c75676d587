"""``csv:``: tables as they come from spreadsheets, competitions and annotation tools."""

from __future__ import annotations

import pytest
from support import picture, refused

from features import open_dataset
from features.readers.schemes.csv_file import splits_in


@pytest.fixture
def table(tmp_path):
    for i in range(4):
        picture(tmp_path / "photos" / f"{i}.jpg", shade=40 * i)
    return tmp_path / "birds.csv"


def test_columns_are_found_by_their_usual_names_and_paths_start_at_the_table(table):
    table.write_text("﻿Filename,notes,Species\nphotos/0.jpg,x,wren\nphotos/1.jpg,,auk\n./photos/2.jpg,,wren\n")
    dataset = open_dataset(f"csv:{table}")
    assert dataset.classes == ("auk", "wren") and dataset.labels.tolist() == [1, 0, 1]
    assert dataset.ids == ["photos/0.jpg", "photos/1.jpg", "photos/2.jpg"]
    shades = [dataset.image(i).getpixel((0, 0))[0] for i in range(3)]
    assert shades == pytest.approx([0, 40, 80], abs=3)  # JPEG


def test_a_competition_gives_numbers_without_an_ending_and_a_folder(table):
    table.write_text("id,breed\n3,pug\n1,boxer\n")
    dataset = open_dataset(f"csv:{table}?image=id&label=breed&root={table.parent / 'photos'}&ending=.jpg")
    assert dict(zip(dataset.ids, dataset.labels.tolist(), strict=True)) == {"3.jpg": 1, "1.jpg": 0}
    assert dataset.image(0).size == (4, 4)


def test_a_column_splits_the_images(table):
    rows = [("0", "a", "train"), ("1", "b", "train"), ("2", "a", "test"), ("3", "b", "test")]
    table.write_text("image,label,split\n" + "".join(f"photos/{i}.jpg,{name},{split}\n" for i, name, split in rows))
    assert splits_in(table) == ["train", "test"]
    assert open_dataset(f"csv:{table}@test").ids == ["photos/2.jpg", "photos/3.jpg"]
    assert len(open_dataset(f"csv:{table}")) == 4
    assert "unknown split 'val'; expected one of train, test" in refused(f"csv:{table}@val")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("image,label\na.jpg,\n", "", r"line 2: has no value in the column 'label'"),
        ("image,label\n,x\n", "", r"line 2: has no value in the column 'image'"),
        ("picture,label\na.jpg,x\n", "", "has no column 'image'; name one with ?image=COLUMN (its columns are picture"),
        ("image,class,species\na,b,c\n", "", "may have its labels in the columns class and species; name one with"),
        ("image,label\na.jpg,x\n", "?label=kind", "has no column 'kind'; its columns are image, label"),
        ("image,label\na.jpg,x\n", "@train", "column 'split' must stand in the header once"),
        ("image;label\na.jpg;x\n", "", "its columns are image;label"),
        ("image,label\na.jpg,x,y\n", "", "line 2: 3 values for 2 columns"),
        ("image,label\na.jpg,x\na.jpg,y\n", "", "the image a.jpg is listed in two classes, 'x' and 'y'"),
        ("image,label\n", "", "the dataset is empty"),
        ("", "", "has no column 'image'"),
        ("\0\1", "", "not a readable table of images"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(table, content, options, message):
    table.write_text(content)
    assert message in refused(f"csv:{table}{options}")


def test_a_table_that_is_not_there(table):
    assert "no such file" in refused(f"csv:{table}")
