"""The ONNX file under ONNX Runtime."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from finetune.exporting import FORMATS, export_classifier

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(("head", "scale"), [("linear", 1.0), ("centred-cosine", 25.0)])
def test_any_number_of_images_gives_the_logits(classifier, export_of, tmp_path, head, scale):
    model = classifier(head=head)
    if head == "linear":
        with torch.no_grad():
            model.head.bias[2] = -torch.inf  # a class without training images
    done = export_classifier(FORMATS["onnx"], export_of(model, scale), tmp_path / "m.onnx")
    assert done.difference <= 1e-4 and [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]
    session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    for batch in (1, 2, 7):
        images = torch.randn(batch, 3, 32, 32)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        with torch.no_grad():
            expected = (model(images) * scale).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_file_says_what_it_is(classifier, export_of, tmp_path):
    export = export_of(classifier(), sigmoid=True)
    path = export_classifier(FORMATS["onnx"], export, tmp_path / "m.onnx").path
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert {name: said[name] if name in ("schema", "backbone", "weights_sha256") else json.loads(said[name])
            for name in export.about} == export.about  # fmt: skip
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32] and isinstance(session.get_inputs()[0].shape[0], str)
