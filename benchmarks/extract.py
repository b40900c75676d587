"""How fast is extraction, against the naive recipe and against what the machine could do at best?

    python benchmarks/extract.py                   # EfficientNet-Lite0 at 224 px, all of CUB's images
    python benchmarks/extract.py --backbone resnet50 --weights none
    python benchmarks/extract.py --device cuda     # the same two ratios on a GPU

Same images, same model, one run. Measured by turns, the median of several (of the naive recipe, one):

- naive: what one writes first. A torchvision transform in a plain DataLoader, float32, the network's own
  memory format, one batch after the other, features summed by class at the end.
- ours: features.extract, from the dataset spec to the bank on the disk.
- forward: images a second of the prepared network on tensors that lie in memory, on all cores at once.
- decode: images a second of one core's decoding and resizing.
- bound: 1 / (1 / forward + 1 / (decode × cores)), what a program without any overhead would reach.
  On a GPU the decoding runs beside the network, so there it is the smaller of the two rates.

Expected on 2 cores with AVX512-BF16: ours 6.5 to 9 × naive, and 90 to 98 % of the bound on a quiet machine. All parts
read the images from the page cache.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from recording import RESULTS, WORK, record, sized, unpacked
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from features import Backbone, ExtractConfig, extract, load_backbone, open_dataset
from features.decoding import Decoder
from features.inference_network import InferenceNetwork
from features.infrastructure.devices import pick_device, pick_precision

BATCH = sized(64, 8)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=sized(5, 1))
    parser.add_argument("--out", help="where the result is recorded; by default benchmarks/results/extract-NAME.json")
    return parser.parse_args()


def naive(root: Path, backbone: Backbone, device: torch.device) -> float:
    """Images a second of the recipe that one writes first."""
    recipe = backbone.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize(recipe.resize, transforms.InterpolationMode(recipe.interpolation)),
            transforms.CenterCrop(recipe.image_size),
            transforms.ToTensor(),
            transforms.Normalize(recipe.mean, recipe.std),
        ]
    )
    started = time.perf_counter()
    folder = ImageFolder(str(root), transform)
    network = backbone.eval().to(device)
    features, labels = [], []
    with torch.no_grad():
        for images, targets in DataLoader(folder, batch_size=BATCH):
            features.append(network(images.to(device)).cpu())
            labels.append(targets)
    x, y = torch.cat(features), torch.cat(labels)
    torch.stack([x[y == label].mean(dim=0) for label in y.unique()])
    return len(x) / (time.perf_counter() - started)


def ours(spec: str, arguments: argparse.Namespace) -> float:
    """Images a second of the extractor, from the spec to the bank."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        config = ExtractConfig(
            dataset=spec,
            out=f"{directory}/bank.h5",
            backbone=arguments.backbone,
            weights=arguments.weights,
            batch_size=BATCH,
            device=arguments.device,
            precision=arguments.precision,
        )
        return extract(config).images / (time.perf_counter() - started)


def parallel(work: Callable[[float], int], seconds: float, processes: int) -> float:
    """How many a second ``processes`` that run ``work`` at the same time get through together."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    barrier = context.Barrier(processes)

    def run() -> None:
        torch.set_num_threads(1)
        work(0.0)  # the first call allocates
        barrier.wait()
        started = time.perf_counter()
        done = work(seconds)
        queue.put(done / (time.perf_counter() - started))

    running = [context.Process(target=run) for _ in range(processes)]
    for process in running:
        process.start()
    rates = [queue.get() for _ in running]
    for process in running:
        process.join()
    return sum(rates)


def forward(ready: InferenceNetwork, pixels: torch.Tensor, cores: int, seconds: float = sized(6.0, 0.2)) -> float:
    """Images a second of the network on resident tensors."""

    def work(limit: float) -> int:
        started, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - started < limit:
            ready(pixels).sum().item()
            done += len(pixels)
        return done

    if ready.device.type == "cpu":
        return parallel(work, seconds, cores)
    work(1.0)
    started = time.perf_counter()
    return work(seconds) / (time.perf_counter() - started)


def decode(decoder: Decoder, cores: int, seconds: float = sized(4.0, 0.2)) -> float:
    """Images a second that one of ``cores`` busy cores decodes."""

    def work(limit: float) -> int:
        started, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - started < limit:
            start = done % (len(decoder.dataset) - BATCH)
            decoder[range(start, start + BATCH)]
            done += BATCH
        return done

    return parallel(work, seconds, cores) / cores


def _measuring(arguments: list[str]) -> list[str]:
    """The arguments without --out, which says nothing of what was measured and may be a machine's own path."""
    places = [i for i, word in enumerate(arguments) if word == "--out"]
    left_out = {i for place in places for i in (place, place + 1)}
    return [word for i, word in enumerate(arguments) if i not in left_out and not word.startswith("--out=")]


def main() -> None:
    """Measure, print, record."""
    arguments = options()
    unpacked("cub50.tar")
    root = WORK / "CUB_200_2011" / "images"
    spec = f"folder:{root}"
    dataset = open_dataset(spec)
    device = pick_device(arguments.device)
    precision = pick_precision(arguments.precision, device)
    backbone = load_backbone(arguments.backbone, arguments.weights)
    ready = InferenceNetwork(backbone, backbone.preprocessing, device, precision)
    decoder = Decoder(dataset, backbone.preprocessing)
    cores = len(os.sched_getaffinity(0))
    pixels = decoder[range(BATCH)].values.to(device)
    for path in root.rglob("*.jpg"):
        path.read_bytes()  # into the page cache
    rates: dict[str, list[float]] = {"naive": [], "ours": [], "forward": [], "decode": []}
    for number in range(arguments.rounds):
        rates["forward"].append(forward(ready, pixels, cores))
        rates["ours"].append(ours(spec, arguments))
        rates["decode"].append(decode(decoder, cores))
        if number == arguments.rounds // 2:  # once: it takes longer than all the rest
            rates["naive"].append(naive(root, load_backbone(arguments.backbone, arguments.weights), device))
        print({name: round(values[-1], 1) for name, values in rates.items() if values}, flush=True)
    median = {name: statistics.median(values) for name, values in rates.items()}
    if device.type == "cpu":
        bound = 1 / (1 / median["forward"] + 1 / (median["decode"] * cores))
    else:
        bound = min(median["forward"], median["decode"] * cores)
    result = {
        "command": " ".join(["python", "benchmarks/extract.py", *_measuring(sys.argv[1:])]),
        "backbone": arguments.backbone,
        "image_size": backbone.preprocessing.image_size,
        "images": len(dataset),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine(),
        "precision": precision,
        "cores": cores,
        "images_per_second": {name: [round(value, 2) for value in values] for name, values in rates.items()},
        "bound": round(bound, 2),
        "ours_to_naive": round(median["ours"] / median["naive"], 2),
        "ours_to_bound": round(median["ours"] / bound, 4),
    }
    for name in ("naive", "forward", "decode", "ours"):
        print(f"{name:<8} {median[name]:9.1f} images/s")
    print(f"{'bound':<8} {bound:9.1f} images/s")
    print(f"ours is {result['ours_to_naive']} × naive and {100 * result['ours_to_bound']:.1f} % of the bound")
    out = Path(arguments.out or RESULTS / f"extract-{arguments.backbone}-{device.type}.json")
    record(out, result, "pillow")


if __name__ == "__main__":
    main()
