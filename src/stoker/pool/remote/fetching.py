"""Sends models' files to nodes, in threads, so that large files do not delay the event loop."""

from __future__ import annotations

import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

from stoker.archive.bundle import Bundle
from stoker.errors import InvalidArchive
from stoker.ipc.dialing import Stream

log = logging.getLogger(__name__)

STALL_S = 30.0
"""Longest time for which a node may not read what was sent."""

_AT_ONCE = 4


class Fetches:
    """Serves a few nodes at a time; further ones wait their turn."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, "border-fetch")
        self._streams: set[Stream] = set()

    def begin(self, bundle: Bundle, stream: Stream) -> None:
        """Sends the files, then closes ``stream``; the node checks that it has received all."""
        self._streams.add(stream)
        try:
            self._threads.submit(self._send, bundle, stream)
        except RuntimeError:  # closed
            self._end(stream)

    def close(self) -> None:
        """Ends all transfers. Idempotent."""
        self._threads.shutdown(wait=False)
        for stream in list(self._streams):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stream.shutdown(socket.SHUT_RDWR)

    def _send(self, bundle: Bundle, stream: Stream) -> None:
        try:
            stream.settimeout(STALL_S)
            bundle.write_to(_Sink(stream))
        except OSError as error:
            _warn(error.strerror or str(error))
        except InvalidArchive as error:
            _warn(error.message)
        finally:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        self._streams.discard(stream)
        stream.close()


class _Sink:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> None:
        self._stream.sendall(data)


def _warn(reason: str) -> None:
    log.warning("A model was not sent to a node: %s", reason, extra={"event": "fetch_failed"})
