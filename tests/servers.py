"""A real web server for the tests of addresses, which can fail in the ways that servers do."""

from __future__ import annotations

import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class WebServer(ThreadingHTTPServer):
    """Serves the files of a directory from a thread.

    Attributes:
        asked: ``METHOD /path?query`` of each request.
        fails: Path → the states with which its next requests are answered, instead of the file.
        silent: Paths that are never answered.
        parts: Whether a request for a part of a file gets the part; else it gets the whole file.
        key: The query that a request must have, if any.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.parts, self.key = root, True, ""
        self.asked: list[str] = []
        self.fails: dict[str, list[int]] = {}
        self.silent: set[str] = set()
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()


class _Handler(SimpleHTTPRequestHandler):
    server: WebServer

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, directory=str(args[2].root), **options)

    def log_message(self, *args) -> None:
        pass

    def send_head(self):
        path, _, query = self.path.partition("?")
        path = unquote(path)
        self.server.asked.append(f"{self.command} {self.path}")
        if path in self.server.silent:
            self.server.ended.wait(60)
            return None
        if states := self.server.fails.get(path):
            self.send_error(states.pop(0))
            return None
        if self.server.key and query != self.server.key:
            self.send_error(403)
            return None
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        file = Path(self.translate_path(path))
        if not (wanted and self.server.parts and file.is_file()):
            return super().send_head()
        first, last = int(wanted[1]), min(int(wanted[2]), file.stat().st_size - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{file.stat().st_size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(file.read_bytes()[first : last + 1])
        return None
