"""Archives: tar shards and tar archives whose members lie, lead elsewhere, or have no end."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hostile.case import Case, Cases, written
from layouts import PNG

from transfer.archives import unpack


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    """A member of a tar file, padded."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A header with twelve bytes of one's own as the size."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sample(key: str = "a", label: bytes = b"ant") -> bytes:
    return member(f"{key}.png", PNG) + member(f"{key}.cls", label)


_END = bytes(1024)
_HUGE = b"77777777777\0"
#: −512 in base 256, at which a reader that adds sizes stands still.
_BACK = b"\xff" * 10 + b"\xfe\x00"


def _pax(**fields: str) -> bytes:
    lines = b""
    for name, value in fields.items():
        line = f" {name.replace('__', '.')}={value}\n".encode()
        size = len(line)
        while len(str(size)) + len(line) != size:
            size = len(str(size)) + len(line)
        lines += str(size).encode() + line
    return member("pax", lines, tarfile.XHDTYPE)


#: Shards that hold the sample ``a`` of the class ``ant``, and what is hostile.
SHARDS: dict[str, tuple[Callable[[], bytes], Mapping[str, int] | str | None]] = {
    "a plain sample": (lambda: sample() + _END, {"ant": 1}),
    "no end": (lambda: sample(), {"ant": 1}),
    "an absolute name": (lambda: sample() + sample("/etc/b") + _END, {"ant": 2}),
    "a name that leaves": (lambda: sample() + sample("../../b") + _END, {"ant": 2}),
    "a name with backslashes": (lambda: sample() + sample("b\\c") + _END, {"ant": 2}),
    "a name with a new line": (lambda: sample() + sample("b\nid") + _END, {"ant": 2}),
    "a name of 10,000 characters": (lambda: sample() + sample("b" * 10_000) + _END, {"ant": 2}),
    "no name": (lambda: sample() + member("", b"x") + _END, None),
    "one sample twice": (lambda: sample() + sample() + _END, "two files"),
    "a symbolic link": (
        lambda: sample() + member("b.png", kind=tarfile.SYMTYPE, linkname="/etc/passwd") + _END,
        {"ant": 1},
    ),
    "a hard link": (lambda: sample() + member("b.png", kind=tarfile.LNKTYPE, linkname="a.png") + _END, {"ant": 1}),
    "a device": (lambda: sample() + member("b.png", kind=tarfile.CHRTYPE, devmajor=1, devminor=5) + _END, {"ant": 1}),
    "a FIFO": (lambda: sample() + member("b.png", kind=tarfile.FIFOTYPE) + _END, {"ant": 1}),
    "a sparse image of 1 TB": (lambda: sample() + _sparse("b.png", 1 << 40) + member("b.cls", b"ant") + _END, "sparse"),
    "a sparse label of 1 TB": (lambda: sample() + member("b.png", PNG) + _sparse("b.cls", 1 << 40) + _END, "sparse"),
    "a sparse label by attributes": (
        lambda: (
            _pax(
                GNU__sparse__major="1",
                GNU__sparse__minor="0",
                GNU__sparse__name="a.cls",
                GNU__sparse__realsize=str(1 << 40),
            )
            + member("x", b"0\n".ljust(512, b"\0"))
            + _END
        ),
        "",
    ),
    "a sparse map that is no number": (
        lambda: (
            _pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name="a", GNU__sparse__realsize="x")
            + member("x", b"x\n".ljust(512, b"\0"))
            + _END
        ),
        "",
    ),
    "a size below 0": (lambda: sample() + header("b.png", _BACK) + _END, "below 0"),
    "a first size below 0": (lambda: header("b.png", _BACK) + sample() + _END, ""),
    "a size of -512 by an attribute": (
        lambda: sample() + _pax(size="-512") + header("b.png", b"00000000000\0") + _END,
        "",
    ),
    "a size of -1536 by an attribute": (
        lambda: sample() + _pax(size="-1536") + header("b.png", b"00000000000\0") + _END,
        "",
    ),
    "a size of 5,000 digits": (lambda: sample() + _pax(size="9" * 5000) + member("b.png") + _END, ""),
    "a size that is no number": (lambda: sample() + _pax(size="x") + member("b.png", PNG) + _END, None),
    "a size of 8 GB": (lambda: sample() + header("b.png", _HUGE) + PNG + _END, ""),
    "attributes of 8 GB": (lambda: sample() + header("b", _HUGE, b"x") + _END, ""),
    "a long name of 8 GB": (lambda: sample() + header("b", _HUGE, b"L") + _END, ""),
    "a long name of 8 GB that is there": (None, ""),
    "attributes that follow themselves": (lambda: sample() + _pax(path="b.png") * 5_000 + member("c") + _END, None),
    "a negative length of an attribute": (
        lambda: sample() + member("p", b"-5 path=b\n", tarfile.XHDTYPE) + member("b.txt") + _END,
        "",
    ),
    "an attribute of no length": (
        lambda: sample() + member("p", b"0 path=b\n", tarfile.XHDTYPE) + member("b.txt") + _END,
        "",
    ),
    "an attribute of text": (
        lambda: sample() + member("p", b"no attribute", tarfile.XHDTYPE) + member("b.txt") + _END,
        "",
    ),
    "a label of 200 MB": (lambda: member("a.png", PNG) + member("a.cls", b"a" * (200 << 20)) + _END, "label"),
    "JSON of 200 MB": (
        lambda: member("a.png", PNG) + member("a.json", b'{"label": "' + b"a" * (200 << 20) + b'"}') + _END,
        "label",
    ),
    "JSON nested 10^5 deep": (lambda: member("a.png", PNG) + member("a.json", b"[" * 100_000) + _END, "label"),
    "a label of 5,000 digits": (lambda: sample(label=b"9" * 5000) + _END, "label"),
    "JSON with a label of 5,000 digits": (
        lambda: member("a.png", PNG) + member("a.json", b'{"label": ' + b"9" * 5000 + b"}") + _END,
        "label",
    ),
    "the label 2^70": (lambda: sample(label=b"%d" % 2**70) + _END, "label"),
    "a label below 0": (lambda: sample(label=b"-1") + _END, {"-1": 1}),
    "a label that is not UTF-8": (lambda: sample(label=b"\xff\xfe") + _END, "label"),
    "a label of two lines": (lambda: sample(label=b"a\nb") + _END, {"a\\nb": 1}),
    "a label of NUL": (lambda: sample(label=b"\0") + _END, {"\\x00": 1}),
    "an empty label": (lambda: sample(label=b"") + _END, "no label"),
    "numbers and names": (lambda: sample("a", b"1") + sample("b", b"ant") + _END, "one kind"),
    "gzip": (lambda: gzip.compress(sample() + _END), "uncompressed"),
    "ZIP": (lambda: b"PK\x03\x04" + bytes(600), "uncompressed"),
    "nothing": (lambda: b"", ""),
    "zeros": (lambda: bytes(10240), "empty"),
    "text": (lambda: b"no tar file\n" * 99, "uncompressed"),
    "half a header": (lambda: sample()[:300], ""),
    "half an image": (lambda: sample()[:560], ""),
    "a damaged header": (lambda: sample() + b"x" * 512 + _END, "damaged"),
    "ten thousand samples": (lambda: b"".join(sample(f"{i:05d}") for i in range(10_000)) + _END, {"ant": 10_000}),
    "ten thousand classes": (
        lambda: b"".join(sample(f"{i:05d}", b"c%05d" % i) for i in range(10_000)) + _END,
        {f"c{i:05d}": 1 for i in range(10_000)},
    ),
    "a long label among 5,000": (
        lambda: b"".join(sample(f"{i:05d}", b"x" * 100_000 if i == 5 else b"ant") for i in range(5_000)) + _END,
        {"ant": 4_999, "x" * 100_000: 1},
    ),
}


