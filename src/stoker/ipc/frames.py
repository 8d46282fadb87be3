"""Turns bytes into frames and back. PURE: no socket here.

A frame is ``u32 header length, u32 payload length, header, payload`` (little-endian).  The header is one small
msgpack message of `to_worker` or `to_server`; the payload is raw bytes that the header cuts into items.  Payloads
are never copied into the header: writers scatter them, readers get views.

Both sides trust lengths only up to a limit, checked before anything is buffered.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from stoker.core.payloads import allocated

PREFIX = struct.Struct("<II")
MAX_HEADER_BYTES = 64 << 20
MAX_PAYLOAD_BYTES = (1 << 32) - 1

DIRECT_READ_BYTES = 64 << 10  # frames longer than this are received straight into their own buffer


class FrameError(Exception):
    """The peer broke the protocol; the connection cannot be used any more."""


class Frame(Struct):
    header: memoryview
    payload: memoryview


class Decoder:
    """Cuts a byte stream into frames. ``error``: why no more will come.

    Small frames are views of the chunk they came in.  For a large one `writable` offers the missing part of its
    buffers, so that a socket reads into them directly: one copy, whatever the size.  The payload of a large frame is a
    buffer of its own, a bytearray without other references.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload = max_payload_bytes
        self._rest = b""
        self._large: Frame | None = None
        self._filled = 0
        self.error: FrameError | None = None

    def writable(self) -> memoryview | None:
        """Returns the place for the next bytes (then call `wrote`), or None: read a chunk and `feed` it."""
        if self._large is None:
            return None
        header, filled = self._large.header, self._filled
        return header[filled:] if filled < len(header) else self._large.payload[filled - len(header) :]

    def wrote(self, count: int) -> Frame | None:
        """Records ``count`` bytes put into `writable`; returns the frame when that completes it."""
        large = self._large
        assert large is not None
        self._filled += count
        if self._filled < len(large.header) + len(large.payload):
            return None
        self._large = None
        return large

    def feed(self, data: bytes) -> list[Frame]:
        """Returns the frames that ``data`` completes.

        Raises: FrameError: a length over the limit, of which nothing was kept. What came before it is returned first;
            see ``error``.
        """
        if self.error is not None:
            raise self.error
        found: list[Frame] = []
        if self._large is not None:
            frame, data = self._fill(data)
            if frame is not None:
                found.append(frame)
        if self._rest:
            data, self._rest = self._rest + data, b""
        view, offset, end = memoryview(data), 0, len(data)
        while end - offset >= PREFIX.size:
            header, payload = PREFIX.unpack_from(data, offset)
            if header > MAX_HEADER_BYTES or payload > self._max_payload:
                self.error = FrameError(f"a frame of {header} + {payload} bytes is over the limit")
                if found:
                    return found
                raise self.error
            start = offset + PREFIX.size
            stop = start + header + payload
            if stop > end:
                if header + payload > DIRECT_READ_BYTES:
                    self._begin_large(data[start:], header, payload)
                    return found
                break
            found.append(Frame(view[start : start + header], view[start + header : stop]))
            offset = stop
        self._rest = data[offset:]
        return found

    def _begin_large(self, have: bytes, header: int, payload: int) -> None:
        self._large = Frame(memoryview(allocated(header)), memoryview(allocated(payload)))
        self._filled = 0
        self._fill(have)

    def _fill(self, data: bytes) -> tuple[Frame | None, bytes]:
        """Returns the large frame if ``data`` completes it, and the rest of ``data``."""
        frame = None
        while data and (window := self.writable()) is not None:
            count = min(len(window), len(data))
            window[:count] = data[:count]
            data = data[count:]
            frame = self.wrote(count)
        return frame, data
