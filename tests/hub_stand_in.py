"""A stand-in of the Hugging Face hub that really stores what is sent: repositories, large files, commits, downloads.

It has the requests of ``create_repo``, ``upload_folder`` (with large files through Git LFS) and ``hf_hub_download``,
and answers what the hub answers where a token, a checksum or a file is missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

TOKEN = "hf_of_the_stand_in"


class Hub(ThreadingHTTPServer):
    """``repositories``: OWNER/NAME → path → content; ``objects``: SHA-256 → content. Only ``owner`` may write."""

    owner = "ann"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, set[str]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub() -> Iterator[Hub]:
    """A running stand-in."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _authorised(self, repository: str | None = None) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid credentials in Authorization header"})
            return False
        if repository is not None and repository.partition("/")[0] != self.server.owner:
            self._answer(403, {"error": "You don't have the rights to write there"})
            return False
        return True

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path == "/api/whoami-v2":
            if self._authorised():
                self._answer(200, {"type": "user", "name": self.server.owner, "orgs": []})
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        files = self.server.repositories.get(found[1]) if found else None
        if found is None or files is None:
            self._answer(404, X_Error_Code="RepoNotFound")
        elif found[2] not in files:
            self._answer(404, X_Error_Code="EntryNotFound")
        else:
            content = files[found[2]]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self._answer(200, content, ETag=etag, X_Repo_Commit="c" * 40, X_Linked_Size=str(len(content)))

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.server.requests.append(f"PUT {self.path}")
        content, oid = self._body(), self.path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() != oid:
            self._answer(400, {"error": "the content has another checksum"})
            return
        self.server.objects[oid] = content
        self._answer(200)

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        path, body = self.path.partition("?")[0], self._body()
        if path == "/api/validate-yaml":
            front = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            known = isinstance(front, dict) and isinstance(front.get("tags"), list)
            self._answer(200 if known else 400, {"errors": [] if known else [{"message": "no tags"}], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            if self._authorised(found[1]):
                files = json.loads(body)["files"]
                self._answer(200, {"files": [self._mode(file) for file in files]})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            if self._authorised(found[1]):
                self._answer(200, {"transfer": "basic", "objects": [*map(self._place, json.loads(body)["objects"])]})
        elif path == "/lfs/verify":
            asked = json.loads(body)
            there = len(self.server.objects.get(asked["oid"], b"")) == asked["size"]
            self._answer(200 if there else 404)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            if self._authorised(found[1]):
                self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer(404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or self.server.owner}/{asked['name']}"
        if not self._authorised(name):
            return
        there = name in self.server.repositories
        self.server.repositories.setdefault(name, {})
        self.server.large.setdefault(name, set())
        self.server.private.setdefault(name, asked.get("private") or asked.get("visibility") == "private")
        self._answer(409 if there else 200, {"url": f"{self.server.endpoint}/{name}"})

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith(".safetensors")
        return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _place(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.server.objects:
            return asked
        actions = {
            "upload": {"href": f"{self.server.endpoint}/lfs/{asked['oid']}"},
            "verify": {"href": f"{self.server.endpoint}/lfs/verify"},
        }
        return {**asked, "actions": actions}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = self.server.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.server.objects:
                    self._answer(400, {"error": f"{value['path']} was not uploaded"})
                    return
                files[value["path"]] = self.server.objects[value["oid"]]
                self.server.large[name].add(value["path"])
        url = f"{self.server.endpoint}/{name}/commit/{'c' * 40}"
        self._answer(200, {"success": True, "commitUrl": url, "commitOid": "c" * 40})
