"""Sends the content of a model's folder to a node, in a thread of its own."""

from __future__ import annotations

import io
import logging
from typing import BinaryIO, Protocol, cast

from stoker.core.buffer import Buffer
from stoker.ipc.dialing import Stream

log = logging.getLogger(__name__)

STALL_S = 30.0
"""How long a node may not read."""


class _Bundle(Protocol):
    def write_to(self, file: BinaryIO) -> None: ...


def serve_bundle(bundle: _Bundle, stream: Stream) -> None:
    """Closes ``stream``; its end shows the node whether it has all."""
    try:
        stream.settimeout(STALL_S)
        with io.BufferedWriter(cast(io.RawIOBase, _Sink(stream)), 128 << 10) as file:
            bundle.write_to(cast(BinaryIO, file))
    except OSError as error:
        log.warning("A model was not sent to a node: %s", error.strerror or error, extra={"event": "fetch_failed"})
    finally:
        stream.close()


class _Sink(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:  # type: ignore[override]  # wider in the type stubs
        self._stream.sendall(data)
        return len(data)
