"""``export``: from a run to every format, and to the hub, of which a stand-in runs here."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import fsspec
import numpy as np
import pytest
import timm
import torch
from hub_stand_in import TOKEN, hub
from PIL import Image

from features import FeatureBank, load_backbone
from features.infrastructure.entry_points import LOADED
from finetune.exporting import FORMATS
from finetune.model import ImageClassifier
from transfer.cli import main

OPTIONS = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def run(place, said) -> Path:
    """A linear classifier on the offline backbone, at a small size, made once."""
    out = place / "lite"
    if not (out / "metrics.json").exists():
        given = ["--init", "efficientnet_lite0", "--method", "linear", "--image-size", 64]
        tested = ["--test", "digits:@test?per_class=2"]
        said("fit-classifier", "digits:@train?per_class=3", *given, *tested, "--out", out, *OPTIONS)
    return out


def image() -> Image.Image:
    """A smooth picture that is no square."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((90, 70), Image.Resampling.BICUBIC)


def logits_of(run: Path) -> torch.Tensor:
    model, _ = ImageClassifier.open(run)
    recipe = model.backbone.preprocessing
    with torch.no_grad():
        return model.eval()(recipe.normalize(recipe.pixels(image())[None]))


def by_timm(name: str) -> torch.Tensor:
    model = timm.create_model(name, pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.no_grad():
        return model(transform(image())[None])


def test_what_is_exported_may_go_to_an_address(run, tmp_path, said, refused, memory):
    store, here = fsspec.filesystem("memory"), tmp_path / "model"
    said("export", run, "--format", "hub", "--out", here)
    for _ in range(2):  # a folder that is there is replaced
        said("export", run, "--format", "hub", "--out", f"{memory}/model", "--overwrite")
        there = {path.rpartition("/")[2]: store.cat_file(path) for path in store.find(f"{memory}/model")}
        assert there == {file.name: file.read_bytes() for file in here.iterdir()}
    assert "is there already" in refused("export", run, "--format", "hub", "--out", f"{memory}/model")
    told = refused("export", run, "--format", "hub", "--out", f"{memory}/new", "--push", "ann/birds")
    assert f"--push ann/birds: uploads a folder of the disk, and --out is {memory}/new" in told
    assert "RUN s3://b/run: is an address" in refused("export", "s3://b/run", "--out", tmp_path / "a.onnx")
    assert os.listdir() == []


def test_a_run_becomes_a_folder_that_timm_loads(run, tmp_path, said):
    out = tmp_path / "birds"
    found = said("export", run, "--format", "hub", "--out", out, "--license", "mit")
    assert found == {"export": str(out), "format": "hub", "largest_difference": 0.0, "address": None}
    found, expected = by_timm(f"local-dir:{out}"), logits_of(run)
    assert (found - expected).abs().max() < 0.01 * expected.abs().max()  # timm rounds intensities between two steps
    everything = (out / "README.md").read_text() + (out / "config.json").read_text()
    assert str(run.parent) not in everything and str(Path.home()) not in everything and os.getcwd() not in everything
    assert "license: mit" in everything and "digits:@test?per_class=2" in everything
    config = json.loads((out / "config.json").read_text())
    assert config["transfer"]["provenance"][0]["command"].startswith(
        "transfer fit-classifier 'digits:@train?per_class=3'"
    )


def test_the_folder_is_a_backbone_and_a_start(run, tmp_path, said):
    out = tmp_path / "birds"
    said("export", run, "--out", out)
    model, _ = ImageClassifier.open(run)
    backbone = load_backbone(str(out))
    assert backbone.classes == model.classes and backbone.name == "tf_efficientnet_lite0"
    assert torch.equal(backbone.classifier[0], model.head.weight) and torch.equal(
        backbone.classifier[1], model.head.bias
    )
    assert backbone.preprocessing == model.backbone.preprocessing
    options = ["--steps", 1, "--batch-size", 4, "--augment", "none", "--classifier", "new", *OPTIONS]
    said("finetune", "digits:@train?per_class=1", "--init", out, "--out", tmp_path / "next", *options)
    bank = tmp_path / "bank.h5"
    said("extract", "digits:@train?per_class=1", "--backbone", out, "--out", bank, *OPTIONS)


def test_a_file_takes_its_format_from_its_ending(run, tmp_path, said):
    assert said("export", run, "--out", tmp_path / "m.pt2")["format"] == "torch"
    program = torch.export.load(tmp_path / "m.pt2").module()
    model, _ = ImageClassifier.open(run / "checkpoints" / "last.safetensors")
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(program(images), model.eval()(images))


@pytest.mark.parametrize(("load", "shown"), [("load=lambda path: f'names({path!r})'", True), ("", False)])
def test_a_format_of_another_package(run, tmp_path, monkeypatch, capsys, load, shown):
    """A file of the names of the classes; the line that loads it is the package's own, if it has one."""
    module, out = f"own_format_{shown}".lower(), tmp_path / "m.names"
    code = """
        from finetune.exporting.format import ExportFormat

        def write(export, path):
            path.write_text(" ".join(export.about["classes"]))
            return 0.0

        NAMES = ExportFormat("names", "the names alone", ".names", lambda model: None, write, {load})
    """
    (tmp_path / f"{module}.py").write_text(textwrap.dedent(code).replace("{load}", load))
    info = tmp_path / f"{module}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[transfer.formats]\nnames = {module}:NAMES\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    FORMATS.__dict__.pop("_entries", None)
    try:
        assert main(["export", str(run), "--out", str(out)]) == 0
    finally:
        FORMATS.__dict__.pop("_entries", None)
        LOADED.pop(module, None)
    said = capsys.readouterr()
    assert out.read_text().startswith("digit 0 digit 1") and "the names alone" in said.out + said.err
    assert ("(in Python)" in said.out + said.err) is shown and (f"names('{out}')" in said.out + said.err) is shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--format", "hub", "--push", "birds"], "--push birds: expected OWNER/NAME"),
        (["--format", "onnx", "--out", "m.onnx", "--push", "a/b"], "--push a/b: --format onnx has no folder"),
        (["--out", "m.pt2", "--license", "mit"], "--license mit: --format torch has no model card"),
        (["--format", "torch"], "expected a file name that ends in .pt2, for --format torch"),
        (["--format", "zip"], "--format zip: there is no such format"),
        (["--private"], "--private: is for a model that is uploaded with --push"),
        (["--license", " "], "--license: is empty"),
    ],
)
def test_options_that_contradict_each_other(run, arguments, line, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert line in refused("export", run, "--out", "m", *arguments)
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported_is_one_line(run, made_run, tmp_path, refused):
    assert "or a feature bank (.h5)" in refused("export", "runs/none", "--out", tmp_path / "m")
    said = refused("export", made_run, "--out", tmp_path / "m")
    assert "timm has no network that is the same as resnet8; give --format onnx or torch" in said
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("mine")
    assert "holds other files, such as thesis.tex" in refused("export", run, "--out", tmp_path / "m", "--overwrite")
    (tmp_path / "m.onnx").write_text("mine")
    assert "is there already" in refused("export", run, "--out", tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "mine"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The stand-in, which the hub's own library talks to; without Xet, which has a server of its own."""
    constants = "huggingface_hub.constants"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub() as running:
        monkeypatch.setattr(f"{constants}.ENDPOINT", running.endpoint)
        template = f"{running.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


def test_a_folder_is_pushed_and_comes_back(run, tmp_path, server, said):
    out = tmp_path / "birds"
    found = said("export", run, "--out", out, "--push", "ann/birds", "--private")
    assert found["address"] == f"{server.endpoint}/ann/birds"
    assert server.repositories["ann/birds"] == {file.name: file.read_bytes() for file in out.iterdir()}
    assert server.large["ann/birds"] == {"model.safetensors"} and server.private["ann/birds"]
    assert "hf-hub:ann/birds" in server.repositories["ann/birds"]["README.md"].decode()
    assert torch.equal(by_timm("hf-hub:ann/birds"), by_timm(f"local-dir:{out}"))
    assert load_backbone("hf-hub:ann/birds").weights_sha256() == load_backbone(str(out)).weights_sha256()


def test_a_push_that_is_refused_leaves_the_folder_complete(run, tmp_path, server, refused):
    out = tmp_path / "birds"
    said = refused("export", run, "--out", out, "--push", "bob/birds")
    assert "--push bob/birds: the token may not write to bob; take one with write access" in said
    assert said.endswith(f"{out} is complete; upload it with: hf upload bob/birds {out}")
    timm.create_model(f"local-dir:{out}", pretrained=True)
    assert not server.objects


def test_a_hub_that_knows_no_token_is_told_before_any_work(run, tmp_path, server, refused, monkeypatch):
    out = tmp_path / "birds"
    monkeypatch.setenv("HF_TOKEN", "hf_of_someone_else")
    assert "the token is not valid" in refused("export", run, "--out", out, "--push", "ann/birds")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    said = refused("export", run, "--out", out, "--push", "ann/birds")
    assert "--push ann/birds: no answer, or not in time" in said and "refused" in said
    assert not out.exists() and not server.repositories


def test_an_address_that_holds_no_model_is_one_line(tmp_path, server, refused):
    out = tmp_path / "bank.h5"
    for name in ("hf-hub:ann/none", "transformers:ann/none"):
        said = refused("extract", "digits:@train?per_class=1", "--out", out, "--backbone", name)
        assert f"backbone {name}: its published weights could not be loaded (the hub has no such model" in said


@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_a_bank_goes_out_and_comes_back(place, made_bank, said, ending):
    bank = made_bank("digits", "digits:@train?per_class=3")
    file = place / f"digits{ending}"
    assert said("export", bank, "--out", file) == {"path": str(file), "rows": 10, "of_images": False}
    again = place / f"again{ending}.h5"
    said("extract", f"features:{file}", "--out", again)
    one, other = FeatureBank.open(bank), FeatureBank.open(again)
    np.testing.assert_array_equal(one.means, other.means)
    np.testing.assert_array_equal(one.within_covariance, other.within_covariance)
    assert one.classes == other.classes and (one.counts == other.counts).all()
    one.require_comparable(other)


def test_a_bank_has_no_format_and_no_card(place, made_bank, refused):
    bank = made_bank("digits", "digits:@train?per_class=3")
    assert "--format onnx: is for a trained model" in refused(
        "export", bank, "--out", place / "x.onnx", "--format", "onnx"
    )
    assert "x.onnx: expected a file name that ends in" in refused("export", bank, "--out", place / "x.onnx")
