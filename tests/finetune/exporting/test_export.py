"""Which classifier has which format, and that a file or a folder is written completely or not at all."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from features.backbones.loading import load_backbone
from features.infrastructure.errors import InputError
from finetune.classifiers.kept_classes import ORIGIN
from finetune.exporting import FORMATS, export_classifier, format_of
from finetune.exporting.export import check_export, metadata, published_name
from finetune.exporting.formats import onnx_graph
from finetune.model import ImageClassifier

ENDINGS = {"onnx": "m.onnx", "torch": "m.pt2", "hub": "m"}


@pytest.mark.parametrize("name", FORMATS)
def test_the_ending_says_the_format(name):
    assert format_of(None, ENDINGS[name]) is format_of(name, ENDINGS[name]) is FORMATS[name]


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        (None, "m.zip", "`out` m.zip: its ending says no format; give `format`, or one of"),
        ("onnx", "m.pt2", "`out` m.pt2: expected a file name that ends in .onnx, for `format` onnx"),
        ("onx", "m.onnx", "`format` onx: there is no such format; did you mean onnx?"),
    ],
)
def test_a_wrong_ending_is_one_line(name, out, message):
    with pytest.raises(InputError) as refusal:
        format_of(name, out)
    assert str(refusal.value).startswith(message)
    assert format_of("hub", "resnet50.a1").name == "hub"  # a folder may have any name


@pytest.mark.parametrize(
    ("name", "head", "format_", "fault", "advice"),
    [
        ("resnet8", "linear", "hub", "timm has no network that is the same as resnet8", "give `format` onnx or torch"),
        ("resnet18", "cosine", "hub", "its classifier (cosine) is no linear layer", "give `format` onnx or torch"),
        ("resnet8", "knn", "onnx", "its classifier is a vote of the nearest", "no format holds it"),
    ],
)
def test_a_classifier_that_cannot_have_the_format(classifier, tmp_path, name, head, format_, fault, advice):
    said = refusal_of(format_, classifier(name, head), tmp_path)
    assert said.startswith(f"`format` {format_}: runs/x cannot have it: {fault}") and said.endswith(advice)
    assert not [*tmp_path.iterdir()]


def test_a_network_too_large_for_one_onnx_file(classifier, monkeypatch):
    assert FORMATS["onnx"].obstacle(classifier()) is None
    monkeypatch.setattr(onnx_graph, "_LIMIT", 1000)
    assert "one ONNX file holds 2 GiB" in FORMATS["onnx"].obstacle(classifier())


def test_a_package_that_is_missing(classifier, tmp_path):
    row = replace(FORMATS["onnx"], packages=("no_such_package",))
    with pytest.raises(
        InputError, match=r'needs no_such_package; install with: pip install "transfer-toolkit\[export\]"$'
    ):
        check_export(row, classifier(), "runs/x", tmp_path / "m.onnx")


@pytest.mark.parametrize("format_", ["onnx", "torch"])
def test_a_network_of_transformers_has_the_formats_of_a_graph(export_of, tmp_path, format_):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=8))
    model.save_pretrained(tmp_path / "clip")
    square = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square).save_pretrained(tmp_path / "clip")
    classifier = ImageClassifier(load_backbone(str(tmp_path / "clip")), ["auk", "wren"]).eval()
    torch.nn.init.normal_(classifier.head.weight)
    row, export = FORMATS[format_], export_of(classifier)
    assert export_classifier(row, export, tmp_path / ENDINGS[format_]).difference <= 1e-4
    assert export.about["backbone"] == "transformers:clip"
    assert "give `format` onnx or torch" in refusal_of("hub", classifier, tmp_path)


def refusal_of(format_, classifier, folder):
    with pytest.raises(InputError) as refusal:
        check_export(FORMATS[format_], classifier, "runs/x", folder / ENDINGS[format_])
    return str(refusal.value)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_that_differs_leaves_what_is_there(classifier, export_of, tmp_path, monkeypatch, format_):
    row, out = FORMATS[format_], tmp_path / ENDINGS[format_]
    model = classifier("resnet10t" if row.holds else "resnet8")
    if row.holds:
        out.mkdir()
        (out / "README.md").write_text("before")
    else:
        out.write_text("before")
    monkeypatch.setattr("finetune.exporting.scoring.TOLERANCE", -1.0)
    with pytest.raises(InputError, match=f"`format` {format_}: its logits differ from the run's by "):
        export_classifier(row, export_of(model), out)
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]
    assert (out / "README.md" if row.holds else out).read_text() == "before"


def test_what_is_said_of_a_classifier(classifier):
    model = classifier("resnet18", image_size=64)
    about = json.loads(json.dumps(metadata(model, {"sigmoid": True})))
    assert about["input"]["shape"] == ["batch", 3, 64, 64] and about["output"]["shape"] == ["batch", 5]
    assert about["output"]["probabilities"] == "sigmoid"
    assert about["preprocessing"] == json.loads(json.dumps(model.backbone.preprocessing.to_json()))
    assert about["classes"] == list(model.classes) and about["backbone"] == "resnet18"
    assert about["weights_sha256"] == model.backbone.weights_sha256()


def test_no_folder_of_this_machine_is_published(classifier):
    model = classifier()
    model.classes = ("folder:/home/ann/a/wren", "folder:/home/ann/b/wren", "auk", "tern", "/x/y")
    specs = [
        "folder:/home/ann/a",
        "folder:/home/ann/b",
        "folder:/home/ann/a",
        "folder:/home/ann/b",
        "folder:/home/ann/b",
    ]
    origin = list(zip(specs, ("wren", "wren", "auk", "tern", "/x/y"), strict=True))
    about = metadata(model, {"sigmoid": False, ORIGIN: origin})
    assert about["classes"] == ["folder:a/wren", "folder:b/wren", "auk", "tern", "/x/y"]
    assert published_name("local-dir:/home/ann/model") == "local-dir:model"
    assert published_name("transformers:/home/ann/model") == "transformers:model"
    assert published_name("transformers:facebook/dinov2-small") == "transformers:facebook/dinov2-small"
    assert published_name("resnet50.a1_in1k") == "resnet50.a1_in1k"


@pytest.mark.parametrize("format_", FORMATS)
def test_no_file_holds_a_folder_of_this_machine(classifier, export_of, tmp_path, format_):
    """Compilers write the lines of code into what they make."""
    model = classifier("resnet10t", image_size=32)
    path = export_classifier(FORMATS[format_], export_of(model), tmp_path / ENDINGS[format_]).path
    content = b"".join(file.read_bytes() for file in ([*path.iterdir()] if path.is_dir() else [path]))
    if format_ == "torch":
        with zipfile.ZipFile(path) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
    for folder in (Path(torch.__file__).parents[1], Path(__file__).parents[3], Path.home(), tmp_path):
        assert len(folder.parts) < 2 or os.fsencode(f"{folder}/") not in content


def test_the_folder_of_a_run_is_never_replaced(classifier, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("run")
    with pytest.raises(InputError, match=r"holds other files, such as config.yaml; name another folder"):
        check_export(FORMATS["hub"], classifier("resnet18"), str(run), Path(run), overwrite=True)
