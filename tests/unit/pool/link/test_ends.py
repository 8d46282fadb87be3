"""How a link ends: death, a broken protocol, and what is known of the batches that had begun."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest
from link_kit import Peer, Play, Recorder, batch

from stoker.core.reply import Chunk
from stoker.core.turn import current_turn
from stoker.ipc import codec
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import Hello, Loaded, Parts, Results
from stoker.pool.link import Link


def test_what_waits_of_a_dead_peer_is_read(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"x"))
        await peer.hear(1)
        for _ in range(4):
            await peer.say(Parts(1, [1]), b"a")
        await peer.say(Results(1, [3]), b"end")
        link.read_rest()
        events = await recorder.until(5)
        assert events[4][0] == "done"

    play(scenario)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 100,
        struct.pack("<II", 3, 0) + b"\xc1\xc1\xc1",
        struct.pack("<II", 0, 0),
        struct.pack("<II", 10, (100 << 20) + 1),
        struct.pack("<II", 1 << 31, 0),
        b"".join(codec.encode(Results(2, [0]))),
        b"".join(codec.encode(Results(1, [0, 0]))),
        b"".join(codec.encode(Loaded(seconds=0, torch=False))),
        b"".join(codec.encode(Hello(pid=1, python=""))) * 2,
        b"".join(codec.encode(Results(1, [0]))) * 2,
    ],
)
def test_a_peer_that_breaks_the_protocol_is_lost_once(play: Play, data: bytes) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        peer.sock.sendall(data + b"\0" * 100)
        while not any(event[0] == "lost" for event in recorder.events):
            await recorder.until(len(recorder.events) + 1)
        lost = [event[1] for event in recorder.events if event[0] == "lost"]
        assert len(lost) == 1
        assert isinstance(lost[0], FrameError)
        done = [event for event in recorder.events if event[0] == "done"]
        assert len(done) == data.startswith(b"".join(codec.encode(Results(1, [0]))))
        link.send(batch(2, b"a"))  # goes nowhere, and is not an error

    play(scenario)


def test_a_limit_of_the_payload_is_checked_before_memory_is_taken(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        peer.sock.sendall(struct.pack("<II", 10, 1001))
        ((what, error),) = await recorder.until(1)
        assert what == "lost"
        assert "over the limit" in str(error)

    play(scenario, max_payload_bytes=1000)


def test_a_closed_socket_is_reported_once_without_an_error(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        peer.sock.close()
        assert await recorder.until(1) == [("lost", None)]
        link.send(batch(1, b"a"))
        link.read_rest()
        await asyncio.sleep(0)
        assert recorder.events == [("lost", None)]

    play(scenario)


def test_what_was_sent_before_the_death_is_read_after_it(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        peer.sock.sendall(b"".join(codec.encode(Results(1, [2]), [b"ok"])))
        peer.sock.sendall(struct.pack("<II", 100, 0) + b"half a frame")
        peer.sock.close()
        link.read_rest()
        assert recorder.events == [("done", 1, [Chunk(b"ok")]), ("lost", None)]

    play(scenario)


def test_what_was_sent_before_the_death_is_read_when_a_batch_cannot_be_sent(play: Play) -> None:
    """Otherwise what the dead worker had answered would run again."""

    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        await peer.hear(1)
        peer.sock.sendall(b"".join(codec.encode(Results(1, [2]), [b"ok"])))
        peer.sock.close()
        current_turn().run(link.send, batch(2, b"b"))
        assert recorder.events == [("done", 1, [Chunk(b"ok")]), ("lost", None)]

    play(scenario)


def test_the_progress_marker_is_known_before_and_after_the_end(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        fd = link._progress_fd
        assert link.started() == 0
        os.pwrite(fd, struct.pack("<Q", 7), 0)
        assert link.started() == 7
        link.close()
        os.pwrite(fd, struct.pack("<Q", 9), 0)
        assert link.started() == 7
        link.close()

    play(scenario)


def test_a_marker_that_was_cut_off_is_unknown_and_does_no_harm(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        os.ftruncate(link._progress_fd, 3)
        assert link.started() is None

    play(scenario)
