"""The inputs of the plan of a large extraction, and its arithmetic; ``benchmarks/plan.py`` measures and records."""

from __future__ import annotations

from typing import Any

GITHUB = "https://github.com"
#: What the inputs are read from, by a short name.
SOURCES = {
    "inat": ("iNaturalist 2021, README", f"{GITHUB}/visipedia/inat_comp/tree/master/2021"),
    "laion": ("img2dataset, LAION-400M", f"{GITHUB}/rom1504/img2dataset/blob/main/dataset_examples/laion400m.md"),
    "nvidia": (
        "NVIDIA DeepLearningExamples, ResNet-50 v1.5 for TensorFlow",
        f"{GITHUB}/NVIDIA/DeepLearningExamples/blob/master/TensorFlow/Classification/ConvNets/resnet50v1.5/README.md",
    ),
    "aws": (
        "AWS Compute Blog, P4d instances",
        "https://aws.amazon.com/blogs/compute/amazon-ec2-p4d-instances-deep-dive/",
    ),
    "price": (
        "Data Receipts 109, GPU pricing, read on 2026-11-09",
        f"{GITHUB}/datareceipts/data-receipts/blob/main/109-gpu-pricing/hyperscalers.json",
    ),
    "s3": (
        "Amazon S3 User Guide, performance",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
    ),
    "assumed": ("assumed", ""),
    "layout": ("its layout", ""),
    "default": ("the default", ""),
}
#: Published or assumed figures: value, unit, what it is, and its source.
INPUTS: dict[str, tuple[float, str, str, str]] = {
    "inat_images": (2_686_843, "images", "iNaturalist 2021, training images", "inat"),
    "inat_classes": (10_000, "classes", "iNaturalist 2021, classes", "inat"),
    "inat_bytes": (224e9, "bytes", "iNaturalist 2021, archive of images of at most 500 px", "inat"),
    "inat_id": (120, "bytes", "iNaturalist 2021, an id such as train/CLASS/UUID.jpg", "assumed"),
    "lake_images": (100e6, "images", "the lake", "assumed"),
    "laion_images": (400e6, "images", "LAION-400M, whose images those of the lake are like", "laion"),
    "laion_bytes": (10e12, "bytes", "LAION-400M at 256 px, as tar shards", "laion"),
    "laion_rate": (1300, "images/s", "LAION-400M, download by one machine of 16 cores", "laion"),
    "lake_id": (19, "bytes", "the lake, an id such as 00000.tar/000000000", "layout"),
    "clusters": (4096, "clusters", "`transfer cluster` of the lake", "default"),
    "width": (2048, "features", "ResNet-50, D", "layout"),
    "gpu_rate": (3229.32, "images/s", "ResNet-50 on one A100 (40 GB), mixed precision, batches of 256", "nvidia"),
    "machine_gpus": (8, "A100", "p4d.24xlarge", "aws"),
    "machine_cpus": (96, "vCPUs", "p4d.24xlarge", "aws"),
    "machine_price": (21.957642, "USD/h", "p4d.24xlarge on demand, us-east-1", "price"),
    "request": (0.1, "s", "a request to a store; 0.1 to 0.2 s are typical of S3", "s3"),
    "requests_a_prefix": (5500, "requests/s", "S3, for each prefix, at least", "s3"),
}


def bank_bytes(classes: float, width: float) -> float:
    """Bytes of a bank: means and variances (C, D), covariance (D, D), float32."""
    return 8 * classes * width + 4 * width**2


def slope(rows: list[dict[str, Any]], name: str) -> float:
    """How much of something each image adds between two sizes."""
    return (rows[1][name] - rows[0][name]) / (rows[1]["images"] - rows[0]["images"])


def case(name: str, measured: dict[str, Any], cpu_rate: float) -> dict[str, float]:
    """The arithmetic of one case; bytes, seconds, hours, USD."""
    value = {key: row[0] for key, row in INPUTS.items()}
    images, width = value[f"{name}_images"], value["width"]
    classes = value["inat_classes"] if name == "inat" else 1
    pool = classes if name == "inat" else value["clusters"]
    an_image = value["inat_bytes"] / images if name == "inat" else value["laion_bytes"] / value["laion_images"]
    id_, decoding = value[f"{name}_id"], measured["decode"][name]["rate"]
    kept, checkpoint = images * (4 * width + 8), 16 * classes * width + 8 * width**2
    bank = bank_bytes(classes, width)
    by_gpu, by_cpu = value["machine_gpus"] * value["gpu_rate"], value["machine_cpus"] * decoding
    rate = min(by_gpu, by_cpu)
    # Counted in the source: similarity/clustering.py, similarity/copies/neighbours.py and duplicates.py.
    sample = 4 * width * min(images, 256 * value["clusters"], 2**29 // width)
    training = 4 * width * min(images, 2**28 // width)  # float32; twice while its parts are joined
    named = id_ + 16  # a packed id, where it ends, and a label
    longer = id_ - value["lake_id"]
    twins = measured["ids"][0]["peak_of_twins"] / measured["ids"][0]["ids"] + longer
    opening = images * slope(measured["index"], "seconds") / 3600
    an_entry = slope(measured["index"], "peak") + 2 * longer  # packed, and joined
    return {
        "images": images,
        "classes": classes,
        "an_image": an_image,
        "all_images": images * an_image,
        "shards": images / 10_000,
        "bank": bank,
        "bank_keep": bank + kept + images * id_,
        "checkpoint": checkpoint,
        "disk_keep": kept + bank + kept + images * id_,
        "disk_merge": 3 * (kept + images * id_) - images * id_ + bank,
        "sums": checkpoint,
        "index": images * an_entry,
        "index_hours": opening,
        "ids": images * (id_ + 8),
        # Labels and ids are read twice. A code of one bit a feature has its number, of 8 bytes.
        "duplicates": 2 * images * named + max(images * (width / 8 + 8) + training, 2 * training),
        "duplicates_disk": images * 4 * width,
        # Equal ids are sought beside the labels; then a sample is drawn, which one byte marks.
        "cluster": max(images * (twins + 8), sample + images * (named + 1)),
        "select": bank_bytes(pool, width),
        "gpu_hours": images / value["gpu_rate"] / 3600,
        "cpu_hours": images / cpu_rate / 3600,
        "decode_rate": decoding,
        "decode_hours": images / decoding / 3600,
        "cpus_per_gpu": value["gpu_rate"] / decoding,
        "decode_share": by_gpu / by_cpu,
        "bytes_per_gpu": value["gpu_rate"] * an_image,
        "requests": value["gpu_rate"] * value["request"],
        "prefixes": rate / value["requests_a_prefix"],
        "machine_rate": rate,
        "machine_bytes": rate * an_image,
        "machine_hours": images / rate / 3600,
        "all_hours": opening + images / rate / 3600,
        "usd": (opening + images / rate / 3600) * value["machine_price"],
        "download_hours": images / value["laion_rate"] / 3600,
    }
