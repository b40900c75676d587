"""Many texts in little memory: a text takes its bytes and eight more, not the 60 more that it takes in a list."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import overload

import numpy as np
from numpy.typing import NDArray

from features.infrastructure.names import as_bytes

#: Texts that are encoded, decoded or moved at a time.
_BLOCK = 1 << 16
_ENCODING = ("utf-8", "surrogateescape")


class Texts(Sequence[str]):
    """N texts that are not changed, as one array of bytes. Bytes of file names that are not UTF-8 are kept.

    Args:
        content: The bytes of all texts, one behind the other.
        ends: (N,) where each text ends in them.
    """

    def __init__(self, content: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._content, self._ends = content, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Pack texts; :class:`Texts` are returned as they are. Half a pair of UTF-16 becomes an escape, as in names."""
        if isinstance(texts, Texts):
            return texts
        left = islice(texts, len(texts)) if isinstance(texts, Sized) else iter(texts)
        content, lengths = bytearray(), array("q")  # they grow in place
        while block := [as_bytes(text) for text in islice(left, _BLOCK)]:
            content += b"".join(block)
            lengths.extend(map(len, block))
        ends = np.frombuffer(lengths, dtype=np.int64)
        return cls(np.frombuffer(content, dtype=np.uint8), np.cumsum(ends, out=ends))

    @classmethod
    def of_arrays(cls, blocks: Iterable[NDArray[np.bytes_]]) -> Texts:
        """Return the texts of arrays of fixed-width bytes, padded with NUL."""
        parts, lengths = [np.empty(0, dtype=np.uint8)], [np.empty(0, dtype=np.int64)]
        for block in blocks:
            length = np.char.str_len(block).astype(np.int64)
            width = block.dtype.itemsize
            parts.append(block.view(np.uint8).reshape(len(block), width)[np.arange(width) < length[:, None]])
            lengths.append(length)
        return cls(np.concatenate(parts), np.cumsum(np.concatenate(lengths)))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Return the texts of several, one behind the other."""
        lengths = [np.empty(0, dtype=np.int64), *(part.lengths() for part in parts)]
        contents = [np.empty(0, dtype=np.uint8), *(part._content for part in parts)]
        return cls(np.concatenate(contents), np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Texts: ...

    def __getitem__(self, index: int | slice) -> str | Texts:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        place = range(len(self))[index]
        return self._content[self._start(place) : self._ends[place]].tobytes().decode(*_ENCODING)

    def __iter__(self) -> Iterator[str]:
        return (text.decode(*_ENCODING) for text in self.as_bytes())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return np.array_equal(self._ends, other._ends) and np.array_equal(self._content, other._content)
        if isinstance(other, Sequence) and not isinstance(other, str):
            return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Texts.of({list(self[:4])}{' and others' if len(self) > 4 else ''})"

    def lengths(self) -> NDArray[np.int64]:
        """Return the (N,) numbers of bytes of the texts."""
        return np.diff(self._ends, prepend=0)

    def take(self, places: NDArray[np.integer]) -> Texts:
        """Return the texts at M places, from 0 to N − 1, in that order."""
        lengths = self.lengths()[places]
        ends = np.cumsum(lengths)
        content = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
        for start in range(0, len(places), _BLOCK):
            part = slice(start, start + _BLOCK)
            first = ends[part] - lengths[part]
            shift = np.repeat(self._ends[places[part]] - ends[part], lengths[part])
            content[first[0] : ends[part][-1]] = self._content[np.arange(first[0], ends[part][-1]) + shift]
        return Texts(content, ends)

    def stripped(self) -> Texts:
        """Return the texts without white space at their ends; themselves if there is none."""
        filled = self.lengths() > 0
        first, last = (self._ends - self.lengths())[filled], self._ends[filled] - 1
        at_ends = np.concatenate([self._content[first], self._content[last]])
        if ((at_ends > ord(" ")) & (at_ends < 0x80)).all():  # other white space has bytes from 0x80 on
            return self
        return Texts.of(text.strip() for text in self)

    def is_plain(self) -> bool:
        """Return whether all characters of the texts are ASCII and can be printed."""
        return bool(((self._content >= ord(" ")) & (self._content <= ord("~"))).all())

    def arrays(self) -> Iterator[NDArray[np.bytes_]]:
        """Yield the texts in blocks, as arrays of fixed-width bytes, padded with NUL, which no text may hold."""
        lengths = self.lengths()
        width = max(int(lengths.max(initial=0)), 1)
        for start in range(0, len(self), _BLOCK):
            part = lengths[start : start + _BLOCK]
            block = np.zeros((len(part), width), dtype=np.uint8)
            content = self._content[self._start(start) : self._ends[start + len(part) - 1]]
            block[np.arange(width) < part[:, None]] = content
            yield block.view(f"S{width}")[:, 0]

    def as_bytes(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of each text, from place ``first`` to before place ``last``; by default of all."""
        last = len(self) if last is None else min(last, len(self))
        for begin in range(first, last, _BLOCK):
            ends = self._ends[begin : min(begin + _BLOCK, last)]
            base = self._start(begin)
            content = self._content[base : ends[-1]].tobytes()
            start = 0
            for end in (ends - base).tolist():
                yield content[start:end]
                start = end

    def blocks_of_bytes(self, separator: bytes) -> Iterator[bytes]:
        """Yield parts of what ``separator.join`` makes of the encoded texts."""
        for start in range(0, len(self), _BLOCK):
            yield separator * (start > 0) + separator.join(self.as_bytes(start, start + _BLOCK))

    def holds_nul(self) -> bool:
        """Return whether a text holds the character NUL."""
        return not self._content.all()

    def repeated(self) -> tuple[int, int] | None:
        """Return the places of the first text that repeats another one: the other one, and it; None if none does."""
        places = self.positions(self)
        again = np.flatnonzero(places != np.arange(len(self)))
        return (int(places[again[0]]), int(again[0])) if len(again) else None

    def positions(self, others: Texts) -> NDArray[np.int64]:
        """Return the (M,) place here of each of M other texts, that of its first occurrence; −1 if it is not here."""
        if not len(self):
            return np.full(len(others), -1, dtype=np.int64)
        own = self._hashes()
        sought = own if others is self else others._hashes()
        order = np.argsort(own, kind="stable")
        own = own[order]
        place = np.searchsorted(own, sought)
        found = np.append(order, -1)[np.where(own[np.minimum(place, len(own) - 1)] == sought, place, len(own))]
        known = np.flatnonzero(found >= 0)
        parts = (known[start : start + _BLOCK] for start in range(0, len(known), _BLOCK))
        if all(self.take(found[part]) == others.take(part) for part in parts):
            return found
        return self._exact_positions(others)

    def _exact_positions(self, others: Texts) -> NDArray[np.int64]:
        """As :meth:`positions`, for texts that share a hash without being equal."""
        place: dict[bytes, int] = {}
        for i, text in enumerate(self.as_bytes()):
            place.setdefault(text, i)
        return np.fromiter((place.get(text, -1) for text in others.as_bytes()), dtype=np.int64, count=len(others))

    def _hashes(self) -> NDArray[np.int64]:
        return np.fromiter(map(hash, self.as_bytes()), dtype=np.int64, count=len(self))

    def _start(self, place: int) -> int:
        return int(self._ends[place - 1]) if place else 0
