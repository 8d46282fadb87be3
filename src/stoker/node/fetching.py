"""Gets a model's files: from the node's cache, or else from the server, over a separate connection.

All calls block.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from stoker.archive.tar_reader import ByteStream
from stoker.archive.threads import Stop
from stoker.errors import FilesNotFetched
from stoker.ipc.dialing import Stream, dial
from stoker.ipc.opening import Kind
from stoker.node.cache import ArchiveCache
from stoker.node.order import Archive, BorderAccess, Order


def lease(order: Order, archive: Archive, stop: Stop) -> AbstractContextManager[Path]:
    """Leases the model's files from the node's cache, which fetches them if need be. See `ArchiveCache.lease`."""
    root = default_cache() if order.cache_dir is None else Path(order.cache_dir)
    cache = ArchiveCache(root, order.cache_limit_bytes)
    return cache.lease(archive, lambda: fetched(order.border, stop), stop=stop)


def default_cache() -> Path:
    return Path(tempfile.gettempdir(), f"stoker-archives-{os.geteuid()}")


@contextmanager
def fetched(access: BorderAccess, stop: Stop) -> Iterator[ByteStream]:
    """Connects to the server and yields the stream of the files. ``stop`` closes the connection.

    Raises: FilesNotFetched: the server cannot be reached, or refuses the token.
    """
    try:
        dialed = dial(access.host, access.port, Kind.FETCH, access.fetch_token, ca=access.ca, tls_name=access.tls_name)
    except OSError:
        raise FilesNotFetched("The server cannot be reached for the model's files.") from None
    stream = dialed.stream
    stop.on_set(lambda: _shut(stream))
    try:
        yield _Source(stream)
    finally:
        stop.on_set(None)
        stream.close()


class _Source:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        return self._stream.recv(size)


def _shut(stream: Stream) -> None:
    with suppress(OSError):  # disconnected already
        stream.shutdown(socket.SHUT_RDWR)
