"""Compression of requests and answers, within bounds."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from stoker.errors import MessageTooLarge
from stoker.frontend.compression import BadCompression, UnknownEncoding, deflate, inflate, inflate_small

LIMIT = 1000
WHOLE = gzip.compress(b"x" * 99, mtime=0)  # the same in every process, for it names tests


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_what_was_packed_is_unpacked(encoding: str, pack: object) -> None:
    assert callable(pack)
    data = b"abc" * 300
    assert inflate(pack(data), encoding, LIMIT) == data
    assert inflate(deflate(data, encoding), encoding, LIMIT) == data
    assert inflate(pack(b""), encoding, LIMIT) == b""


def test_what_needs_many_steps_is_unpacked_whole() -> None:
    incompressible = random.Random(1).randbytes(300_000)
    for data in (incompressible, bytes(3_000_000), incompressible + bytes(1_000_000)):
        for pack in (gzip.compress, lambda data: gzip.compress(data, 0)):
            assert inflate(pack(data), "gzip", len(data)) == data
            with pytest.raises(BadCompression):
                inflate(pack(data) + b"x", "gzip", len(data))
            with pytest.raises(BadCompression):
                inflate(pack(data)[:-1], "gzip", len(data))


def test_unpacking_stops_at_the_limit() -> None:
    assert len(inflate(gzip.compress(bytes(LIMIT)), "gzip", LIMIT)) == LIMIT
    with pytest.raises(MessageTooLarge):
        inflate(gzip.compress(bytes(LIMIT + 1)), "gzip", LIMIT)
    with pytest.raises(MessageTooLarge):
        inflate(gzip.compress(bytes(50_000_000)), "gzip", LIMIT)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no gzip", WHOLE[:-1], WHOLE + b"more", WHOLE[:12]],
)
def test_damaged_data_is_refused(damaged: bytes) -> None:
    with pytest.raises(BadCompression):
        inflate(damaged, "gzip", LIMIT)


def test_an_encoding_that_is_not_offered_is_refused() -> None:
    with pytest.raises(UnknownEncoding):
        inflate(b"x", "br", LIMIT)


def test_little_data_is_unpacked_at_once_unless_it_becomes_much() -> None:
    assert inflate_small(gzip.compress(b"x" * 60_000), "gzip", 1 << 20) == b"x" * 60_000
    assert inflate_small(gzip.compress(bytes(70_000)), "gzip", 1 << 20) is None
    assert inflate_small(gzip.compress(random.Random(1).randbytes(5_000)), "gzip", 1 << 20) is None
    with pytest.raises(MessageTooLarge):
        inflate_small(gzip.compress(bytes(2_000)), "gzip", 1_000)
    with pytest.raises(BadCompression):
        inflate_small(b"no gzip", "gzip", LIMIT)
