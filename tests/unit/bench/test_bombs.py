"""The client that sends bombs sends what would unpack to 1 GB, and says so over either protocol."""

from __future__ import annotations

import zlib
from pathlib import Path

import ngh2
import pytest
from benchmarks import bombs
from benchmarks.plan import WORKLOADS, groups
from benchmarks.workspace import Options, Workspace

from stoker.bench.contender import LOOPBACK

LENGTH = 5


def unpacked_bytes(packed: bytes) -> int:
    """Counts until the checksum, which is wrong."""
    unpacker, found = zlib.decompressobj(31), 0
    while packed:
        try:
            found += len(unpacker.decompress(packed, 16 * bombs.MIB))
        except zlib.error:
            return found
        packed = unpacker.unconsumed_tail
    return found


def test_a_bomb_of_a_megabyte_unpacks_to_a_gigabyte() -> None:
    bomb = bombs.bomb()
    assert len(bomb) < 1.1 * bombs.MIB
    assert unpacked_bytes(bomb) > 1000 * bombs.MIB


def test_over_grpc_it_is_a_packed_message() -> None:
    call = bombs.Plan(endpoint=f"{LOOPBACK}:1", wire="grpc", path="/a.B/C").request(b"packed")
    server = ngh2.Connection(ngh2.Role.SERVER, ngh2.Configuration())
    server.initiate_connection({})
    server.receive_data(call.to_send())
    events = server.events()
    (asked,) = (event for event in events if isinstance(event, ngh2.RequestReceived))
    (body,) = (event.data for event in events if isinstance(event, ngh2.DataReceived))
    assert dict(asked.headers)[b"grpc-encoding"] == b"gzip"
    assert (body[0], int.from_bytes(body[1:LENGTH], "big"), body[LENGTH:]) == (1, 6, b"packed")


def test_over_rest_it_is_a_packed_body() -> None:
    head, _, body = bombs.Plan(endpoint="", wire="http", path="/p").request(b"packed").to_send().partition(b"\r\n\r\n")
    assert b"\r\ncontent-encoding: gzip\r\n" in head and head.endswith(b"content-length: 6")
    assert body == b"packed"


@pytest.mark.parametrize("letter", sorted(set(WORKLOADS) - set("cdgop")))
def test_a_group_and_its_points_have_the_letter_of_their_workload(letter: str) -> None:
    options = Options()
    found = groups(letter, options, Workspace(Path("unused"), options))
    points = [point.name for group in found for point in (*group.points, *group.fresh)]
    assert {group.letter for group in found} == {name[0] for name in points} == {letter}
