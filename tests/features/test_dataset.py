"""A labelled set of images: taking some, keeping some classes, joining several."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from features.dataset import ImageDataset, concatenate
from features.image_sources import ArrayImages, FileImages
from features.infrastructure.errors import InputError


def dataset(spec="folder:x", classes=("ant", "bee", "cow"), labels=(2, 0, 1, 2, 0), first=0):
    """Image number i is of shade ``first + i``."""
    shades = np.stack([np.full((2, 2), first + i, np.uint8) for i in range(len(labels))])
    return ImageDataset(
        spec, tuple(classes), np.array(labels), [f"{spec}/{i}" for i in range(len(labels))], ArrayImages(shades)
    )


def content(images):
    """(class name, id, shade) of every image."""
    return [
        (images.classes[label], id_, images.image(i).getpixel((0, 0))[0])
        for i, (label, id_) in enumerate(zip(images.labels, images.ids, strict=True))
    ]


def test_counts_are_of_every_class():
    images = dataset(classes=("ant", "bee", "cow", "dog"))
    assert images.counts.tolist() == [2, 1, 2, 0] and images.counts.dtype == images.labels.dtype == np.int64
    assert len(images) == 5


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"classes": ("a", "b", "a")}, InputError, "folder:x: the class name 'a' occurs twice"),
        ({"labels": [0, 1, 3, 0, 0]}, InputError, "labels run from 0 to 3, but there are 3 classes"),
        ({"labels": [0, 1, -1, 0, 0]}, InputError, "labels run from -1 to 1"),
        ({"labels": [0, 1]}, ValueError, "labels, ids and source must have one length, got 2, 5 and 5"),
        ({"ids": ["one"]}, ValueError, "got 5, 1 and 5"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, error, complaint):
    with pytest.raises(error, match=complaint):
        replace(dataset(), **changes)


def test_take_keeps_label_id_and_image_together():
    images, indices = dataset(), [4, 0, 0, 2]
    taken = images.take(indices)
    assert content(taken) == [content(images)[i] for i in indices]
    assert taken.classes == images.classes and taken.spec == images.spec
    assert taken.counts.tolist() == [1, 1, 2] and images.take(indices, "few").spec == "few"
    assert len(images.take([])) == 0 and images.take([]).counts.tolist() == [0, 0, 0]
    assert content(images.take(np.array([1], dtype=np.int32))) == content(images)[1:2]


@pytest.mark.parametrize(
    ("indices", "complaint"),
    [
        (np.array([True, False, True, False, False]), "indices must be integers, got bool"),
        ([0.0, 1.5], "indices must be integers, got float64"),
        ([0, 5], "indices must be 0 to 4, got 0 to 5"),
        ([-1], "indices must be 0 to 4, got -1 to -1"),
    ],
)
def test_take_refuses_what_are_no_positions(indices, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataset().take(indices)


def test_restrict_relabels_in_the_order_given():
    images = dataset()
    kept = images.restrict(["cow", "ant"])
    assert kept.classes == ("cow", "ant") and kept.labels.tolist() == [0, 1, 0, 1]
    assert content(kept) == [item for item in content(images) if item[0] != "bee"]
    assert content(images.restrict(images.classes)) == content(images)
    assert len(images.restrict([])) == 0


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            ["ant", "wasp", "fly"],
            r"folder:x has no class 'wasp' \(2 of 3 names are unknown\); its 3 classes begin with 'ant'",
        ),
        (["ant", "ant"], "the class name 'ant' occurs twice"),
    ],
)
def test_restrict_refuses_unknown_and_repeated_names(names, complaint):
    with pytest.raises(InputError, match=complaint):
        dataset().restrict(names)


def test_joined_datasets_keep_every_image_and_every_class():
    one, two = dataset(), dataset("folder:y", ("bee", "elk"), (1, 0, 0), first=50)
    both = concatenate([one, two])
    assert both.classes == ("ant", "folder:x/bee", "cow", "folder:y/bee", "elk")
    assert both.spec == "folder:x + folder:y" and both.counts.tolist() == [*one.counts, *two.counts]
    plain = [(name.rpartition("/")[2], id_, shade) for name, id_, shade in content(both)]
    assert plain == content(one) + content(two)
    assert content(both.restrict(["elk", "folder:x/bee"]))[0] == ("folder:x/bee", "folder:x/2", 2)
    assert concatenate([one]) is one
    with pytest.raises(InputError, match="occurs twice"):
        concatenate([one, one])


def test_the_manifest_names_what_is_in_the_dataset():
    images = dataset()
    assert dataset().manifest_sha256 == images.manifest_sha256 and len(images.manifest_sha256) == 64
    assert replace(images, spec="folder:elsewhere").manifest_sha256 == images.manifest_sha256
    others = [
        replace(images, classes=("ant", "bee", "cat")),
        replace(images, labels=np.array([2, 0, 1, 2, 1])),
        replace(images, ids=[*images.ids[:-1], "another"]),
        dataset(first=1),
        images.take(range(4)),
        images.take([1, 0, 2, 3, 4]),
        images.restrict(["ant", "bee"]),
    ]
    assert len({images.manifest_sha256, *(other.manifest_sha256 for other in others)}) == 1 + len(others)


def test_the_manifest_of_files_names_their_sizes_and_is_found_without_decoding(tmp_path):
    path = tmp_path / os_name("caf\xe9.png")
    path.write_bytes(b"not an image")

    def manifest():
        return ImageDataset(
            "folder:x", ("a",), np.array([0]), [path.name], FileImages(tmp_path, [path.name])
        ).manifest_sha256

    before = manifest()
    assert before == manifest()
    Image.new("RGB", (9, 9)).save(path)
    assert manifest() != before


def os_name(text):
    """A file name that is not UTF-8."""
    import os

    return os.fsdecode(text.encode("latin-1"))
