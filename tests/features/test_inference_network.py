"""Folding, and a network made ready for inference, against the plain network."""

import pytest
import timm
import torch
from torch import nn

from features.backbones.families.cifar_resnet import CifarResNet
from features.batch_norm_folding import fold_batch_norm
from features.inference_network import CACHED_PIXELS, InferenceNetwork
from features.preprocessing import Preprocessing

EYES = Preprocessing(32, 32)


def trained(network):
    """The same with normalisations that do something."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.3), (module.running_var, 0.6), (module.weight.data, 0.7)):
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
            module.bias.data.copy_(torch.rand(module.bias.shape, generator=generator) - 0.5)
    return network.eval()


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    "build",
    [
        lambda: CifarResNet(1),
        lambda: timm.create_model("tf_efficientnet_lite0", num_classes=0),
        lambda: timm.create_model("resnet18", num_classes=0),
        lambda: timm.create_model("mobilenetv3_small_050", num_classes=0),
    ],
    ids=["cifar", "lite0", "resnet18", "mobilenetv3"],
)
@torch.no_grad()
def test_a_folded_network_computes_the_same_without_normalisations(build):
    network = trained(build())
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = norms(network)
    folded = fold_batch_norm(network, images[:1])
    expected = network(images)
    assert (folded(images) - expected).abs().max() < 1e-4 * expected.abs().max()
    assert norms(folded) == 0 and norms(network) == before > 0


class Branching(nn.Module):
    """The convolution's output is used twice, so that its normalisation must not be folded into it."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.convolution(x)
        return (self.norm(x) + 2 * x).mean(dim=(2, 3))


class Recurrent(nn.Module):
    """One layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.convolution(self.norm(self.convolution(x))).mean(dim=(2, 3))


class NormFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.convolution = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)

    def forward(self, x):
        return self.convolution(self.norm(x)).mean(dim=(2, 3))


@pytest.mark.parametrize("build", [Branching, Recurrent, NormFirst])
@torch.no_grad()
def test_what_must_not_be_folded_is_not(build):
    network = trained(build())
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    ready = fold_batch_norm(network, images[:1])
    assert norms(ready) == 1 and torch.equal(ready(images), network(images))


@torch.no_grad()
def test_a_network_in_training_mode_is_run_in_evaluation_mode_and_left_as_it_is():
    network = trained(CifarResNet(1)).train()
    statistics = network.state_dict()
    before = {name: value.clone() for name, value in statistics.items()}
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    outputs = InferenceNetwork(network, EYES, torch.device("cpu"), "fp32")(pixels)
    assert network.training and all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    torch.testing.assert_close(outputs, network.eval()(EYES.normalize(pixels)), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_and_normalisation_layers_stay_in_float32():
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32).eval()
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    ready = InferenceNetwork(network, EYES, torch.device("cpu"), "bf16")
    outputs = ready(pixels)
    assert outputs.dtype == torch.float32 and not outputs.requires_grad
    assert {m.weight.dtype for m in ready.network.modules() if isinstance(m, nn.LayerNorm)} == {torch.float32}
    assert {m.weight.dtype for m in ready.network.modules() if isinstance(m, nn.Linear)} == {torch.bfloat16}
    with torch.no_grad():
        expected = network(EYES.normalize(pixels))
    assert torch.nn.functional.cosine_similarity(outputs, expected).min() > 0.999


def test_a_linear_layer_of_a_type_of_its_own_keeps_its_weights():
    class Own(nn.Linear):
        def forward(self, x):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())

    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5), Own(5, 2))
    ready = InferenceNetwork(network, EYES, torch.device("cpu"), "bf16")
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    assert [layer.weight.dtype for layer in ready.network[2:]] == [torch.bfloat16, torch.float32]
    outputs = ready(pixels)
    assert not torch.equal(outputs, outputs.bfloat16().float())


def test_a_core_gets_as_many_images_as_its_cache_holds(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x.mean(dim=(2, 3))

    large = Preprocessing(224, 224)
    assert CACHED_PIXELS == 8 * 224**2
    InferenceNetwork(Watch(), large, torch.device("cpu"), "fp32")(torch.zeros(35, 3, 224, 224, dtype=torch.uint8))
    assert seen[-3:] == [16, 16, 3]
