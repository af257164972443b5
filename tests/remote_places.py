"""A bucket and a web server on this machine, as tests use them, and a reporter that keeps what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from builders import tree_hash
from matlens.data.source.patience import Patience
from matlens.system.console import Reporter

HASTE = Patience(tries=4, pause=0.001, stall=5)
SECRET = "hunter2-never-shown"


class Heard(Reporter):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str, style: str = "") -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Bucket:
    """A bucket of the local store. client: boto3's."""

    name: str
    client: Any
    endpoint: str

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def fill(self, root: Path, prefix: str) -> None:
        for file in sorted(root.rglob("*.*")):
            self.put(f"{prefix}/{file.relative_to(root).as_posix()}", file.read_bytes())


@dataclass
class Web:
    """A web server. failing: what goes wrong before a path is answered well: a status, "reset" or "cut", in turn.

    asked: (path, status) of what was answered.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, list[int | str]] = field(default_factory=dict)
    asked: list[tuple[str, int | str]] = field(default_factory=list)
    needs_token: bool = False

    def fill(self, root: Path, prefix: str) -> None:
        for file in sorted(root.rglob("*.*")):
            self.files[f"/{prefix}/{file.relative_to(root).as_posix()}"] = file.read_bytes()


class Answers(BaseHTTPRequestHandler):
    web: Web

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, web = unquote(parts.path), self.web
        trouble = web.failing.get(path) or []
        fault = trouble.pop(0) if trouble else None
        content = self._index(path) if path.endswith("/") else web.files.get(path)
        tag = f'"{hash(content)}"'
        status = fault if isinstance(fault, int) else 404 if content is None else (
            401 if web.needs_token and not self._is_let_in(parts.query) else
            304 if self.headers.get("If-None-Match") == tag else 200)
        web.asked.append((path, fault or status))
        if fault == "reset":
            self.connection.close()
            return
        self.send_response(status)
        body = (content or b"") if status == 200 else b""
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html" if path.endswith("/") else "image/png")
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if fault == "cut" else body)
        if fault == "cut":
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True

    def _is_let_in(self, query: str) -> bool:
        return SECRET in query or "Basic" in self.headers.get("Authorization", "")

    def _index(self, path: str) -> bytes | None:
        names = {file.removeprefix(path).partition("/")[0] + "/" * ("/" in file.removeprefix(path))
                 for file in self.web.files if file.startswith(path)}
        links = "".join(f'<a href="{name.replace(" ", "%20")}">x</a>' for name in sorted(names))
        return f'<a href="../">up</a><a href="?C=N;O=D">sort</a>{links}'.encode() if names else None


def same_photos(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files of the same content."""
    return tree_hash(one) == tree_hash(other)
