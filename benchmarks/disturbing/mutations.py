"""Damage to files: bits that flip, ends that are cut off, blocks that are zeroed, exchanged or overwritten."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: Sizes of the blocks of disks, file systems and transfers, and smaller ones.
BLOCKS = (8, 64, 512, 4096)


def mutations(data: bytes, seed: int, times: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield a name and damaged bytes for each of 16 kinds of damage, ``times`` times with other places.

    All of them differ from ``data``, which has at least 16 bytes. One seed gives one sequence.
    """
    generator = random.Random(seed)
    for _ in range(times):
        for name, content in _kinds(data, generator):
            if content != data:
                yield name, content


def _kinds(data: bytes, generator: random.Random) -> Iterator[tuple[str, bytes]]:
    size = len(data)
    for _ in range(4):
        place, bit = generator.randrange(size), generator.randrange(8)
        yield f"bit {bit} of byte {place} flipped", _with(data, place, bytes([data[place] ^ 1 << bit]))
    place = generator.randrange(min(size, 2048))  # where formats describe themselves
    yield f"byte {place} of the head overwritten", _with(data, place, generator.randbytes(1))
    place = size - 1 - generator.randrange(min(size, 2048))
    yield f"byte {place} of the tail overwritten", _with(data, place, generator.randbytes(1))
    end = generator.randrange(size)
    yield f"cut off at byte {end}", data[:end]
    yield f"cut off at block {end // 512}", data[: end // 512 * 512]
    yield f"zeros from byte {end} on", data[:end] + bytes(size - end)
    block = generator.choice([length for length in BLOCKS if length <= size // 2])
    first, second = sorted(generator.sample(range(size // block), 2))
    here, there = data[first * block : (first + 1) * block], data[second * block : (second + 1) * block]
    yield f"block {first} of {block} bytes zeroed", _with(data, first * block, bytes(block))
    yield f"block {first} of {block} bytes set to ones", _with(data, first * block, b"\xff" * block)
    yield f"block {first} of {block} bytes made noise", _with(data, first * block, generator.randbytes(block))
    exchanged = _with(_with(data, first * block, there), second * block, here)
    yield f"blocks {first} and {second} of {block} bytes exchanged", exchanged
    yield f"block {first} of {block} bytes copied over block {second}", _with(data, second * block, here)
    yield f"block {first} of {block} bytes lost", data[: first * block] + data[(first + 1) * block :]
    yield f"block {first} of {block} bytes doubled", data[: first * block] + here + data[first * block :]


def _with(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]
