"""``torch``: a program of ``torch.export``, which PyTorch loads without this toolkit, for any number of images."""

from __future__ import annotations

import json
import warnings
from io import BytesIO
from pathlib import Path

import torch

from features.infrastructure.errors import InputError
from finetune.exporting.format import Export, ExportFormat
from finetune.exporting.scoring import ScoringNetwork, check_parity, example_images
from finetune.model import ImageClassifier

#: The file of the metadata inside the program.
METADATA = "metadata.json"


def obstacle_of_head(model: ImageClassifier) -> str | None:
    """Why no graph holds the head of a classifier; None if one does."""
    if model.head_kind != "knn":
        return None
    return (
        "its classifier is a vote of the nearest training images; fit one of weights to the same backbone with "
        "transfer fit-classifier"
    )


def write_program(export: Export, path: Path) -> float:
    """Write the program with its metadata, and compare it with the classifier once it is loaded again."""
    network = ScoringNetwork(export.model, export.scale).eval()
    images = example_images(export.model.backbone.preprocessing)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        except Exception as error:  # tracing raises errors of many types
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"`format` torch: {export.about['backbone']} cannot be exported ({reason}); give another `format`"
            ) from error
        for module in program.graph_module.modules():
            for node in getattr(module, "graph", torch.fx.Graph()).nodes:
                node.meta.pop("stack_trace", None)  # the lines of code that made it, with the folders of this machine
        written = BytesIO()  # on a full disk PyTorch's own writer ends the process
        torch.export.save(program, written, extra_files={METADATA: json.dumps(export.about, ensure_ascii=False)})
        path.write_bytes(written.getbuffer())
        del written
        with path.open("rb") as file:
            loaded = torch.export.load(file).module()
    return check_parity(network, loaded, export.model.backbone.preprocessing, "torch")


TORCH = ExportFormat(
    "torch",
    "a program of torch.export, for PyTorch alone",
    ".pt2",
    obstacle_of_head,
    write_program,
    load=lambda path: f'torch.export.load("{path}").module()(images)',
)
