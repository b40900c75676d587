"""The program of torch.export, loaded by PyTorch alone."""

from __future__ import annotations

import json
import subprocess
import sys

import torch

from finetune.exporting import FORMATS, export_classifier

LOAD = """
import json, sys, torch
extra = {"metadata.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
logits = [program(images) for images in torch.load(sys.argv[2])]
torch.save((logits, extra["metadata.json"], "finetune" in sys.modules), sys.argv[3])
"""


def test_pytorch_alone_computes_the_logits(classifier, export_of, tmp_path):
    model, scale = classifier(head="cosine"), 25.0
    export = export_of(model, scale)
    done = export_classifier(FORMATS["torch"], export, tmp_path / "m.pt2")
    assert done.difference <= 1e-4 and [entry.name for entry in tmp_path.iterdir()] == ["m.pt2"]
    batches = [torch.randn(batch, 3, 32, 32) for batch in (1, 2, 7)]
    torch.save(batches, tmp_path / "images")
    files = (done.path, tmp_path / "images", tmp_path / "logits")
    subprocess.run([sys.executable, "-c", LOAD, *map(str, files)], check=True, cwd=tmp_path)
    logits, said, imported = torch.load(tmp_path / "logits")
    with torch.no_grad():
        for found, images in zip(logits, batches, strict=True):
            torch.testing.assert_close(found, model(images) * scale)
    assert json.loads(said) == export.about and not imported
