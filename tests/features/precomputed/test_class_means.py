"""Files of one row a class become banks of what they know."""

import numpy as np
import pytest

from features import ExtractConfig, InputError, extract, open_dataset

GENERATOR = np.random.default_rng(0)
MEANS = GENERATOR.normal(size=(1500, 5)).astype(np.float32)
NAMES = np.array([f"class {i:04d}" for i in range(1500)])
COUNTS = np.arange(1500) % 7 + 1
VARIANCES = GENERATOR.random((1500, 5)).astype(np.float32)
COVARIANCE = np.cov(GENERATOR.normal(size=(5, 40))).astype(np.float32)


@pytest.mark.parametrize("kind", ["npz", "parquet", "h5"])
def test_means_with_names_and_counts(kind, save, bank_of):
    spec = save(kind, {"m": MEANS, "n": NAMES, "c": COUNTS, "v": VARIANCES})
    bank = bank_of(f"{spec}?means=m&names=n&model=clip")
    assert bank.classes == tuple(NAMES.tolist()) and bank.statistics == ("mean",)
    np.testing.assert_array_equal(bank.means, MEANS)
    counted = bank_of(f"{spec}?means=m&names=n&counts=c&variances=v&model=clip", "counted")
    assert counted.statistics == ("count", "mean", "variance")
    np.testing.assert_array_equal(counted.counts, COUNTS)
    np.testing.assert_array_equal(counted.variances, VARIANCES)
    counted.require_comparable(bank)


def test_the_covariance_of_npz(save, bank_of):
    spec = save("npz", {"m": MEANS, "c": COUNTS, "s": COVARIANCE})
    bank = bank_of(f"{spec}?means=m&counts=c&covariance=s")
    assert bank.statistics == ("count", "mean", "covariance") and bank.classes[:2] == ("class_0", "class_1")
    np.testing.assert_array_equal(bank.within_covariance, COVARIANCE)


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_names_and_counts_in_second_files(kind, save, bank_of, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    np.save(tmp_path / "counts.npy", COUNTS)
    spec = save(kind, {"feature": MEANS})
    bank = bank_of(f"{spec}?means=feature&names={tmp_path / 'names.txt'}&counts={tmp_path / 'counts.npy'}")
    assert bank.classes == tuple(NAMES.tolist()) and bank.images_in == COUNTS.sum()


def test_names_that_are_twice_there_are_told_apart(save, bank_of):
    spec = save("npz", {"m": MEANS[:3], "n": np.array(["crane", "hen", "crane"])})
    assert bank_of(f"{spec}?means=m&names=n").classes == ("crane (0)", "hen", "crane (2)")


def test_the_bank_is_reused_and_a_changed_file_is_not_served(save, tmp_path):
    spec = save("npz", {"m": MEANS}) + "?means=m&model=clip"
    config = ExtractConfig(spec, str(tmp_path / "bank.h5"))
    first = extract(config)
    assert (first.images, first.classes, first.reused) == (None, 1500, False) and extract(config).reused
    save("npz", {"m": MEANS + 1})
    with pytest.raises(InputError, match=r"holds another bank \(manifest_sha256 is "):
        extract(config)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("means=x", "means=x: .* has no such column or array; it holds m "),
        ("means=n", "means=n holds text; expected features"),
        ("means=m&names=few", "names=few has 9 values, but .* has 1500 rows"),
        ("means=m&counts=n", "counts=n holds class 0000; expected whole numbers of at least 1"),
        ("means=m&counts=zero", "counts=zero holds 0; expected whole numbers of at least 1"),
        ("means=m&variances=v", "variances and covariance need counts=NAME"),
        ("means=m&counts=c&variances=m", "variances=m: expected .1500, 5. numbers of at least 0"),
        ("means=m&counts=c&covariance=m", "the covariance has the shape .1500, 5.; expected .5, 5., symmetric"),
        ("means=hole", "row 3 of the column 'hole' holds NaN"),
        ("means=m&per_class=3", "per_class=… is for files of one row an image, and this one holds class means"),
        ("means=m&label=n", "label=… is for files of one row an image"),
        ("means=m&nmes=n", "features has no option 'nmes'; did you mean names"),
    ],
)
def test_bad_input_is_one_line(save, tmp_path, query, line):
    hole = MEANS.copy()
    hole[3, 2] = np.nan
    arrays = {"m": MEANS, "n": NAMES, "c": COUNTS, "v": VARIANCES, "hole": hole, "few": NAMES[:9], "zero": COUNTS - 1}
    with pytest.raises(InputError, match=line) as caught:
        extract(ExtractConfig(f"{save('npz', arrays)}?{query}", str(tmp_path / "bank.h5")))
    assert "\n" not in str(caught.value) and not (tmp_path / "bank.h5").exists()


@pytest.mark.parametrize("options", [{"keep_images": True}, {"shard": "1/2"}, {"backbone": "resnet18"}, {"seed": 2}])
def test_options_about_images_are_refused(save, tmp_path, options):
    with pytest.raises(InputError, match=f"^`{next(iter(options))}`.*leave it out"):
        extract(ExtractConfig(save("npz", {"m": MEANS}) + "?means=m", str(tmp_path / "bank.h5"), **options))


def test_class_means_are_no_dataset_of_rows(save):
    with pytest.raises(InputError, match="it holds class means, not one row an image"):
        open_dataset(save("npz", {"m": MEANS}) + "?means=m", images=False)
    with pytest.raises(InputError, match="features has no images, and here they are needed"):
        open_dataset(save("npz", {"m": MEANS}) + "?means=m")
