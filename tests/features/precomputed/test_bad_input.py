"""Every fault of a file of features is one line that says what, where, and what to do; nothing is written."""

import pickle
import zipfile

import numpy as np
import pytest

from features import ExtractConfig, InputError, extract

FEATURES = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
LABELS = np.array(["a", "b"])[np.arange(600) % 2]


@pytest.fixture
def refused(tmp_path):
    """A function that extracts a spec, which must be refused with one line, and returns it."""

    def line(spec, **options):
        out = tmp_path / "bank.h5"
        with pytest.raises(InputError) as caught:
            extract(ExtractConfig(spec, str(out), **options))
        assert "\n" not in str(caught.value) and not out.exists()
        return str(caught.value)

    return line


def changed(row, value, dtype=np.float32):
    features = FEATURES.astype(dtype)
    features[row, 1] = value
    return features


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5"])
class TestColumns:
    def test_a_column_that_is_not_there(self, kind, save, refused):
        spec = save(kind, {"clip": FEATURES, "species": LABELS})
        for option in ("feature=dino&label=species", "label=dino", "id=dino"):
            line = refused(f"{spec}?{option}")
            assert "dino: " in line and "has no such column or array; it holds " in line
            assert "clip (" in line and "species (text)" in line

    def test_several_columns_can_be_meant(self, kind, save, refused):
        spec = save(kind, {"clip": FEATURES, "dino": FEATURES, "species": LABELS})
        assert refused(spec).endswith("say which column holds the feature with ?feature=NAME, one of clip, dino")
        spec = save(kind, {"clip": FEATURES, "species": LABELS, "genus": LABELS})
        line = refused(spec)
        assert "say which column holds the label with ?label=NAME" in line and "genus" in line

    def test_no_column_can_be_meant(self, kind, save, refused):
        assert "has no features: rows of floats; it holds species (text)" in refused(save(kind, {"species": LABELS}))
        line = refused(save(kind, {"clip": FEATURES}))
        assert "has no column of labels; name one with ?label=NAME" in line and "label=none" in line

    def test_a_text_column_as_feature(self, kind, save, refused):
        line = refused(save(kind, {"clip": FEATURES, "species": LABELS}) + "?feature=species&label=species")
        assert "feature=species holds text; expected features: rows of floats" in line

    def test_labels_that_are_floats(self, kind, save, refused):
        line = refused(save(kind, {"clip": FEATURES, "species": np.arange(600) / 2}) + "?label=species")
        assert "label=species holds " in line and "expected labels: one text or whole number a row" in line

    def test_features_as_labels(self, kind, save, refused):
        assert "label=clip holds " in refused(save(kind, {"clip": FEATURES}) + "?label=clip")

    def test_negative_labels(self, kind, save, refused):
        line = refused(save(kind, {"clip": FEATURES, "label": np.arange(600) - 2}) + "?label=label")
        assert "row 0 has the label -2; expected whole numbers of at least 0" in line

    def test_ids_that_are_twice_there(self, kind, save, refused):
        ids = np.array([f"im{min(i, 597)}" for i in range(600)])
        line = refused(save(kind, {"clip": FEATURES, "label": LABELS, "name": ids}) + "?label=label&id=name")
        assert "the id 'im597' stands in the rows 597 and 598; give each row its own, or leave id=… out" in line

    def test_no_rows_and_no_features(self, kind, save, refused):
        line = refused(save(kind, {"clip": FEATURES[:0], "label": LABELS[:0]}) + "?label=label&feature=clip")
        assert "is empty: 'clip' has no rows" in line
        line = refused(save(kind, {"clip": FEATURES[:, :0], "label": LABELS}) + "?label=label&feature=clip")
        assert "feature=clip has rows of no features; expected at least one float a row" in line

    @pytest.mark.parametrize(
        ("value", "dtype", "fault"),
        [
            (np.nan, np.float32, "holds NaN; remove the row or compute it again"),
            (np.inf, np.float32, "holds infinity; remove the row"),
            (-np.inf, np.float16, "holds infinity in float16, whose largest number is 65,504; save float32"),
            (1e39, np.float64, "holds numbers that are too large for float32; scale the features"),
        ],
    )
    def test_a_feature_that_is_not_finite(self, kind, save, refused, value, dtype, fault):
        spec = save(kind, {"clip": changed(555, value, dtype), "label": LABELS})
        assert f"row 555 of the column 'clip' {fault}" in refused(spec + "?label=label")
        assert f"row 555 of the column 'clip' {fault}" in refused(spec + "?label=label&per_class=290&seed=1")

    def test_names_of_classes_that_have_names(self, kind, save, refused):
        line = refused(save(kind, {"clip": FEATURES, "label": LABELS}) + "?label=label&names=n.txt")
        assert "names=… names classes that are whole numbers" in line

    def test_a_split_that_is_not_there(self, kind, save, refused):
        arrays = {"clip": FEATURES, "label": LABELS}
        assert "has no column split; leave @train out" in refused(save(kind, arrays) + "@train")
        spec = save(kind, arrays | {"split": np.array(["train", "val"])[np.arange(600) % 2]})
        assert "unknown split 'vla'; did you mean val?" in refused(spec + "@vla?label=label")


