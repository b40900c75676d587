"""``clusters:``: another dataset, labelled by cluster."""

import json

import numpy as np
import pytest
from PIL import Image
from support import picture, refused

from features.dataset_spec import DatasetSpec
from features.infrastructure.errors import InputError
from features.readers import open_dataset
from features.readers.schemes.clusters import write_clusters
from features.readers.spec_options import files_of

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


def test_files_that_name_each_other_are_refused(lake, tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    write_clusters(one, f"clusters:{other}", "0", ROWS, {})
    write_clusters(other, f"clusters:{one}", "0", ROWS, {})
    assert f"{one} names itself as its base dataset through other files; cluster the bank again" in refused(
        f"clusters:{one}"
    )
    with pytest.raises(InputError, match="names itself as its base dataset through"):
        list(files_of(DatasetSpec.parse(f"clusters:{one}")))
    last = tmp_path / "last.csv"  # it leads into the circle, without a part in it
    write_clusters(last, f"clusters:{one}", "0", ROWS, {})
    assert "names itself as its base dataset" in refused(f"clusters:{last}")
