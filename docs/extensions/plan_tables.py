"""The tables of the page about planning a large extraction, from ``benchmarks/results/plan.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from recorded import recorded, size, written

#: The cases of the plan, and the heads of their columns.
CASES = {"inat": "iNaturalist 2021", "lake": "lake of 10⁸"}


def rate(value: float) -> str:
    """Bytes per second."""
    return f"{size(value)}/s"


def hours(value: float) -> str:
    """Hours, or minutes if it is less than one hour."""
    if value < 1:
        return f"{60 * value:.{0 if value > 1 / 6 else 1}f}\N{NO-BREAK SPACE}min"
    return f"{value:,.{0 if value >= 100 else 1}f}\N{NO-BREAK SPACE}h"


def number(value: float) -> str:
    """A number, with a decimal if it is small."""
    return f"{value:,.{0 if value >= 20 or value == int(value) else 1}f}"


def dollars(value: float) -> str:
    """US dollars."""
    return f"{value:.{2 if value < 10 else 0}f}\N{NO-BREAK SPACE}USD"


def share(value: float) -> str:
    """A share in percent."""
    return written(value, ".0%")


Row = tuple[str, str, Callable[[float], str]]
#: What is computed: its words, its name in the result, and how it is written.
SPACE: tuple[Row, ...] = (
    ("images", "all_images", size),
    ("bank: 8CD + 4D²", "bank", size),
    ("bank with `--keep-images`: N (4D + 8 + L) more", "bank_keep", size),
    ("checkpoint or shard: 16CD + 8D²", "checkpoint", size),
    ("disk while extracting with `--keep-images`: the features twice", "disk_keep", size),
    ("disk while merging shards with them: three times", "disk_merge", size),
    ("memory of the sums: 16CD + 8D²", "sums", size),
    ("memory to open the images as tar shards, at most, in each process", "index", size),
    ("memory of the ids, packed: N (L + 8)", "ids", size),
    (
        "`duplicates`, memory: N (2L + 32), and the larger of 2 GiB (training codes) and N (D/8 + 8) + 1 GiB",
        "duplicates",
        size,
    ),
    ("`duplicates`, disk: 4ND more", "duplicates_disk", size),
    (
        "`cluster`, memory: the larger of N (L + 82) (seeking equal ids) and N (L + 17) + a sample of at most 2 GiB",
        "cluster",
        size,
    ),
    ("`select`, memory of each copy of the pool's figures: 8CD + 4D²", "select", size),
)
TIME: tuple[Row, ...] = (
    ("one A100: N / rate", "gpu_hours", hours),
    ("this machine: two CPUs, a smaller network", "cpu_hours", hours),
    ("decoding by one CPU, images/s", "decode_rate", number),
    ("decoding: hours of one CPU", "decode_hours", hours),
    ("CPUs that decode for one A100", "cpus_per_gpu", number),
    ("share of the CPUs of p4d.24xlarge that this takes", "decode_share", share),
    ("bytes that one A100 reads", "bytes_per_gpu", rate),
    ("bytes that p4d.24xlarge reads", "machine_bytes", rate),
    ("requests under way for one A100, if one request gives one image", "requests", number),
    ("time of one process to open the images as tar shards", "index_hours", hours),
    ("p4d.24xlarge: the slower of its GPUs and CPUs", "machine_hours", hours),
    ("the same, and opening before it", "all_hours", hours),
    ("its list price for both", "usd", dollars),
    ("download at the rate of one machine of 16 cores", "download_hours", hours),
)


def computed(rows: tuple[Row, ...]) -> Iterator[tuple[str, ...]]:
    """The rows of a table of what is computed for each case."""
    found = recorded("plan")["cases"]
    for words, name, form in rows:
        yield words, *(form(found[case][name]) for case in CASES)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".removesuffix("0")


def inputs() -> Iterator[tuple[str, ...]]:
    """The rows of the table of inputs."""
    for row in recorded("plan")["inputs"].values():
        value = size(row["value"]) if row["unit"] == "bytes" else f"{_plain(row['value'])} {row['unit']}"
        yield row["of"], value, f"[{row['source']}]({row['url']})" if row["url"] else row["source"]


def loop() -> Iterator[tuple[str, ...]]:
    """The rows of the table of the loop without decoding and network."""
    for row in recorded("plan")["measured"]["loop"]:
        kept = "kept" if row["keep_images"] else "not kept"
        yield f"D = {row['width']:,}, {kept}", f"{row['images']:,}", f"{row['rate']:,}", written(row["seconds"], ".0f")
