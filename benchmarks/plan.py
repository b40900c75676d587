"""What do two large extractions take: iNaturalist 2021, and a lake of 100 million web images?

    python benchmarks/plan.py                              # measures what is not recorded yet, and computes
    python benchmarks/plan.py --again                      # measures everything again

Inputs are published figures with their sources, a few choices that are marked as assumed, and what is measured here:

- decode: images a second of one CPU, counted in CPU time, from JPEG in memory to the pixels that ResNet-50 takes. The
  photographs are those of CUB at the size in pixels and bytes of each case.
- loop: the extraction with features that are drawn once, in place of decoding and network, from the spec to the bank.
- ids: memory of the packed ids of tar shards, and of looking for one that stands twice. 10^8 ids are only measured if
  ten times the memory and time of 10^7 are below 6 GB and 5 minutes.
- index: memory and time of opening tar shards of tiny images; what one image takes is the slope between two sizes.

Memory is what the operating system counts in a process of its own. Expected on 2 cores: 5 to 10 minutes, 8 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import tarfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from plan_arithmetic import INPUTS, SOURCES, bank_bytes, case, slope
from recording import RESULTS, WORK, in_child, memory, record, sized, unpacked

from features import ExtractConfig, open_dataset
from features.dataset import ImageDataset
from features.decoding import Decoder, ImageBatch, in_order
from features.extraction import extractor
from features.image_sources import read_image
from features.infrastructure.stage_clock import UNPROFILED, Stages
from features.infrastructure.texts import Texts
from features.preprocessing import Preprocessing

OUT = RESULTS / "plan.json"
HERE = WORK / "plan"
IMAGES, WIDE_IMAGES, CLASSES = sized(1_000_000, 2_000), sized(100_000, 1_000), sized(10_000, 100)
IDS, MANY_IDS = sized(10**7, 10**4), sized(10**8, 10**5)
INDEXED, A_SHARD = sized((100_000, 300_000), (200, 600)), sized(10_000, 100)
#: Bytes and seconds above which the many ids are not measured.
MOST_BYTES, MOST_SECONDS = 6e9, 300
#: ResNet-50's input.
PREPROCESSING = Preprocessing(image_size=224, resize=256)


@dataclass(frozen=True)
class Encoded:
    """Images as JPEG in memory, of which there may be none."""

    files: tuple[bytes, ...]
    images: int

    def __len__(self) -> int:
        return self.images

    def read(self, index: int, min_side: int | None = None) -> Image.Image:
        return read_image(io.BytesIO(self.files[index]), min_side)

    def take(self, indices: NDArray[np.int64]) -> Encoded:
        return Encoded(tuple(self.files[i] for i in indices), len(indices))

    def fingerprint(self) -> bytes:
        return b""

    def modified(self) -> float:
        return 0.0


def ids(images: int) -> Iterator[str]:
    """The ids of images in tar shards of LAION's layout."""
    return (f"{i // 10_000:05d}.tar/{i:09d}" for i in range(images))


def dataset(images: int, classes: int = 1, files: tuple[bytes, ...] = ()) -> ImageDataset:
    names = tuple(f"class {number:05d}" for number in range(classes))
    return ImageDataset(
        "python:plan", names, np.arange(images) % classes, Texts.of(ids(images)), Encoded(files, images)
    )


def decode(size: tuple[int, int], mean_bytes: float) -> dict[str, float]:
    """Images a second of CPU time from JPEG of a size in pixels, compressed to about that many bytes."""
    paths = sorted((unpacked("cub50.tar") / "CUB_200_2011" / "images").rglob("*.jpg"))[:: sized(10, 1)]
    pictures = [read_image(path).resize(size, Image.Resampling.BICUBIC) for path in paths]

    def encoded(quality: int, number: int | None = None) -> tuple[bytes, ...]:
        files = []
        for picture in pictures[:number]:
            picture.save(file := io.BytesIO(), "JPEG", quality=quality)
            files.append(file.getvalue())
        return tuple(files)

    quality = min(range(60, 100), key=lambda q: abs(statistics.mean(map(len, encoded(q, 20))) - mean_bytes))
    files = encoded(quality)
    decoder, rates = Decoder(dataset(len(files), files=files), PREPROCESSING), []
    for _ in range(sized(4, 1)):
        started = time.process_time()
        for batch in in_order(range(len(files)), 64):
            decoder[batch]
        rates.append(len(files) / (time.process_time() - started))
    return {
        "width": size[0],
        "height": size[1],
        "quality": quality,
        "bytes": round(statistics.mean(map(len, files))),
        "images": len(files),
        "rate": round(statistics.median(rates), 1),
    }


class Drawn:
    """Features that are drawn once, in place of decoding and a network; an origin of an extraction."""

    def __init__(self, images: ImageDataset, width: int) -> None:
        self.dim, self._labels = width, torch.from_numpy(images.labels)
        self._block = torch.randn(1 << 12, width, generator=torch.Generator().manual_seed(0))

    def attributes(self) -> dict[str, Any]:
        return {"backbone": "drawn"}

    def batches(self, positions: range, stages: Stages = UNPROFILED) -> Generator[ImageBatch, None, None]:
        for batch in in_order(positions, 64):
            indices, start = torch.arange(batch.start, batch.stop), batch.start % (1 << 12)
            yield ImageBatch(self._block[start : start + len(batch)], self._labels[indices], indices)


