"""Vision models of transformers: tiny random ones of each kind, against the library's own forward pass and input."""

from __future__ import annotations

import builtins
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from finetune.model import ImageClassifier

transformers = pytest.importorskip("transformers")

VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VISION |= {"image_size": 32, "patch_size": 8}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 100}
TEXT |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
DINO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
DINO |= {"image_size": 32, "patch_size": 8}
SQUARE, SHORTER = {"height": 32, "width": 32}, {"shortest_edge": 40}


def made(kind):
    """A random model of a kind, its image processor, and what its authors take for features."""
    t = transformers
    if kind == "vit":
        model, processor = t.ViTModel(t.ViTConfig(**VISION)), t.ViTImageProcessor(size=SQUARE)
        return model, processor, lambda m, x: m(pixel_values=x).last_hidden_state[:, 0]
    if kind == "dinov2":
        model = t.Dinov2Model(t.Dinov2Config(**DINO))
        processor = t.BitImageProcessor(size=SHORTER, crop_size=SQUARE)
        return model, processor, lambda m, x: m.layernorm(m(pixel_values=x, output_hidden_states=True)[2][-1])[:, 0]
    if kind == "clip":
        model = t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16))
        processor = t.CLIPImageProcessor(size=SHORTER, crop_size=SQUARE)
        return model, processor, lambda m, x: m.vision_model(pixel_values=x).pooler_output
    model = t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=VISION))
    return model, t.SiglipImageProcessor(size=SQUARE), lambda m, x: m.vision_model(pixel_values=x).pooler_output


@pytest.fixture
def save(tmp_path):
    """A function that saves a random model of a kind with its processor: its folder, itself, and its features."""

    def write(kind):
        torch.manual_seed(0)
        model, processor, features = made(kind)
        path = tmp_path / kind
        model.eval().save_pretrained(path)
        processor.save_pretrained(path)
        return path, model, features

    return write


def refused(name):
    with pytest.raises(InputError) as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_pixels_and_features_are_those_of_the_library(kind, save):
    path, model, features = save(kind)
    backbone = load_backbone(str(path)).eval()
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    processor = transformers.AutoImageProcessor.from_pretrained(path, use_fast=False)
    theirs = processor(image, return_tensors="pt")["pixel_values"]
    mine = backbone.preprocessing.normalize(backbone.preprocessing.pixels(image)[None])
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1.01 * 2 / 255 / 0.26)  # one step of the intensities
    with torch.no_grad():
        torch.testing.assert_close(backbone(theirs), features(model, theirs))
    assert backbone.dim == 32 and backbone.name == f"transformers:{path}"
    assert load_backbone(f"transformers:{path}").weights_sha256() == backbone.weights_sha256()


def test_features_of_clip_are_those_before_the_projection(save):
    """As Radford et al. take them for linear probes, and timm's models of CLIP have them."""
    path, model, _ = save("clip")
    backbone, x = load_backbone(str(path)).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        projected = model.visual_projection(backbone(x))
        expected = model.get_image_features(pixel_values=x)
    expected = getattr(expected, "pooler_output", expected)  # from version 5 on
    torch.testing.assert_close(projected, expected)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_another_image_size_and_random_weights(kind, save):
    path, _, _ = save(kind)
    larger = load_backbone(str(path), image_size=64).eval()
    assert larger(torch.zeros(1, 3, 64, 64)).shape == (1, 32) and larger.preprocessing.image_size == 64
    random, again = (load_backbone(str(path), "none", seed=3) for _ in range(2))
    assert random.weights_sha256() == again.weights_sha256() != larger.weights_sha256()


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_a_run_does_not_need_the_folder(kind, save, tmp_path):
    path, _, _ = save(kind)
    donor = load_backbone(str(path)).eval()
    ImageClassifier(donor, ["a", "b"]).save(tmp_path / "last.safetensors", {})
    shutil.rmtree(path)
    found = load_backbone(str(tmp_path / "last.safetensors")).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found(x), donor(x))
    assert found.name == donor.name and found.preprocessing == donor.preprocessing
    assert found.pooling == donor.pooling
    card = (tmp_path / "last.json").read_text()
    assert str(tmp_path) not in json.dumps(json.loads(card)["blueprint"])


def test_every_parameter_that_is_trained_has_a_gradient(save):
    for kind in ("vit", "dinov2", "clip", "siglip"):
        backbone = load_backbone(str(save(kind)[0]))
        backbone(torch.randn(2, 3, 32, 32)).square().sum().backward()
        assert [name for name, one in backbone.named_parameters() if one.requires_grad and one.grad is None] == []


def test_a_vit_keeps_its_published_classifier(tmp_path):
    config = transformers.ViTConfig(**VISION, id2label={0: "auk", 1: "wren", 2: "tern"})
    whole = transformers.ViTForImageClassification(config).eval()
    whole.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    backbone, x = load_backbone(str(tmp_path)).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = torch.nn.functional.linear(backbone(x), *backbone.classifier)
        torch.testing.assert_close(logits, whole(pixel_values=x).logits)
    assert backbone.classes == ("auk", "wren", "tern")


def test_a_folder_that_does_not_fit_is_one_line(save, tmp_path):
    path, _, _ = save("vit")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "its weights do not fit its config.json: 16 tensors are missing" in refused(str(path))
    (path / "config.json").write_text(json.dumps(config | {"model_type": "no-such"}))
    assert "its config.json is not of a model of transformers" in refused(str(path))
    (path / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert "is a bert model; the kinds that are known are vit, dinov2" in refused(str(path))
    (path / "config.json").write_text(json.dumps(config))
    (path / "preprocessor_config.json").unlink()
    assert "its input transform is not stated (preprocessor_config.json is missing)" in refused(str(path))
    transformers.ViTImageProcessor(size=SQUARE, resample=1).save_pretrained(path)  # Lanczos
    assert "its input transform is none of those that are known" in refused(str(path))


def test_an_address_that_cannot_be_reached(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused("transformers:no/such")
    assert message.startswith("backbone transformers:no/such: its published weights could not be loaded")
    assert refused("transformers:") == "backbone transformers:: expected transformers:OWNER/NAME, or transformers:DIR"
    assert f"{tmp_path} holds no config.json" in refused(f"transformers:{tmp_path}")


def test_without_the_package_the_line_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert 'pip install "transfer-toolkit[transformers]"' in refused("transformers:facebook/dinov2-small")