def _sparse(name: str, size: int) -> bytes:
    """An old sparse member of GNU tar: nothing but its end."""
    block = bytearray(header(name, b"00000000000\0", b"S"))
    block[257:265] = b"ustar  \0"
    block[386:398], block[398:410] = b"\x80" + struct.pack(">QI", 0, 0)[1:], b"00000000000\0"
    block[483:495] = b"\x80\0\0\0" + struct.pack(">Q", size)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _shard(content: Callable[[], bytes] | None) -> Callable[[Path], str]:
    def build(folder: Path) -> str:
        if content is not None:
            return f"wds:{written(folder / 's.tar', content())}"
        path = written(folder / "s.tar", sample() + header("b", _HUGE, b"L"))
        with path.open("r+b") as file:
            file.truncate(9 << 30)
        return f"wds:{path}"

    return build


#: Tar archives to be unpacked, beside the file ``a/a.png``, and what the refusal says; empty for one that is right.
ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a plain file": (lambda: b"", ""),
    "an absolute name": (lambda: member("/written", b"x"), "leaves"),
    "a name that leaves": (lambda: member("../written", b"x"), "leaves"),
    "a name that leaves from within": (lambda: member("a/../../written", b"x"), "leaves"),
    "a symbolic link out": (lambda: member("a/l", kind=tarfile.SYMTYPE, linkname="/etc"), "link"),
    "a symbolic link within": (lambda: member("a/l", kind=tarfile.SYMTYPE, linkname="a.png"), "link"),
    "a file through a link": (
        lambda: member("l", kind=tarfile.SYMTYPE, linkname="..") + member("l/written", b"x"),
        "link",
    ),
    "a hard link out": (lambda: member("a/l", kind=tarfile.LNKTYPE, linkname="/etc/passwd"), "link"),
    "a hard link within": (lambda: member("a/l", kind=tarfile.LNKTYPE, linkname="a/a.png"), "link"),
    "a device": (lambda: member("a/d", kind=tarfile.CHRTYPE, devmajor=1, devminor=5), "device"),
    "a block device": (lambda: member("a/d", kind=tarfile.BLKTYPE, devmajor=8), "device"),
    "a FIFO": (lambda: member("a/f", kind=tarfile.FIFOTYPE), "device"),
    "a file in the place of a folder": (lambda: member("a", b"x"), ""),
    "a file below a file": (lambda: member("a/a.png/b", b"x"), "cannot be unpacked"),
    "a name of 300 characters": (lambda: member("b" * 300, b"x"), "cannot be unpacked"),
    "a name with NUL": (lambda: _pax(path="b\0c") + member("b", b"x"), ""),
    "a size below 0": (lambda: header("b.png", _BACK), "below 0"),
    "a size of -512 by an attribute": (lambda: _pax(size="-512") + header("b.png", b"00000000000\0"), ""),
    "a sparse file of 1 TB": (lambda: _sparse("b", 1 << 40), "sparse"),
    "a size of 8 GB": (lambda: header("b", _HUGE), ""),
    "a long name of 8 GB": (lambda: header("b", _HUGE, b"L"), ""),
    "half a header": (lambda: b"x" * 512, ""),
}
#: Beyond them, those of which the refusal is not the point: they are unpacked, or refused in one line.
_EITHER = ("a file in the place of a folder", "a name with NUL", "half a header")


