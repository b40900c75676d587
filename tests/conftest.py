"""Real data, where there is some; a web server, and a store in memory."""

import os
import signal
import tarfile
import uuid

import pytest
from servers import WebServer
from support import DATA

os.environ.pop("COLUMNS", None)  # workers of pytest-xdist have one, and tables are as wide as it says


@pytest.fixture
def listening():
    """Signals are heard, also where the tests were started in the background or by nohup and inherit them ignored."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def unpack(tmp_path_factory):
    """A function that unpacks (part of) an archive of real data, or skips the test where there is none."""

    def unpacked(archive, wanted=lambda name: True):
        path = DATA / archive
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        to = tmp_path_factory.mktemp(path.stem)
        with tarfile.open(path) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # older Pythons have none
            tar.extractall(to, [member for member in tar if wanted(member.name)])
        return to

    return unpacked


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server of a directory; requests that fail are made again at once."""
    pytest.importorskip("aiohttp", reason="the extra 'http' is not installed")
    monkeypatch.setattr("features.infrastructure.storage.stores.WAITS", (0.0, 0.0))
    (tmp_path / "web").mkdir()
    server = WebServer(tmp_path / "web")
    yield server
    server.close()


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The address of an empty folder in memory; what is written on the way to it is in a directory of the test."""
    from fsspec.implementations.memory import MemoryFileSystem

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    store = MemoryFileSystem()
    for path in store.find(f"/{name}"):
        store.rm_file(path)
