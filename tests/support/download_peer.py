"""A server on loopback whose answers are raw bytes, as wrong as a test needs, and a store that fetches from it."""

from __future__ import annotations

import io
import json
import socket
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from stoker.archive.store import ModelStore

Script = Callable[[socket.socket], None]


@cache
def mar() -> bytes:
    """Once: an archive holds the time of its making."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        manifest = {"runtime": "python", "model": {"modelName": "m", "handler": "h.py"}}
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("h.py", "x = 1\n" * 1000)
    return buffer.getvalue()


class Peer:
    """Reads one request per connection, records it, and lets the script of its path answer in raw bytes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.scripts: dict[str, Script] = {}
        self.released = threading.Event()
        self.tls: ssl.SSLContext | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, path: str, data: bytes) -> str:
        def script(connection: socket.socket) -> None:
            connection.sendall(data)

        self.scripts[path] = script
        return self.url(path)

    def stall_after(self, path: str, data: bytes) -> str:
        def script(connection: socket.socket) -> None:
            connection.sendall(data)
            self.released.wait()

        self.scripts[path] = script
        return self.url(path)

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection as plain:
            try:
                connection = plain if self.tls is None else self.tls.wrap_socket(plain, server_side=True)
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    request += piece
                text = request.decode("latin-1")
                self.requests.append(text)
                self.scripts[text.split(" ")[1].partition("?")[0]](connection)
            except OSError:
                pass  # the other side left, as some tests want it to
            finally:
                connection.close()

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in self._threads:
            thread.join()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def whole(body: bytes) -> bytes:
    return ok(body, f"Content-Length: {len(body)}")


def redirect(where: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def opened(folder: Path, **options: object) -> Iterator[ModelStore]:
    (folder / "store").mkdir(exist_ok=True)
    options.setdefault("allowed_urls", "http://.*")
    options.setdefault("allow_private_urls", True)
    store = ModelStore(folder / "store", temp_dir=folder / "tmp", **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def in_store(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "store").iterdir())


def assert_nothing_left(folder: Path) -> None:
    assert in_store(folder) == []
    assert list((folder / "tmp").glob("*")) == []