def _archive(content: bytes, name: str = "x.tar") -> Callable[[Path], Callable[[], Mapping[str, int]]]:
    def build(folder: Path) -> Callable[[], Mapping[str, int]]:
        written(folder / "data" / name, content)

        def unpacked() -> Mapping[str, int]:
            try:
                unpack([name], folder / "data", folder / "out")
            finally:
                outside = {path.name for path in folder.iterdir()} - {"data", "out"}
                assert not outside and not os.path.exists("/written")
                left = [
                    path
                    for path in (folder / "out").rglob("*")
                    if path.is_symlink() or not (path.is_file() or path.is_dir())
                ]
                assert not left, left
            return {"ant": len(list((folder / "out").rglob("a.png")))}

        return unpacked

    return build


def _bomb() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=9) as tar:
        info = tarfile.TarInfo("a/a.png")
        info.size = 1 << 29
        tar.addfile(info, _Zeros())
    return file.getvalue()


class _Zeros(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def cases() -> Cases:
    for name, (content, right) in SHARDS.items():
        yield Case(f"a shard with {name}", _shard(content), right)
    start = member("a/", kind=tarfile.DIRTYPE, mode=0o755) + member("a/a.png", PNG)
    for name, (content, line) in ARCHIVES.items():
        whole = start + content() + _END
        right = None if name in _EITHER else {"ant": 1} if name == "a plain file" else line
        yield Case(f"an archive with {name}", _archive(whole), right)
        yield Case(f"a compressed archive with {name}", _archive(gzip.compress(whole), "x.tar.gz"), right)
    yield Case(
        "an archive of half its bytes", _archive(gzip.compress(start * 50)[:-30], "x.tar.gz"), "cannot be unpacked"
    )
    yield Case("an archive that is none", _archive(b"no tar file"), "cannot be unpacked")
    yield Case("an archive of 512 MB of zeros in 512 kB", _Lazy(), "times")


class _Lazy:
    """Makes the archive only when the case is used."""

    def __call__(self, folder: Path) -> Callable[[], Mapping[str, int]]:
        return _archive(_bomb(), "x.tar.gz")(folder)
