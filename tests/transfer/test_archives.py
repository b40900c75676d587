"""Archives of a recipe are unpacked once, whole, and by one process."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from mutations import NO_FILES
from servers import WebServer

from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located
from transfer.archives import unpack


def test_archives_are_unpacked_once_and_whole(tmp_path: Path) -> None:
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "1.txt").write_text("one")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    out = unpack(["set.tar"], tmp_path, tmp_path / "out")
    assert (out / "set" / "a" / "1.txt").read_text() == "one"
    (out / "set" / "a" / "1.txt").write_text("mine")
    unpack(["set.tar"], tmp_path, tmp_path / "out")
    assert (out / "set" / "a" / "1.txt").read_text() == "mine"
    (tmp_path / "set" / "a" / "2.txt").write_text("two")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    unpack(["set.tar"], tmp_path, tmp_path / "out")  # another archive now: unpacked anew
    assert (out / "set" / "a" / "1.txt").read_text() == "one"
    assert (out / "set" / "a" / "2.txt").read_text() == "two"
    (tmp_path / "other.tar").write_bytes((tmp_path / "set.tar").read_bytes())
    with pytest.raises(InputError, match="does not come from this archive"):
        unpack(["other.tar"], tmp_path, tmp_path / "out")
    (tmp_path / "outside.txt").write_text("mine")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "set" / "a" / "1.txt", "../../outside.txt")
    with pytest.raises(InputError, match=r"evil\.tar: \.\./\.\./outside\.txt leaves the folder"):
        unpack(["evil.tar"], tmp_path, tmp_path / "out")
    assert (tmp_path / "outside.txt").read_text() == "mine"
    (tmp_path / "bad.tar").write_bytes((tmp_path / "set.tar").read_bytes()[:700])
    with pytest.raises(InputError, match=r"bad\.tar"):
        unpack(["bad.tar"], tmp_path, tmp_path / "out")
    assert [p.name for p in out.iterdir() if "bad" in p.name and not p.name.endswith(".part")] == []


def test_two_processes_do_not_unpack_one_archive_at_once(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    (tmp_path / "out").mkdir()
    hold = "import sys; from pathlib import Path; from features.infrastructure.disk.locks import locked\n"
    hold += "with locked(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "out" / "set.tar")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InputError, match=f"set.tar: another process is writing it .process {other.pid} on "):
            unpack(["set.tar"], tmp_path, tmp_path / "out")
        other.stdin.close()
    assert (unpack(["set.tar"], tmp_path, tmp_path / "out") / "set").is_dir()


def test_archives_of_a_web_server_are_unpacked_once(tmp_path: Path, web: WebServer) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "1.txt").write_text("one")
    with tarfile.open(web.root / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    data = located(f"{web.address}?sig=SECRET")
    for _ in range(2):
        out = unpack(["set.tar"], data, tmp_path / "out")
        assert (out / "set" / "1.txt").read_text() == "one"
    assert [asked for asked in web.asked if asked.startswith("GET")] == ["GET /set.tar?sig=SECRET"]
    with pytest.raises(InputError, match=f"{web.address}/none.tar: no such archive"):
        unpack(["none.tar"], data, tmp_path / "out")
    (web.root / "bad.tar").write_bytes((web.root / "set.tar").read_bytes()[:700])
    with pytest.raises(InputError, match=f"{web.address}/bad.tar: cannot be unpacked") as caught:
        unpack(["bad.tar"], data, tmp_path / "out")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("what", NO_FILES)
def test_a_damaged_marker_is_said_and_nothing_is_lost(tmp_path, capsys, what):
    """Without its marker an unpacked folder could be anyone's, so it is not replaced."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "a.txt").write_text("a")
    with tarfile.open(data / "birds.tar", "w") as archive:
        archive.add(tmp_path / "birds", "birds")
    out = unpack(["birds.tar"], data, tmp_path / "out")
    (out / ".birds.tar.json").write_bytes(NO_FILES[what])
    with pytest.raises(InputError, match=r"birds exists and does not come from this archive; remove it"):
        unpack(["birds.tar"], data, tmp_path / "out")
    assert (out / "birds" / "a.txt").read_text() == "a"
    assert "not a readable marker of an archive" in capsys.readouterr().err
