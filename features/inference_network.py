"""A network optimised for inference: pixels in, outputs out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from features.batch_norm_folding import fold_batch_norm, is_plain_convolution
from features.infrastructure.devices import autocast
from features.preprocessing import Preprocessing

#: Input pixels per core and step; with more, the activations do not fit its cache. It is 8 images of 224 × 224:
#: EfficientNet-Lite0 is fastest with 4 to 16 on cores with 1 MiB of cache.
CACHED_PIXELS = 8 * 224 * 224


class InferenceNetwork:
    """A network that maps decoded pixels to outputs, without gradients.

    Batch normalisation is folded, plain convolutions and ``nn.Linear`` keep their weights in the precision of the
    computation, images are channels-last, and a core gets as many at a time as fit its cache. Layers of other types,
    subclasses of ``nn.Linear`` included, keep their weights unchanged: a layer that must compute in float32 is such a
    subclass.

    Args:
        network: Maps normalised images (B, 3, S, S) to outputs (B, K); it is not changed.
        preprocessing: The input transform of the network.
        device: The device that it runs on.
        precision: ``fp32`` or ``bf16``.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, device: torch.device, precision: str) -> None:
        shape = preprocessing.input_shape
        example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
        parameter = next(network.parameters(), example)
        folded = fold_batch_norm(network, preprocessing.normalize(255 * example).to(parameter))
        self.network = folded.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if precision == "bf16":
            for module in self.network.modules():
                if is_plain_convolution(module) or type(module) is nn.Linear:
                    module.to(torch.bfloat16)  # or autocast would convert it for every batch
        self.preprocessing, self.device, self.precision = preprocessing, device, precision
        self.pixels = shape[1] * shape[2]

    @torch.no_grad()  # rather than inference_mode, so that the outputs can train a classifier
    def __call__(self, pixels: Tensor) -> Tensor:
        """Map pixels (B, 3, S, S) uint8, B at least 1, to outputs (B, K) float32 on the device of the network."""
        with autocast(self.device, self.precision):
            cached = max(1, torch.get_num_threads() * CACHED_PIXELS // self.pixels)
            parts = pixels.split(cached if self.device.type == "cpu" else len(pixels))
            sent = (part.to(self.device, non_blocking=True) for part in parts)
            images = (self.preprocessing.normalize(part).contiguous(memory_format=torch.channels_last) for part in sent)
            return torch.cat([self.network(part).float() for part in images])
