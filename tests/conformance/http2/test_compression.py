"""Compressed messages: unpacked up to the limit, answered in kind."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from grpc_fakes import LIMIT
from h2_peer import (
    DATA,
    END_STREAM,
    INTERNAL,
    MIB,
    REQUEST,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    frame,
    message,
    peer,
    serves,
)
from processes import resident_bytes

from stoker.frontend.grpc.server import GrpcServer
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
async def test_compressed_requests_are_unpacked_and_their_answers_packed(
    server: GrpcServer, encoding: str, pack: object
) -> None:
    assert callable(pack)
    data = b"z" * 20_000
    request = inference_pb2.PredictionsRequest(model_name="m", input={"data": data}).SerializeToString()
    async with peer(server.port) as client:
        extra = [("grpc-encoding", encoding), ("grpc-accept-encoding", "identity,deflate,gzip")]
        client.send(client.headers(1, extra=extra), frame(DATA, END_STREAM, 1, message(pack(request), packed=True)))
        answer = await client.answer(1)
        assert ("grpc-encoding", encoding) in answer.headers
        packed, body = answer.body[0], zlib.decompress(bytes(answer.body[5:]), 47)
        assert (packed, inference_pb2.PredictionResponse.FromString(body).prediction) == (1, data)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"not packed", INTERNAL),
        ("gzip", gzip.compress(REQUEST, mtime=0)[:-3], INTERNAL),
        ("br", b"x", UNIMPLEMENTED),
        ("", b"x", INTERNAL),
        ("identity", b"x", INTERNAL),
        ("gzip", gzip.compress(bytes(LIMIT + 1), mtime=0), RESOURCE_EXHAUSTED),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(server: GrpcServer, encoding: str, body: bytes, status: int) -> None:
    async with peer(server.port) as client:
        extra = [("grpc-encoding", encoding)] if encoding else []
        client.send(client.headers(1, extra=extra), frame(DATA, END_STREAM, 1, message(body, packed=True)))
        answer = await client.answer(1)
        assert answer.status == status
        names = ("grpc-accept-encoding", "identity,gzip,deflate")
        assert (names in answer.headers) is (status == UNIMPLEMENTED), "a client may try again with one of them"
    assert await serves(server.port)


async def test_a_bomb_is_unpacked_up_to_the_limit_and_no_further(server: GrpcServer) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(150)) + packer.flush()
    before = resident_bytes()
    async with peer(server.port) as client:
        for id in (1, 3, 5, 7):
            client.send(client.headers(id, extra=[("grpc-encoding", "gzip")]))
            body = message(bomb, packed=True)
            pieces = [body[at : at + 16_000] for at in range(0, len(body), 16_000)]
            for number, piece in enumerate(pieces):
                client.send(frame(DATA, END_STREAM if number == len(pieces) - 1 else 0, id, piece))
                await asyncio.sleep(0)
        assert await serves(server.port)
        for id in (1, 3, 5, 7):
            assert (await client.answer(id)).status == RESOURCE_EXHAUSTED
    assert resident_bytes() - before < 100 * MIB
