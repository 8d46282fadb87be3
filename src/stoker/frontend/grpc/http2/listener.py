"""Listens on a Unix socket that only this user can reach; its folder goes with it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from stoker.core.private_folder import PrivateFolder
from stoker.frontend.grpc.http2.connection import Http2Connection, Service

_SOCKET_NAME = "streams.sock"
_LONGEST_SOCKET_PATH = 107  # bytes of sun_path on Linux, less the final zero


class Http2Listener:
    """Its calls are cancelled with the connections that carry them, when it stops."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder: PrivateFolder | None = None
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> str:
        """Returns the path of the socket."""
        self._folder = await asyncio.to_thread(_short_folder)
        path = str(self._folder.path / _SOCKET_NAME)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Http2Connection(self._service), path)
        return path

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._folder is not None:
            self._folder.close()


def _short_folder() -> PrivateFolder:
    """A private folder for a socket: below /tmp where the usual temporary folder has too long a name for one."""
    folder = PrivateFolder(Path(tempfile.gettempdir()))
    if len(os.fsencode(folder.open() / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return folder
    folder.close()
    folder = PrivateFolder(Path("/tmp"))  # noqa: S108 - a name that nobody can foresee
    folder.open()
    return folder
