"""``inat:``."""

import copy
import json
import time

import pytest
from PIL import Image

from features.infrastructure.errors import InputError
from features.readers import open_dataset

CONTENT = {
    "info": {"year": 2018},
    "images": [
        {"id": 30, "file_name": "train/Aves/7/x.jpg", "license": 1},
        {"id": 10, "file_name": "train/Aves/9/y.jpg", "license": 1},
        {"id": 20, "file_name": "train/Plantae/12/z.jpg", "license": 1},
        {"id": 40, "file_name": "train/unlabelled.jpg", "license": 1},
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 9},
        {"id": 2, "image_id": 20, "category_id": 12},
        {"id": 3, "image_id": 30, "category_id": 7},
        {"id": 4, "image_id": 10, "category_id": 9},
    ],
    "categories": [
        {"id": 12, "name": "Erica", "supercategory": "Plantae"},
        {"id": 7, "name": "Erica", "supercategory": "Aves"},
        {"id": 9, "name": "Parus major", "supercategory": "Aves"},
        {"id": 11, "name": "never seen", "supercategory": "Aves"},
    ],
}


@pytest.fixture
def opened(tmp_path):
    def opened(change=lambda content: None, options=""):
        content = copy.deepcopy(CONTENT)
        change(content)
        (tmp_path / "train.json").write_text(json.dumps(content))
        return open_dataset(f"inat:{tmp_path / 'train.json'}{options}")

    return opened


def test_ids_are_looked_up_and_unused_categories_left_out(opened):
    dataset = opened()
    assert dataset.classes == ("Aves/Erica", "Parus major", "Plantae/Erica")
    assert list(dataset.ids) == ["train/Aves/7/x.jpg", "train/Aves/9/y.jpg", "train/Plantae/12/z.jpg"]
    assert dataset.labels.tolist() == [0, 1, 2]


def test_names_that_repeat_even_with_their_supercategory_get_their_id(opened):
    def same(content):
        content["categories"][0]["supercategory"] = "Aves"

    assert opened(same).classes == ("Aves/Erica (7)", "Parus major", "Aves/Erica (12)")

    def none(content):
        for category in content["categories"]:
            del category["supercategory"]

    assert opened(none).classes == ("Erica (7)", "Parus major", "Erica (12)")


def test_root(opened, tmp_path):
    path = tmp_path / "pictures" / "train" / "Aves" / "7" / "x.jpg"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (4, 3)).save(path)
    assert opened(options=f"?root={tmp_path / 'pictures'}").image(0).size == (4, 3)


def add(name, /, **entry):
    return lambda content: content[name].append(entry)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (add("annotations", image_id=99, category_id=9), "an annotation names image 99, which is not among the images"),
        (
            add("annotations", image_id=40, category_id=5),
            "the annotation of image 40 names category 5, which is not listed",
        ),
        (add("annotations", image_id=10, category_id=7), "image 10 has annotations of several categories (9 and 7)"),
        (add("annotations", image_id=10), "entry 4 of annotations lacks one of category_id, image_id"),
        (
            add("annotations", image_id=10, category_id=[9]),
            "entry 4 of annotations has the category_id [9]; expected a",
        ),
        (
            add("annotations", image_id={}, category_id=9),
            "entry 4 of annotations has the image_id {}; expected a number",
        ),
        (add("images", id=None, file_name="w.jpg"), "images has the id None; expected a number or a word"),
        (add("images", id=77, file_name=5), "images has the file_name 5; expected a path"),
        (add("categories", id=77, name=["a"]), "categories has the name ['a']; expected a number or a word"),
        (
            lambda content: [
                add("images", id=77, file_name="./train/Aves/9/y.jpg")(content),
                add("annotations", image_id=77, category_id=7)(content),
            ],
            "the image train/Aves/9/y.jpg is listed in two classes",
        ),
        (add("images", id=10, file_name="w.jpg"), "the id 10 occurs twice among the images"),
        (add("categories", id=12, name="w"), "the id 12 occurs twice among the categories"),
        (lambda content: content["annotations"].clear(), "has no annotations, so no labels"),
        (
            lambda content: content.pop("categories"),
            "has no list 'categories'; expected images, annotations and categories",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(opened, change, said):
    with pytest.raises(InputError) as caught:
        opened(change)
    assert said in str(caught.value)


def test_what_is_no_such_json_is_refused(opened, tmp_path):
    for text, said in (("{", "is not JSON"), ("[1]", "has no list 'images'")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=said):
            open_dataset(f"inat:{tmp_path / 'x.json'}")
    with pytest.raises(InputError, match="no such file"):
        open_dataset(f"inat:{tmp_path / 'none.json'}")
    with pytest.raises(InputError, match="inat has no splits"):
        opened(options="@train")


def test_time_grows_with_the_number_of_annotations_only(tmp_path):
    # A nested loop over 60,000 images and as many annotations would take minutes.
    n, classes = 60_000, 3_000
    content = {
        "images": [{"id": 7 * i, "file_name": f"{i}.jpg"} for i in range(n)],
        "annotations": [{"image_id": 7 * i, "category_id": i * 13 % classes} for i in reversed(range(n))],
        "categories": [{"id": i, "name": f"species {i}"} for i in range(classes)],
    }
    (tmp_path / "big.json").write_text(json.dumps(content))
    start = time.perf_counter()
    dataset = open_dataset(f"inat:{tmp_path / 'big.json'}")
    assert time.perf_counter() - start < 5
    assert dataset.labels.tolist() == [i * 13 % classes for i in range(n)]
