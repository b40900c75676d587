"""``images:``, ``clusters:`` and ``?exclude=``: what has no labels, what got some, and what is left out."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.infrastructure.tables import write_table
from features.readers import open_dataset
from features.readers.exclusion import files_of
from features.readers.schemes.clusters import write_clusters


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)


def refused(spec):
    with pytest.raises(InputError) as caught:
        open_dataset(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def lake(tmp_path):
    """A folder of images at several depths, and things that are none."""
    for shade, name in enumerate(("b/2.png", "b/1.JPG", "a/deep/er/x.Jpeg", "top.webp", "a/y.png", "c/z.png")):
        picture(tmp_path / "lake" / name, 40 * shade)
    (tmp_path / "lake" / "notes.txt").write_text("no image")
    picture(tmp_path / "lake" / ".hidden" / "1.jpg")
    (tmp_path / "lake" / "empty").mkdir()
    return tmp_path / "lake"


IDS = ["a/deep/er/x.Jpeg", "a/y.png", "b/1.JPG", "b/2.png", "c/z.png", "top.webp"]

# images:


def test_every_image_below_a_folder_is_of_one_class(lake):
    dataset = open_dataset(f"images:{lake}")
    assert dataset.classes == ("unlabelled",) and dataset.counts.tolist() == [6]
    assert list(dataset.ids) == IDS
    assert dataset.image(3).getpixel((0, 0)) == (0, 0, 0) and dataset.image(5).size == (4, 4)
    assert open_dataset(f"images:{lake}?per_class=2").counts.tolist() == [2]


def test_images_are_found_as_folder_finds_them(lake):
    (lake / "b" / "gone.jpg").symlink_to(lake / "nowhere.jpg")  # listed: reading it says so
    (lake / "c" / "up").symlink_to(lake)  # a loop
    (lake / "a" / "more").symlink_to(lake / "b")
    found = list(open_dataset(f"images:{lake}").ids)
    assert found == sorted([*IDS, "b/gone.jpg", "a/more/1.JPG", "a/more/2.png", "a/more/gone.jpg"])
    (lake / "lost").symlink_to(lake / "nowhere")
    assert "lost is a broken link, perhaps to a folder of images" in refused(f"images:{lake}")


def test_what_is_no_folder_of_images_is_refused(lake):
    assert "no such directory: " in refused(f"images:{lake / 'none'}")
    assert "not a directory: " in refused(f"images:{lake / 'notes.txt'}")
    assert "holds no image; expected files with endings such as .jpg" in refused(f"images:{lake / 'empty'}")
    assert "images has no splits; leave @train out" in refused(f"images:{lake}@train")
    assert "images needs a location; type images:DIR" in refused("images:")
    assert "images has no option 'names'" in refused(f"images:{lake}?names=x")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list any folder")
def test_a_folder_that_cannot_be_listed_is_named(lake):
    (lake / "b").chmod(0)
    try:
        assert f"{lake / 'b'} cannot be listed: Permission denied" in refused(f"images:{lake}")
    finally:
        (lake / "b").chmod(0o755)


# clusters:


@pytest.fixture
def clustered(lake, tmp_path):
    """A function that writes which cluster each image is in, and returns the spec."""

    def make(rows, base=None, manifest=None):
        base = base or f"images:{lake}"
        path = tmp_path / "clusters.csv"
        write_clusters(path, base, manifest or open_dataset(base).manifest_sha256, rows, {"seed": 0})
        return f"clusters:{path}"

    return make


ROWS = [("b/1.JPG", "cluster 0001"), ("a/y.png", "cluster 0000"), ("top.webp", "cluster 0001"), ("b/2.png", "rest, 2")]


def test_clusters_relabel_the_images_that_they_list(clustered):
    spec = clustered(ROWS)
    dataset = open_dataset(spec)
    assert dataset.spec == spec
    assert dataset.classes == ("cluster 0000", "cluster 0001", "rest, 2")
    assert list(dataset.ids) == ["a/y.png", "b/1.JPG", "b/2.png", "top.webp"]  # in the base's order
    assert dataset.labels.tolist() == [0, 1, 2, 1]
    assert dataset.image(1).getpixel((0, 0))[0] == pytest.approx(40, abs=3)  # a JPEG of shade 40
    assert len(dataset.manifest_sha256) == 64
    assert open_dataset(f"{spec}?per_class=1").counts.tolist() == [1, 1, 1]
    moved = open_dataset(clustered([(id_, "rest, 2") for id_, _ in ROWS]))
    assert moved.manifest_sha256 != dataset.manifest_sha256


@pytest.mark.parametrize("base", ["digits:@test", "digits:@train?per_class=3&seed=2"])
def test_any_dataset_can_be_the_base(base, clustered):
    whole = open_dataset(base)
    dataset = open_dataset(clustered([(id_, f"cluster {i % 2}") for i, id_ in enumerate(whole.ids)], base))
    assert list(dataset.ids) == list(whole.ids)
    assert dataset.labels.tolist() == [i % 2 for i in range(len(whole))]
    assert (np.asarray(dataset.image(7)) == np.asarray(whole.image(7))).all()


def test_clusters_can_be_clustered_again(clustered, lake, tmp_path):
    first = clustered(ROWS)
    again = tmp_path / "again.csv"
    write_clusters(again, first, open_dataset(first).manifest_sha256, [("top.webp", "x"), ("a/y.png", "y")], {})
    assert open_dataset(f"clusters:{again}").counts.tolist() == [1, 1]


def test_what_has_changed_since_is_refused(clustered, lake):
    spec = clustered(ROWS)
    picture(lake / "c" / "new.png")
    assert f"images:{lake} has changed since it was clustered; extract it again" in refused(spec)
    (lake / "c" / "new.png").unlink()
    assert len(open_dataset(spec)) == 4
    Image.new("RGB", (50, 40)).save(lake / "c" / "z.png")  # an image that is in no cluster
    assert "has changed since it was clustered" in refused(spec)


def test_wrong_files_of_clusters_are_refused(clustered, lake, tmp_path):
    path = tmp_path / "clusters.csv"
    assert f"no such file: {path}; expected a file that transfer cluster has written" in refused(f"clusters:{path}")
    spec = clustered([*ROWS, ("b/1.JPG", "cluster 0000")])
    assert "line 7: the image 'b/1.JPG' is in another cluster already" in refused(spec)
    assert "lists 'c/w.png', which is no image of images:" in refused(clustered([*ROWS, ("c/w.png", "cluster 0000")]))
    assert "line 7: cluster is empty" in refused(clustered([*ROWS, ("c/z.png", "")]))
    assert "clusters has no splits" in refused(f"{clustered(ROWS)}@train")
    gone = refused(clustered(ROWS, base=f"images:{lake}", manifest="0")).replace(str(lake), "LAKE")
    assert "images:LAKE has changed since it was clustered" in gone
    path.write_text(path.read_text().replace(str(lake), "nowhere"))
    assert "its base dataset cannot be opened: dataset spec 'images:nowhere': no such" in refused(spec)
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert "does not name the dataset and its manifest_sha256" in refused(spec)
    path.write_text(f"# {json.dumps({'dataset': spec, 'manifest_sha256': '0'})}\nid,cluster\na,b\n")
    assert "names itself as its base dataset" in refused(spec)
    with pytest.raises(InputError, match="names itself as its base dataset"):
        list(files_of(DatasetSpec.parse(spec)))
    path.write_text(f"# {json.dumps({'dataset': f'images:{lake}', 'manifest_sha256': '0'})}\nid,klass\na,b\n")
    assert "column 'cluster' must stand in the header once" in refused(spec)


def test_the_files_of_a_dataset_include_those_of_its_base(clustered, lake, listed):
    out = listed(["c/z.png"])
    spec = clustered(ROWS, base=f"images:{lake}?exclude={out}")
    again = listed([], "again.csv")
    files = list(files_of(DatasetSpec.parse(f"{spec}?exclude={again}")))
    assert [file.name for file in files] == ["clusters.csv", "again.csv", "list.csv"]


# ?exclude=


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
