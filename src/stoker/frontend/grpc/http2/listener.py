"""Listens on a Unix socket that only this user can reach; its folder goes with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from stoker.frontend.grpc.http2.connection import Http2Connection, Service

_SOCKET_NAME = "streams.sock"
_LONGEST_SOCKET_PATH = 107  # bytes of sun_path on Linux, less the final zero


class Http2Listener:
    """Its calls are cancelled with the connections that carry them, when it stops."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder: Path | None = None
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> str:
        """Returns the path of the socket."""
        self._folder = _short_folder()
        path = str(self._folder / _SOCKET_NAME)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Http2Connection(self._service), path)
        return path

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _short_folder() -> Path:
    """A private folder for a socket: below /tmp where the usual temporary folder has too long a name for one."""
    folder = Path(tempfile.mkdtemp(prefix="stoker-grpc-"))
    if len(os.fsencode(folder / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="stoker-grpc-", dir="/tmp"))
