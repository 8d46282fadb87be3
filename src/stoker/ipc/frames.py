"""Cuts a byte stream into frames.  PURE.

A frame is ``u32 header length, u32 payload length, header, payload`` (little-endian).  The header is one small
msgpack message, for example of `to_worker` or `to_server`; the payload is raw bytes, and the header says how they are
divided.  Payloads are never copied into the header: writers gather buffers, readers get views.

Both sides accept lengths only up to a limit, which they check before they buffer anything.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from stoker.core.payloads import allocated

PREFIX = struct.Struct("<II")
MAX_HEADER_BYTES = 64 << 20
MAX_PAYLOAD_BYTES = (1 << 32) - 1

DIRECT_READ_BYTES = 64 << 10  # longer frames are received directly into a buffer of their own


class FrameError(Exception):
    """The peer broke the protocol; the connection cannot be used any more."""


class Frame(Struct):
    header: memoryview
    payload: memoryview


class Decoder:
    """Decodes frames. ``error``: why no more frames will come.

    Small frames are views of the data they came in.  For a large one, `writable` returns the missing part of its
    buffers, so that a socket reads into them directly: the data is copied once.  The payload of a large frame has a
    buffer of its own, a bytearray without other references.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload = max_payload_bytes
        self._rest = b""
        self._large: Frame | None = None
        self._filled = 0
        self.error: FrameError | None = None

    def writable(self) -> memoryview | None:
        """Returns the buffer to receive the next bytes into (then call `wrote`); None: receive any and `feed` them."""
        if self._large is None:
            return None
        header, filled = self._large.header, self._filled
        return header[filled:] if filled < len(header) else self._large.payload[filled - len(header) :]

    def wrote(self, count: int) -> Frame | None:
        """Records that ``count`` bytes were received into `writable`; returns the frame if they complete it."""
        large = self._large
        assert large is not None
        self._filled += count
        if self._filled < len(large.header) + len(large.payload):
            return None
        self._large = None
        return large

    def feed(self, data: bytes) -> list[Frame]:
        """Returns the frames that ``data`` completes.

        Raises: FrameError: a length is over the limit. If frames came before it, they are returned, ``error`` is set,
            and the next call raises it.
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
