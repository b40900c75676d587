"""Survey of an HDF5 file: what it declares is compared with what it stores, before any of it is read.

Only what is in the file itself is accepted: links, external storage and virtual datasets could read other files of this
machine. What is declared is bounded by what is stored, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py

#: Filters that HDF5 and h5py have built in; others are loaded as plugins: deflate, shuffle, Fletcher32, szip, n-bit,
#: scale-offset, LZF.
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
#: Bytes that a dataset or its text may take in memory whatever it stores, and by how much that may exceed what is
#: stored. Deflate shortens zeros to a thousandth, and features to a half.
_SMALL, _RATIO = 2**26, 100
#: Texts that are read at a time.
_TEXTS = 2**12


class Suspect(ValueError):
    """A file declares what is not accepted; the text says what."""


def survey(file: h5py.File, path: Path, *, heap: bool = True) -> bool:
    """Visit all that an HDF5 file holds; return whether some of it is in a heap, which has no checksum.

    These are values of variable length. Texts among them are read with ``heap``; without it the survey ends there.

    Raises:
        Suspect: Something leads out of the file, needs a plugin, or declares far more than it stores.
        Exception: HDF5 cannot read the file.
    """
    size = path.stat().st_size
    has_heap = _attributes(file, heap)
    seen, groups = {_address(file)}, [file["/"]]
    while groups and (heap or not has_heap):
        group = groups.pop()
        for name in list(group):
            where = f"{group.name.rstrip('/')}/{name}"[1:]
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a link"
                raise Suspect(f"{where} is {kind}, which is not followed")
            item = group[name]
            if (address := _address(item)) in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                has_heap |= _dataset(item, where, size, heap)
    return has_heap


def _address(item: Any) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _attributes(file: h5py.File, heap: bool) -> bool:
    """Read the attributes of the file, those in a heap with ``heap``; return whether there are any of these."""
    has_heap = False
    for name in file.attrs:
        attribute = file.attrs.get_id(name)
        in_heap = _is_in_heap(attribute.get_type())
        has_heap |= in_heap
        declared = attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size()
        if declared > _SMALL:
            raise Suspect(f"the attribute {name} has {declared:,} bytes")
        if heap or not in_heap:
            file.attrs[name]
    return has_heap


def _dataset(item: h5py.Dataset, where: str, size: int, heap: bool) -> bool:
    """Check a dataset of a file of ``size`` bytes; return whether its values are in a heap."""
    storage, kind = item.id.get_create_plist(), item.id.get_type()
    if storage.get_layout() == h5py.h5d.VIRTUAL:
        raise Suspect(f"{where} is a virtual dataset, whose values are in other files")
    if storage.get_external_count():
        raise Suspect(f"{where} has its values in another file")
    if _holds(kind, h5py.h5t.REFERENCE):
        raise Suspect(f"{where} holds references")
    for number in range(storage.get_nfilters()):
        if (found := storage.get_filter(number)[0]) not in _FILTERS:
            raise Suspect(f"{where} needs filter {found}, which is not built in; save it with gzip or without a filter")
    if item.shape is None:
        return False
    stored = item.id.get_storage_size()
    declared = math.prod(item.shape) * kind.get_size()
    chunk = math.prod(item.chunks or ()) * kind.get_size()
    if stored > size:
        raise Suspect(f"{where} stores {stored:,} bytes in a file of {size:,}")
    if max(declared, chunk) > max(_SMALL, _RATIO * stored):
        raise Suspect(f"{where} declares {max(declared, chunk):,} bytes, but stores {stored:,}")
    if item.chunks is not None:
        _chunks(item, where, size)
    elif stored and (start := item.id.get_offset()) is not None and start + stored > size:
        raise Suspect(f"{where} ends behind the end of the file")
    if heap and isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
        _texts(item, where, size)
    return _is_in_heap(kind)


def _chunks(item: h5py.Dataset, where: str, size: int) -> None:
    """Visit the index of the chunks."""

    def check(chunk: Any) -> None:
        if chunk.byte_offset + chunk.size > size:
            raise Suspect(f"{where} ends behind the end of the file")

    item.id.chunk_iter(check)


def _texts(item: h5py.Dataset, where: str, size: int) -> None:
    """Read the texts of a dataset; several may be one text of the file, as often as a bomb likes."""
    if item.ndim > 1:  # which nothing reads
        return
    total = 0
    for start in range(0, len(item), _TEXTS) if item.ndim else ():
        total += sum(map(len, item[start : start + _TEXTS]))
        if total > max(_SMALL, 4 * size):
            raise Suspect(f"{where} holds more text than the file has bytes")
    if item.ndim == 0:
        item[()]


def _is_in_heap(kind: Any) -> bool:
    """Whether the values of a type are of variable length, which are in the global heap of the file."""
    is_text = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    return is_text or _holds(kind, h5py.h5t.VLEN)


def _holds(kind: Any, sought: int) -> bool:
    return bool(kind.get_class() == sought or kind.detect_class(sought))
