"""Parses a gRPC call's request headers, and makes the headers of its answers. PURE."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from msgspec import Struct

from stoker.frontend.grpc.status import Status

Headers = tuple[tuple[bytes, bytes], ...]

HEADER_OVERHEAD_BYTES = 32  # as HTTP/2 counts a header list
RESPONSE_HEADERS: Headers = ((b":status", b"200"), (b"content-type", b"application/grpc"))
COMPRESSIONS = ("gzip", "deflate")
ACCEPT_ENCODING: Headers = ((b"grpc-accept-encoding", b"identity,gzip,deflate"),)
OK_TRAILERS: Headers = ((b"grpc-status", b"0"),)

_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TRANSPORT = frozenset({b"te", b"user-agent", b"accept-encoding", b"connection", b"content-length"})
"""Headers that are not kept, so that most calls have no metadata; `metadata.request_headers` drops others."""
_MESSAGE_SAFE = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


class RequestHead(Struct, frozen=True):
    """``metadata``: the client's own, ``-bin`` values as bytes. ``timeout_s``: None without a valid grpc-timeout.
    ``compresses_answers``: the client sends compressed messages and takes them; then ``answer_headers`` name the
    compression. ``size``: bytes of the header list as HTTP/2 counts them."""

    verb: bytes
    path: bytes
    content_type: bytes
    timeout_s: float | None
    encoding: str
    compresses_answers: bool
    answer_headers: Headers
    metadata: Sequence[tuple[str, str | bytes]]
    size: int


def parse_head(headers: Headers) -> RequestHead:
    verb = path = content_type = accepted = b""
    timeout_s: float | None = None
    encoding = ""
    metadata: list[tuple[str, str | bytes]] = []
    size = HEADER_OVERHEAD_BYTES * len(headers)
    for name, value in headers:
        size += len(name) + len(value)
        if name == b":path":
            path = value
        elif name == b":method":
            verb = value
        elif name == b"content-type":
            content_type = value
        elif name == b"grpc-timeout":
            timeout_s = seconds_of_timeout(value.decode("latin-1"))
        elif name == b"grpc-encoding":
            encoding = value.decode("latin-1")
        elif name == b"grpc-accept-encoding":
            accepted = value
        elif name not in _TRANSPORT and not name.startswith((b":", b"grpc-")):
            key, text = name.decode("latin-1"), value.decode("latin-1")
            if key.endswith("-bin"):
                metadata.extend((key, _binary(part.strip())) for part in text.split(","))
            else:
                metadata.append((key, text))
    compresses = encoding in COMPRESSIONS and encoding.encode() in map(bytes.strip, accepted.split(b","))
    answer = (*RESPONSE_HEADERS, (b"grpc-encoding", encoding.encode())) if compresses else RESPONSE_HEADERS
    return RequestHead(verb, path, content_type, timeout_s, encoding, compresses, answer, metadata, size)


def is_grpc(content_type: bytes) -> bool:
    """Tells whether the type is application/grpc, with or without a message format, and not, say, grpc-web."""
    return content_type.startswith(b"application/grpc") and content_type[16:17] in (b"", b"+", b";")


def status_trailers(status: Status, trailing: Iterable[tuple[str, str]] = ()) -> Headers:
    trailers = [(b"grpc-status", b"%d" % status.code)]
    if status.details:
        trailers.append((b"grpc-message", quote(status.details, safe=_MESSAGE_SAFE).encode()))
    trailers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in trailing)
    return tuple(trailers)


def seconds_of_timeout(text: str) -> float | None:
    """Parses grpc-timeout; returns None if it is malformed."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not digits.isascii() or not digits.isdigit() or len(digits) > 8:
        return None
    return int(digits) * _UNITS[unit]


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
