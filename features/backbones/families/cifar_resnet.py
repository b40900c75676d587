"""The CIFAR ResNets (He et al., CVPR 2016, section 4.2), which neither torchvision nor timm has.

They have 6n + 2 layers in three stages of 16, 32 and 64 channels, and shortcuts without parameters (option A).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from features.backbones.backbone import Backbone
from features.backbones.family import Family
from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing

#: Blocks in each stage, by name.
CIFAR_RESNETS = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9}


class _Block(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.padding = width - width_in

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.padding:  # option A: subsample, and pad the new channels with zeros
            half = self.padding // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.padding - half))
        return F.relu(x + y, inplace=True)


class CifarResNet(nn.Module):
    """A network from images (B, 3, H, W) to pooled features (B, 64), with ``blocks`` blocks in each stage."""

    num_features = 64

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        widths = [16] * blocks + [32] * blocks + [64] * blocks
        strides = [1] * blocks + ([2] + [1] * (blocks - 1)) * 2
        inputs = [16, *widths[:-1]]
        self.stages = nn.Sequential(*(_Block(i, w, s) for i, w, s in zip(inputs, widths, strides, strict=True)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x)).mean(dim=(2, 3))


def build_cifar_resnet(name: str, weights: str, image_size: int | None = None) -> Backbone:
    """Build a CIFAR ResNet for images of 32 pixels; raise `InputError` for published weights, which do not exist."""
    if weights == "default":
        raise InputError(
            f"{name} has no published weights; give `weights` none, or {name}:none in a list of models, for random ones"
        )
    network = CifarResNet(CIFAR_RESNETS[name])
    return Backbone(network, name, weights, network.num_features, Preprocessing(32, 32))


CIFAR = Family("cifar", "ResNets for 32 pixels", 2, CIFAR_RESNETS.__contains__, build_cifar_resnet, CIFAR_RESNETS.keys)
