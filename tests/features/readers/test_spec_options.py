"""``?exclude=``: images that are left out, and the files that a dataset reads."""

import pytest
from support import picture, refused

from features.dataset_spec import DatasetSpec
from features.infrastructure.formats.tables import write_table
from features.readers import open_dataset
from features.readers.spec_options import files_of

IDS = ["a/deep/er/x.Jpeg", "a/y.png", "b/1.JPG", "b/2.png", "c/z.png", "top.webp"]
ROWS = [("b/1.JPG", "cluster 0001"), ("a/y.png", "cluster 0000"), ("top.webp", "cluster 0001"), ("b/2.png", "rest, 2")]


@pytest.fixture
def listed(tmp_path):
    """A function that writes a list of images to exclude, and returns its path."""

    def make(ids, name="list.csv", source=None, rows=None):
        path = tmp_path / name
        if rows is not None:
            write_table(path, {"source": source} if source else {}, ("id", "source"), rows)
        else:
            write_table(path, {"source": source} if source else {}, ("id",), [(id_,) for id_ in ids])
        return path

    return make


def test_listed_images_are_left_out(lake, listed):
    whole = open_dataset(f"images:{lake}")
    dataset = open_dataset(f"images:{lake}?exclude={listed(['b/1.JPG', 'top.webp'])}")
    assert list(dataset.ids) == [id_ for id_ in IDS if id_ not in ("b/1.JPG", "top.webp")]
    assert dataset.image(2).getpixel((0, 0)) == whole.image(3).getpixel((0, 0))
    assert dataset.manifest_sha256 != whole.manifest_sha256
    other = open_dataset(f"images:{lake}?exclude={listed(['b/2.png', 'top.webp'])}")
    assert other.manifest_sha256 != dataset.manifest_sha256
    both = f"{listed(['b/1.JPG'], 'one.csv')},{listed(['b/2.png', 'b/1.JPG'], 'two.csv')}"
    assert len(open_dataset(f"images:{lake}?exclude={both}")) == 4
    assert len(open_dataset(f"images:{lake}?exclude={listed([])}")) == 6


@pytest.mark.parametrize("spec", ["digits:@test", "torch:EuroSAT:{root}"])
def test_every_scheme_takes_it(spec, tmp_path, listed):
    for name in ("ant/a.png", "bee/b.png", "bee/c.png"):
        picture(tmp_path / "eurosat" / "2750" / name)
    spec = spec.format(root=tmp_path)
    whole = open_dataset(spec)
    left = open_dataset(f"{spec}?exclude={listed([whole.ids[-1]])}")
    assert list(left.ids) == list(whole.ids[:-1])


def test_a_class_that_loses_all_its_images_goes_too(lake, listed):
    (lake / "empty").rmdir()
    dataset = open_dataset(f"folder:{lake}?exclude={listed(['c/z.png', 'a/y.png'])}")
    assert dataset.classes == ("a", "b") and dataset.labels.tolist() == [0, 1, 1]
    assert f"exclude={listed(IDS[:-1])} leaves no image" in refused(f"folder:{lake}?exclude={listed(IDS[:-1])}")


def test_exclusion_and_draw_work_in_the_order_in_which_they_stand(listed):
    drawn = open_dataset("digits:@test?per_class=5")
    out = listed(list(drawn.ids[:20]))
    after = open_dataset(f"digits:@test?per_class=5&exclude={out}")
    assert list(after.ids) == list(drawn.ids[20:])
    before = open_dataset(f"digits:@test?exclude={out}&per_class=5")
    assert before.counts.tolist() == [5] * 10 and not set(before.ids) & set(drawn.ids[:20])
    seeded = open_dataset(f"digits:@test?seed=0&exclude={out}&per_class=5")  # a seed by itself draws nothing
    assert list(seeded.ids) == list(before.ids)