def loop(images: int, width: int, keep_images: bool) -> dict[str, Any]:
    """Images a second of the extraction itself, and the bytes of its bank against the formula."""
    given, out = dataset(images, CLASSES), HERE / "loop.h5"
    config = ExtractConfig("", str(out), keep_images=keep_images, overwrite=True, device="cpu")
    with patch.object(extractor, "origin_of", lambda *_: Drawn(given, width)):
        wall, cpu = time.perf_counter(), time.process_time()
        extractor.extract_parts(config, lambda: given, lambda: None)  # type: ignore[arg-type, return-value]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    predicted = bank_bytes(CLASSES, width) + keep_images * images * (4 * width + 8 + INPUTS["lake_id"][0])
    row = {"images": images, "width": width, "classes": CLASSES, "keep_images": keep_images}
    row |= {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "rate": round(images / cpu)}
    return row | {"bank_bytes": out.stat().st_size, "bank_by_formula": round(out.stat().st_size / predicted, 3)}


def packed(images: int, look_for_twins: bool) -> dict[str, Any]:
    """Memory of packed ids, in a process of its own."""
    before, started = memory("VmRSS"), time.process_time()
    texts = Texts.of(ids(images))
    row = {"ids": images, "seconds": round(time.process_time() - started, 1)}
    row |= {"held": memory("VmRSS") - before, "peak": memory("VmHWM") - before}
    if look_for_twins:
        texts.repeated()
        row["peak_of_twins"] = memory("VmHWM") - before
    return row


def many_ids() -> list[dict[str, Any]]:
    rows = [in_child(packed, IDS, True)]
    more = MANY_IDS / IDS
    if more * rows[0]["peak"] < MOST_BYTES and more * rows[0]["seconds"] < MOST_SECONDS:
        rows.append(in_child(packed, MANY_IDS, False))
    return rows


def opened(pattern: str) -> dict[str, Any]:
    """Memory and time of opening tar shards, in a process of its own."""
    before, started = memory("VmRSS"), time.process_time()
    images = len(open_dataset(pattern))
    seconds, held, peak = time.process_time() - started, memory("VmRSS") - before, memory("VmHWM") - before
    return {"images": images, "seconds": round(seconds, 2), "held": held, "peak": peak}


def index() -> list[dict[str, Any]]:
    """Make shards whose samples are an image that nobody decodes and a label, and open them."""
    folder = HERE / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(INDEXED[-1] // A_SHARD):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for i in range(shard * A_SHARD, (shard + 1) * A_SHARD):
                for ending, content in (("jpg", b"JPEG"), ("cls", b"0")):
                    member = tarfile.TarInfo(f"{i:09d}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return [in_child(opened, f"wds:{folder}/{{00000..{images // A_SHARD - 1:05d}}}.tar") for images in INDEXED]


def steps() -> dict[str, Callable[[], Any]]:
    """What is measured, by its name in the result."""
    value = {key: row[0] for key, row in INPUTS.items()}
    inat, lake = value["inat_bytes"] / value["inat_images"], value["laion_bytes"] / value["laion_images"]
    wanted = ((IMAGES, 128, False), (IMAGES, 128, True), (WIDE_IMAGES, 2048, False), (WIDE_IMAGES, 2048, True))
    return {
        "decode": lambda: {"inat": decode((500, 375), inat), "lake": decode((256, 256), lake)},
        "loop": lambda: [loop(*row) for row in wanted],
        "ids": many_ids,
        "index": index,
    }


def main() -> None:
    """Measure, compute, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--again", action="store_true", help="measure what is recorded, too")
    there = {} if parser.parse_args().again or not OUT.is_file() else json.loads(OUT.read_text(encoding="utf-8"))
    measured = there.get("measured", {})
    HERE.mkdir(parents=True, exist_ok=True)
    for name, work in steps().items():
        if name not in measured:
            measured[name] = work()
            print(name, measured[name], flush=True)
    shutil.rmtree(HERE)
    own = Path(__file__).parent / "results" / "extract-efficientnet_lite0-cpu.json"
    extraction = json.loads(own.read_text(encoding="utf-8"))
    cpu_rate = statistics.median(extraction["images_per_second"]["ours"])
    sources = SOURCES | {"own": (f"`benchmarks/results/{own.name}`", "")}
    rows = INPUTS | {"cpu_rate": (cpu_rate, "images/s", "EfficientNet-Lite0 on two CPUs, the whole extraction", "own")}
    inputs = {
        name: dict(zip(("value", "unit", "of", "source", "url"), (*row[:3], *sources[row[3]]), strict=True))
        for name, row in rows.items()
    }
    content = {
        "command": "python benchmarks/plan.py",
        "seed": 0,
        "inputs": inputs,
        "measured": measured,
        "an_image_of_shards": slope(measured["index"], "peak"),
        "loop_to_gpu": measured["loop"][2]["rate"] / INPUTS["gpu_rate"][0],
        "largest_excess_of_a_bank": max(row["bank_by_formula"] for row in measured["loop"]) - 1,
        "cases": {name: case(name, measured, cpu_rate) for name in ("inat", "lake")},
    }
    record(OUT, content, "pillow", "h5py")


if __name__ == "__main__":
    main()
