"""``onnx``: one file that ONNX Runtime and other engines run, for any number of images at a time."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from features.infrastructure.errors import InputError
from finetune.exporting.format import Export, ExportFormat
from finetune.exporting.formats.torch_program import obstacle_of_head
from finetune.exporting.scoring import ScoringNetwork, check_parity, example_images
from finetune.model import ImageClassifier

#: Bytes that one ONNX file holds: a limit of protocol buffers.
_LIMIT = 2**31


def _obstacle(model: ImageClassifier) -> str | None:
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size > 0.95 * _LIMIT:
        return f"its weights have {size / 2**30:.1f} GiB, and one ONNX file holds 2 GiB"
    return obstacle_of_head(model)


def write_onnx(export: Export, path: Path) -> float:
    """Write the graph with its metadata, and compare it with the classifier under ONNX Runtime."""
    network = ScoringNetwork(export.model, export.scale).eval()
    images = example_images(export.model.backbone.preprocessing)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            program: Any = torch.onnx.export(
                network,
                (images,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter raises errors of many types
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"`format` onnx: {export.about['backbone']} cannot be exported ({reason}); give another `format`"
            ) from error
    for graph in (program.model.graph, *program.model.functions.values()):
        for node in graph.all_nodes():  # the lines of code that made it, with the folders of this machine
            node.metadata_props.clear()
    for name, value in export.about.items():
        program.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    program.save(path, external_data=False)
    return check_parity(network, _session(path), export.model.backbone.preprocessing, "onnx")


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Any:
        return session.run(["logits"], {"images": images.numpy()})[0]

    return run


ONNX = ExportFormat(
    "onnx",
    "one file for ONNX Runtime and other engines",
    ".onnx",
    _obstacle,
    write_onnx,
    packages=("onnx", "onnxruntime", "onnxscript"),
    extra="export",
    load=lambda path: f'onnxruntime.InferenceSession("{path}").run(["logits"], {{"images": images}})',
)
