"""Images a second of training: ours, a bare PyTorch loop, and the naive one, side by side.

    python benchmarks/train.py                                  # ResNet-32 at 32 px, batch 128
    python benchmarks/train.py --network efficientnet_lite0     # at 224 px, batch 32: depthwise convolutions

Softmax, SGD, images in memory as uint8. ``bare`` is the shortest loop that trains the
same model on the same pixels with the same precision and memory format: index, normalise, forward, backward, step.
``naive`` is that in float32 and PyTorch's own memory format. ``ours`` is the training engine with everything it does
besides: sampler, Lightning, history, resumable state; with no augmentation, as the bare loop, and with crop-flip.

Each round runs all of them for so many epochs, and an epoch's rate is compared with those of the same round, for a
machine's speed may change within minutes. Recorded in benchmarks/results/train-NETWORK.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from recording import RESULTS, record, sized

from features.backbones.loading import load_backbone
from features.dataset import ImageDataset
from features.image_sources import ArrayImages
from features.infrastructure.console import console
from features.infrastructure.devices import pick_device, pick_precision
from finetune.losses import build_loss
from finetune.model import ImageClassifier
from finetune.run_directory import RunDirectory
from finetune.shared_options import TrainingConfig
from finetune.training.batches import TrainingImages
from finetune.training.engine import train

CLASSES = 100


@dataclass(frozen=True)
class Work:
    """What is trained on: a network, how many images of which side, and how many of them a step."""

    network: str
    images: int
    side: int
    batch: int


WORKS = {
    work.network: work
    for work in (Work("resnet32", sized(4096, 128), 32, 128), Work("efficientnet_lite0", 192, 224, 32))
}


def dataset(work: Work) -> ImageDataset:
    """Pixels by chance: what they show makes no difference to the speed."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(work.images, work.side, work.side, 3), dtype=np.uint8)
    return ImageDataset(
        spec="made:noise",
        classes=tuple(str(i) for i in range(CLASSES)),
        labels=np.arange(work.images) % CLASSES,
        ids=tuple(str(i) for i in range(work.images)),
        source=ArrayImages(pixels),
    )


def model(work: Work) -> ImageClassifier:
    """The classifier, from the same start each time."""
    torch.manual_seed(0)
    return ImageClassifier(load_backbone(work.network, "none", work.side), [str(i) for i in range(CLASSES)])


def ours(work: Work, data: ImageDataset, augment: str, epochs: int, precision: str, device: str) -> list[float]:
    """Images a second of each epoch but the first."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(
            out=f"{folder}/run",
            epochs=epochs,
            batch_size=work.batch,
            augment=augment,
            precision=precision,
            device=device,
            workers=0,
        )
        network = model(work)
        run = RunDirectory(config.out, config, {})
        images = TrainingImages(data, network.backbone.preprocessing, 0)
        train(network, images, build_loss("softmax", images.counts), config, run)
        lines = (run.path / "history.csv").read_text().splitlines()
    column = lines[0].split(",").index("images_per_second")
    return [float(line.split(",")[column]) for line in lines[2:]]


def bare(
    work: Work, data: ImageDataset, epochs: int, precision: str, device: torch.device, channels_last: bool
) -> list[float]:
    """The same of a loop of a few lines."""
    network = model(work).to(device).train()
    preprocessing = network.backbone.preprocessing
    pixels = torch.stack([preprocessing.pixels(data.image(i)) for i in range(work.images)])
    labels = torch.from_numpy(data.labels)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    rates = []
    for _ in range(epochs):
        order, began = torch.randperm(work.images), time.perf_counter()
        for batch in order.split(work.batch):
            images = preprocessing.normalize(pixels[batch].to(device)).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = F.cross_entropy(network(images).float(), labels[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        rates.append(work.images / (time.perf_counter() - began))
    return rates[1:]


def main() -> None:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", choices=WORKS, default="resnet32")
    parser.add_argument("--rounds", type=int, default=sized(3, 1))
    parser.add_argument("--epochs", type=int, default=3, help="of each, the first of which is not counted")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    console.quiet = True
    device = pick_device(options.device)
    work, precision = WORKS[options.network], pick_precision("auto", device)
    data = dataset(work)
    rows: dict[str, list[float]] = {"naive": [], "bare": [], "ours": [], "ours, crop-flip": []}
    for _ in range(options.rounds):
        found = {
            "naive": bare(work, data, options.epochs, "fp32", device, channels_last=False),
            "bare": bare(work, data, options.epochs, precision, device, channels_last=True),
            "ours": ours(work, data, "none", options.epochs, precision, options.device),
            "ours, crop-flip": ours(work, data, "crop-flip", options.epochs, precision, options.device),
        }
        for name, rates in found.items():
            rows[name].append(statistics.median(rates))
        print("  ".join(f"{name} {rates[-1]:.0f}/s" for name, rates in rows.items()), flush=True)
    ratios = {
        f"{one} / {other}": statistics.median(a / b for a, b in zip(rows[one], rows[other], strict=True))
        for one, other in (("ours", "bare"), ("ours, crop-flip", "bare"), ("ours", "naive"))
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")
    result = {
        "command": f"python benchmarks/train.py --network {work.network}",
        "device": str(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "images_per_second": rows,
        "ratios": ratios,
    }
    record(RESULTS / f"train-{work.network}.json", result)


if __name__ == "__main__":
    main()