def test_a_list_names_the_dataset_that_it_is_about(listed):
    whole = open_dataset("digits:@test")
    some = list(whole.ids[:3])
    of_whole = listed(some, source="digits:@test")
    assert len(open_dataset(f"digits:@test?exclude={of_whole}")) == len(whole) - 3
    assert len(open_dataset(f"digits:@test?exclude={of_whole},{of_whole}")) == len(whole) - 3
    assert open_dataset(f"digits:@test?exclude={of_whole}&per_class=9").counts.sum() == 90
    # ids that are not drawn are no error
    assert open_dataset(f"digits:@test?per_class=9&exclude={of_whole}").counts.sum() in range(87, 91)
    said = refused(f"digits:@train?exclude={of_whole}")
    assert "lists images of digits:@test, not of digits:@train; name the dataset as there" in said


def test_a_list_of_several_sources(listed):
    rows = [("digits/0905", "digits:@test"), ("a/1.png", "folder:other"), ("digits/0000", "digits:@train")]
    path = listed([], rows=rows)
    assert len(open_dataset(f"digits:@test?exclude={path}")) == len(open_dataset("digits:@test")) - 1
    train = open_dataset(f"digits:@train?exclude={path}")
    assert "digits/0000" not in train.ids and len(train) == 904
    path = listed([], rows=[*rows, ("a/1.png", "digits:@test")])
    said = refused(f"digits:@test?exclude={path}")
    assert "line 6: 'a/1.png' is no image of digits:@test; remove the line" in said
    # a source in which nothing was found is named above the header
    assert len(open_dataset(f"digits:?exclude={listed([], rows=[], source='digits:')}")) == 1797


def test_a_list_about_a_drawn_part_does_not_cover_another_draw(listed):
    part = "digits:@test?per_class=5"
    drawn = open_dataset(part)
    path = listed(list(drawn.ids[:2]), source=part)
    assert list(open_dataset(f"digits:@test?per_class=5&exclude={path}").ids) == list(drawn.ids[2:])
    # The draw would take images that nobody has looked at.
    for spec in (f"digits:@test?exclude={path}&per_class=5", f"digits:@test?exclude={path}"):
        assert "lists images of digits:@test?per_class=5, not of digits:@test" in refused(spec)
    assert "not of digits:@test?per_class=6" in refused(f"digits:@test?per_class=6&exclude={path}")


def test_what_was_listed_for_the_base_holds_for_its_clusters(clustered, listed, lake):
    spec = clustered(ROWS)
    path = listed(["b/1.JPG", "c/z.png"], source=f"images:{lake}")  # the second is in no cluster
    dataset = open_dataset(f"{spec}?exclude={path}")
    assert list(dataset.ids) == ["a/y.png", "b/2.png", "top.webp"]
    assert "not of clusters:" in refused(f"{spec}?exclude={listed(['b/1.JPG'], source='images:elsewhere')}")
    assert "'c/z.png' is no image of clusters:" in refused(f"{spec}?exclude={listed(['c/z.png'], source=spec)}")


def test_wrong_lists_are_refused(lake, listed, tmp_path):
    path = listed(["b/1.JPG", "b/9.png"])
    assert f"{path}, line 4: 'b/9.png' is no image of images:{lake}; remove the line" in refused(
        f"images:{lake}?exclude={path}"
    )
    assert "no such file: " in (said := refused(f"images:{lake}?exclude={tmp_path / 'none.csv'}"))
    assert "expected a table with a column id, as transfer duplicates writes it" in said
    path.write_text("name\nx\n")
    assert "column 'id' must stand in the header once" in refused(f"images:{lake}?exclude={path}")


def test_the_files_of_a_dataset_include_those_of_its_base(clustered, lake, listed):
    out = listed(["c/z.png"])
    spec = clustered(ROWS, base=f"images:{lake}?exclude={out}")
    again = listed([], "again.csv")
    files = list(files_of(DatasetSpec.parse(f"{spec}?exclude={again}")))
    assert [file.name for file in files] == ["clusters.csv", "again.csv", "list.csv"]