@pytest.mark.parametrize("kind", ["npy", "npz", "parquet", "h5", "safetensors"])
class TestFiles:
    def test_a_file_of_something_else(self, kind, tmp_path, refused):
        path = tmp_path / f"x.{kind}"
        assert f"no such file: {path}" in refused(f"features:{path}?label=none")
        path.mkdir()
        assert f"not a file: {path}" in refused(f"features:{path}?label=none")
        path.rmdir()
        path.write_bytes(b"")
        assert f"{path} is empty" in refused(f"features:{path}?label=none")
        path.write_bytes(b"nothing of the kind" * 9)
        assert f"{path}: not a readable" in refused(f"features:{path}?label=none")

    def test_a_damaged_file(self, kind, save, refused):
        spec = save(kind, {"feature": FEATURES})
        path = spec.removeprefix("features:")
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(content[: len(content) // 2])
        assert path in refused(spec + "?label=none")


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_damage_that_shows_while_rows_are_read(kind, save, refused, tmp_path):
    spec = save(kind, {"feature": np.repeat(FEATURES, 20, axis=0), "label": np.zeros(12000, int)}) + "?label=label"
    path = tmp_path / f"emb.{kind}"
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 2000] = b"\x3f" * 2000
    path.write_bytes(bytes(content))
    assert f"{path}: not a readable" in refused(spec)


def test_an_ending_that_is_not_known(tmp_path, refused):
    (tmp_path / "emb.csv").write_text("1,2")
    line = refused(f"features:{tmp_path / 'emb.csv'}")
    assert all(ending in line for ending in (".npy", ".npz", ".parquet", ".h5", ".safetensors"))


@pytest.mark.parametrize("objects", [FEATURES.astype(object), np.array(["a", None] * 300, dtype=object)])
def test_pickles_are_not_read(objects, tmp_path, save, refused):
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    line = refused(f"features:{tmp_path / 'objects.npy'}?label=none")
    assert "holds Python objects (a pickle), which are not read, because a pickle can run code" in line
    spec = save("npy", {"feature": FEATURES})
    assert "holds Python objects (a pickle)" in refused(f"{spec}?label={tmp_path / 'objects.npy'}")
    np.savez(tmp_path / "objects.npz", clip=FEATURES, label=objects, allow_pickle=True)
    assert "label=label holds " in refused(f"features:{tmp_path / 'objects.npz'}?label=label")
    (tmp_path / "p.npy").write_bytes(pickle.dumps(FEATURES))
    assert "not a readable .npy file" in refused(f"features:{tmp_path / 'p.npy'}?label=none")


def test_the_wrong_number_of_labels(tmp_path, save, refused):
    spec = save("npy", {"feature": FEATURES})
    (tmp_path / "labels.txt").write_text("\n".join(LABELS[:599]))
    line = refused(f"{spec}?label={tmp_path / 'labels.txt'}")
    assert f"{tmp_path / 'labels.txt'} has 599 values, but " in line and "has 600 rows; give one a row" in line
    (tmp_path / "labels.txt").write_text("a\n\nb\n" * 200)
    assert "labels.txt, line 2: is empty; give one value a line" in refused(f"{spec}?label={tmp_path / 'labels.txt'}")
    np.save(tmp_path / "labels.npy", np.arange(600.0))
    assert "holds float64 of shape (600,)" in refused(f"{spec}?label={tmp_path / 'labels.npy'}")


def test_ragged_lists_and_missing_values_of_parquet(tmp_path, refused):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, lists, labels = tmp_path / "x.parquet", FEATURES.tolist(), LABELS.tolist()

    def line(lists, labels):
        parquet.write_table(
            arrow.table({"clip": arrow.array(lists, arrow.list_(arrow.float32())), "label": labels}), path
        )
        return refused(f"features:{path}?label=label")

    ragged = [*lists[:577], lists[577][:3], *lists[578:]]
    assert "row 577 of the column 'clip' has 3 features, row 0 has 4; every row needs as many" in line(ragged, labels)
    assert "row 577 has no value in the column 'clip'" in line([*lists[:577], None, *lists[578:]], labels)
    assert "row 0 has no value in the column 'clip'" in line([None, *lists[1:]], labels)
    assert "row 9 has no value in the column 'label'" in line(lists, [*labels[:9], None, *labels[10:]])
    holed = [*lists[:9], [1.0, None, 1.0, 1.0], *lists[10:]]
    assert "row 9 of the column 'clip' holds NaN" in line(holed, labels)
    parquet.write_table(arrow.table({"clip": lists, "label": arrow.array([1.0, None] * 300)}), path)
    line_of_floats = refused(f"features:{path}?label=label")
    assert "label=label holds double (whole numbers become floats where one is missing)" in line_of_floats


def test_one_class_is_a_bank(save, bank_of):
    assert bank_of(save("npz", {"clip": FEATURES, "label": np.zeros(600, int)}) + "?label=label").classes == (
        "class_0",
    )


def test_options_of_other_kinds_and_slips(save, refused):
    spec = save("npz", {"clip": FEATURES, "label": LABELS})
    assert "features has no option 'labels'; did you mean label?" in refused(spec + "?labels=label")


@pytest.mark.parametrize(
    "options",
    [
        {"backbone": "resnet50"},
        {"weights": "none"},
        {"image_size": 64},
        {"device": "cpu"},
        {"precision": "fp32"},
        {"workers": 0},
        {"batch_size": 5},
        {"seed": 1},
        {"on_error": "fail"},
        {"max_unreadable": 0.5},
    ],
)
def test_options_about_networks_and_images_are_refused(save, refused, options):
    spec = save("npz", {"clip": FEATURES, "label": LABELS}) + "?label=label"
    line = refused(spec, **options)
    assert line.startswith(f"`{next(iter(options))}` ") and "are computed already, without a network" in line


def test_a_bank_is_no_file_of_features(save, bank_of, refused, tmp_path):
    bank_of(save("npz", {"clip": FEATURES, "label": LABELS}) + "?label=label", "made")
    assert "is a feature bank already" in refused(f"features:{tmp_path / 'made.h5'}?label=none")


def test_pyarrow_is_an_extra(save, refused, monkeypatch):
    pytest.importorskip("pyarrow")
    spec = save("parquet", {"clip": FEATURES, "label": LABELS})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert 'run pip install "transfer-toolkit[parquet]"' in refused(spec)


def test_two_columns_of_one_name(refused, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = arrow.array(list(FEATURES)), arrow.array(LABELS), arrow.array(LABELS)
    parquet.write_table(
        arrow.Table.from_arrays(list(rows), names=["feature", "label", "label"]), tmp_path / "a.parquet"
    )
    assert "two of its columns are called 'label'" in refused(f"features:{tmp_path / 'a.parquet'}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(refused, tmp_path):
    np.savez(tmp_path / "a.npz", feature=FEATURES, label=LABELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("feature.npy", archive.read("feature.npy"))
    assert "two of its arrays are called 'feature'" in refused(f"features:{tmp_path / 'a.npz'}")
