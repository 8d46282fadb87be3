"""HTTP/2 frames (RFC 9113) and gRPC's framing of messages, as much of both as a gRPC server needs.  PURE."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from stoker.errors import MessageTooLarge, StokerError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
MESSAGE_HEADER_BYTES = 5
MAX_FRAME_BYTES = 16_384  # of payload: the protocol's default, which neither side raises

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

HEADER_TABLE_SIZE, _ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1

NO_ERROR, PROTOCOL_ERROR, _, FLOW_CONTROL_ERROR, _, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = range(9)
COMPRESSION_ERROR = 9


class ConnectionFault(StokerError):
    """The peer broke the protocol in a way that ends the connection. ``code`` goes into GOAWAY."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes


class FrameReader:
    """Whole frames out of a byte stream; a frame longer than `MAX_FRAME_BYTES` is refused before it is buffered."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Must be iterated to its end.

        Raises:
            ConnectionFault
        """
        data = self._rest + data if self._rest else data
        position, end = 0, len(data)
        while end - position >= FRAME_HEADER_BYTES:
            length = int.from_bytes(data[position : position + 3], "big")
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start = position + FRAME_HEADER_BYTES
            if start + length > end:
                break
            stream_id = int.from_bytes(data[position + 5 : start], "big") & LARGEST_WINDOW
            self._rest = b""
            yield Frame(data[position + 3], data[position + 4], stream_id, data[start : start + length])
            position = start + length
        self._rest = data[position:]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return b"".join((len(payload).to_bytes(3, "big"), bytes((kind, flags)), stream_id.to_bytes(4, "big"), payload))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def reset(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def settings(values: dict[int, int]) -> bytes:
    entries = (key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(entries))


def parse_settings(payload: bytes) -> dict[int, int]:
    """Raises `ConnectionFault`."""
    if len(payload) % 6:
        raise ConnectionFault(FRAME_SIZE_ERROR, "a broken SETTINGS frame")
    return {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }


def unpadded(received: Frame) -> bytes:
    """The payload of a DATA or HEADERS frame without padding and priority.

    Raises:
        ConnectionFault
    """
    payload = received.payload
    pad = 0
    if received.flags & PADDED:
        pad, payload = payload[0] if payload else 0, payload[1:]
    if received.kind == HEADERS and received.flags & PRIORITISED:
        payload = payload[5:]
    if pad > len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
    return payload[: len(payload) - pad]


# ------------------------------------------------------------------------------------------ header blocks


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """HPACK without a table and without Huffman coding: literals, which every peer understands."""
    block = bytearray()
    for name, value in headers:
        raw_name, raw_value = name.encode("latin-1"), value.encode("latin-1")
        block += b"\x00" + _length(len(raw_name)) + raw_name + _length(len(raw_value)) + raw_value
    return bytes(block)


def _length(number: int) -> bytes:
    """An HPACK integer with a prefix of seven bits."""
    if number < 127:
        return bytes((number,))
    encoded, number = bytearray((127,)), number - 127
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


RESPONSE_HEADERS = header_block([(":status", "200"), ("content-type", "application/grpc")])


def status_headers(code: int, details: str) -> list[tuple[str, str]]:
    headers = [("grpc-status", str(code))]
    if details:
        headers.append(("grpc-message", quote(details, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")))
    return headers


def metadata_of(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str | bytes]]:
    """A call's own metadata: no pseudo headers, none of the transport's; ``-bin`` values as bytes."""
    metadata: list[tuple[str, str | bytes]] = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.startswith((":", "grpc-")) or name in ("te", "content-type"):
            continue
        metadata.append((name, _binary(value) if name.endswith("-bin") else value))
    return metadata


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def seconds_of_timeout(text: str | None) -> float | None:
    """The header grpc-timeout; None where it is missing or malformed."""
    if not text or text[-1] not in _UNITS or not text[:-1].isdigit() or len(text) > 9:
        return None
    return int(text[:-1]) * _UNITS[text[-1]]


# ------------------------------------------------------------------------------------------ gRPC messages


class UnknownEncoding(StokerError):
    """A message is compressed by a method that is not offered."""


def message(payload: bytes) -> bytes:
    return b"".join((b"\x00", len(payload).to_bytes(4, "big"), payload))


class MessageReader:
    """Messages out of a request's body, unpacked, none of them over ``limit`` bytes, packed or unpacked."""

    def __init__(self, limit: int, encoding: str) -> None:
        self._limit = limit
        self._encoding = encoding
        self._body = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Raises:
            MessageTooLarge: as soon as the length is known, before the message is
            UnknownEncoding, zlib.error
        """
        body = self._body
        body += data
        while len(body) >= MESSAGE_HEADER_BYTES:
            length = int.from_bytes(body[1:MESSAGE_HEADER_BYTES], "big")
            if length > self._limit:
                raise MessageTooLarge(size=length, limit=self._limit)
            end = MESSAGE_HEADER_BYTES + length
            if len(body) < end:
                return
            packed, payload = body[0], bytes(memoryview(body)[MESSAGE_HEADER_BYTES:end])
            del body[:end]
            yield self._unpacked(payload) if packed else payload

    @property
    def incomplete(self) -> bool:
        return bool(self._body)

    def _unpacked(self, payload: bytes) -> bytes:
        """A bomb is unpacked up to the limit and no further."""
        window = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}.get(self._encoding)
        if window is None:
            raise UnknownEncoding(f"unknown grpc-encoding {self._encoding[:40]!r}")
        unpacked = zlib.decompressobj(window).decompress(payload, self._limit + 1)
        if len(unpacked) > self._limit:
            raise MessageTooLarge(size=len(unpacked), limit=self._limit)
        return unpacked
