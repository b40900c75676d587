"""The folder of the hub, as timm loads it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from features.preprocessing import Preprocessing
from finetune.exporting import FORMATS, export_classifier
from finetune.exporting.formats.hub import crop_share


@pytest.mark.parametrize(
    ("name", "architecture", "image_size"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0", 64),
        ("resnet18", "resnet18", 64),
        ("mobilenet_v3_small", "mobilenetv3_small_100", 64),
        ("resnet10t.c3_in1k", "resnet10t", 64),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224", 96),
        ("tf_efficientnetv2_b0", "tf_efficientnetv2_b0", 64),
    ],
)
def test_timm_loads_it_in_one_line(classifier, export_of, tmp_path, name, architecture, image_size):
    model = classifier(name, image_size=image_size)
    done = export_classifier(FORMATS["hub"], export_of(model, 3.0), tmp_path / "m")
    assert {entry.name for entry in done.path.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    loaded = timm.create_model(f"local-dir:{done.path}", pretrained=True).eval()
    config = json.loads((done.path / "config.json").read_text())
    assert config["architecture"] == architecture and config["num_classes"] == loaded.num_classes == 5
    assert tuple(loaded.pretrained_cfg["label_names"]) == model.classes
    # From a picture on, by timm's own transform.
    pixels = np.random.default_rng(0).integers(64, 192, (150, 210, 3)).astype(np.uint8)
    image, recipe = Image.fromarray(pixels), model.backbone.preprocessing
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(loaded), is_training=False)
    mine, theirs = recipe.normalize(recipe.pixels(image)[None]), transform(image)[None]
    assert (mine - theirs).abs().max() < 1.01 / 255 / min(recipe.std)  # one step of the intensities
    with torch.no_grad():
        torch.testing.assert_close(loaded(theirs), 3 * model(theirs), rtol=1e-4, atol=1e-4)
        # The same from the library's name for it, with another classifier.
        assert timm.create_model(f"local-dir:{done.path}", pretrained=True, num_classes=2)(theirs).shape == (1, 2)


def test_a_squashed_image_stays_squashed(classifier, export_of, tmp_path):
    model = classifier("resnet10t", image_size=64)
    model.backbone.preprocessing = Preprocessing(64, 73, "bicubic", squash=True)
    path = export_classifier(FORMATS["hub"], export_of(model), tmp_path / "m").path
    config = timm.data.resolve_model_data_config(timm.create_model(f"local-dir:{path}", pretrained=True))
    image = Image.fromarray(np.random.default_rng(0).integers(64, 192, (150, 210, 3)).astype(np.uint8))
    recipe = model.backbone.preprocessing
    theirs = timm.data.create_transform(**config, is_training=False)(image)
    assert (recipe.normalize(recipe.pixels(image)[None])[0] - theirs).abs().max() < 1.01 / 255 / min(recipe.std)


def test_the_share_of_the_crop_gives_the_resize():
    for size in range(1, 400):
        for resize in range(size, size + 200, 7):
            assert math.floor(size / crop_share(Preprocessing(size, resize))) == resize
