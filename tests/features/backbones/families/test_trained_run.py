"""Runs as backbones."""

import pytest
import torch

from features.backbones.loading import load_backbone
from features.checkpoint import save_checkpoint


def save(backbone, run):
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.network.state_dict().items()}
    card = {"backbone": backbone.name, "preprocessing": backbone.preprocessing.to_json(), "classes": ["a", "b"]}
    save_checkpoint(run / "checkpoints" / "last.safetensors", tensors, card)


def test_a_run_with_the_name_of_its_architecture(tmp_path, monkeypatch):
    """The run is found by the name, and its architecture is not taken for the run again."""
    donor = load_backbone("resnet8", "none", seed=5)
    save(donor, tmp_path / "resnet8")
    monkeypatch.chdir(tmp_path)
    loaded = load_backbone("resnet8")
    assert (loaded.name, loaded.weights) == ("resnet8", "resnet8")
    assert loaded.weights_sha256() == donor.weights_sha256()


@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_a_run_of_inception_gives_the_features_of_its_network(tmp_path):
    """What torchvision sets for published weights only must survive the way through a file."""
    donor = load_backbone("inception_v3", "none", 75, seed=0).eval()
    save(donor, tmp_path)
    loaded = load_backbone(str(tmp_path)).eval()
    x = torch.randn(1, 3, 75, 75, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(x), donor(x))
    assert loaded.network.transform_input and donor.network.transform_input
