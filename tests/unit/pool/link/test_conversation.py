"""What server and worker say to each other: whole, in order, and in few writes."""

from __future__ import annotations

import asyncio
import os

from link_kit import KEY, Peer, Play, Recorder, batch

from stoker.core.job import Batch, Input, Job
from stoker.core.measures import HandlerSample
from stoker.core.reply import Chunk
from stoker.errors import BadRequest
from stoker.ipc import codec
from stoker.ipc.frames import Decoder
from stoker.ipc.to_server import DROPPED, Hello, LoadFailed, Metrics, Parts, Results, Sample
from stoker.ipc.to_worker import Cancel, Grant, Predict
from stoker.pool.link import Link


def test_jobs_travel_with_their_inputs_headers_and_deadlines(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        first = Job(KEY, [Input("a", "text/plain", b"12"), Input("b", "", b"3")], headers={"h": "v"}, deadline=5.5)
        link.send(Batch(1, [first, Job(KEY, [])]))
        ((message, payload),) = await peer.hear(1)
        assert isinstance(message, Predict)
        assert message.batch_id == 1
        assert message.jobs[0].inputs == [("a", "text/plain", 2), ("b", "", 1)]
        assert (message.jobs[0].headers, message.jobs[0].deadline) == ({"h": "v"}, 5.5)
        assert message.jobs[1].inputs == []
        assert payload == b"123"

    play(scenario)


def test_the_messages_of_one_turn_leave_in_one_write(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for number in range(1, 6):
            link.send(batch(number, b"x"))
        link.cancel(1, 0)
        link.grant(2, 0, 77)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        frames = list(Decoder().feed(peer.sock.recv(65536)))
        messages = [codec.decode_to_worker(frame.header) for frame in frames]
        assert len(messages) == 7
        assert messages[-2:] == [Cancel(1, 0), Grant(2, 0, 77)]

    play(scenario)


def test_more_than_the_socket_takes_waits_and_arrives_whole(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        large = os.urandom(5_000_000)
        for number in range(1, 4):
            link.send(batch(number, large))
        link.send(batch(4, *[b"y" * 100_000] * 30))
        heard = await peer.hear(4)
        assert [payload for _, payload in heard] == [large, large, large, b"y" * 3_000_000]

    play(scenario)


def test_thousands_of_small_messages_arrive_in_order(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for number in range(1, 5001):
            link.send(batch(number, b"z" * 100))
        heard = await peer.hear(5000)
        assert [message.batch_id for message, _ in heard if isinstance(message, Predict)] == list(range(1, 5001))

    play(scenario)


def test_answers_become_outcomes_in_order(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a", b"b"))
        link.send(batch(2, b"c"))
        await peer.say(Parts(1, [1, 1]), b"x", b"y")
        await peer.say(Results(1, [2, 0]), b"zz")
        await peer.say(Results(2, [3_000_000]), b"w" * 3_000_000)
        part, done, large = await recorder.until(3)
        assert part == ("part", 1, [[Chunk(b"x")], [Chunk(b"y")]])
        assert done == ("done", 1, [Chunk(b"zz"), Chunk(b"")])
        assert large[:2] == ("done", 2)
        assert bytes(large[2][0].data) == b"w" * 3_000_000  # type: ignore[index]
        assert link.served

    play(scenario)


def test_a_message_of_several_parts_is_one_event(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"x", b"y"))
        await peer.hear(1)
        await peer.say(Parts(1, [1, DROPPED, 1, 1]), b"a", b"b", b"c")
        await peer.say(Results(1, [3, 0]), b"end")
        parts, done = await recorder.until(2)
        assert parts == ("part", 1, [[Chunk(b"a"), Chunk(b"b")], [Chunk(b"c")]])
        assert done[0] == "done"

    play(scenario)


def test_life_messages_go_to_the_owner(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        await peer.say(Hello(pid=1, python="3"))
        await peer.say(LoadFailed(number=500, message="no"))
        assert await recorder.until(2) == [("greeted",), ("loaded", LoadFailed(number=500, message="no"))]
        assert not link.served

    play(scenario)


def test_a_batch_that_no_frame_can_carry_is_answered_in_its_turn(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        link.send(batch(2, b"b", b"c", headers={"h": "\ud800"}))
        link.send(batch(3, b"d"))
        await asyncio.sleep(0)
        assert recorder.events == []
        await peer.say(Results(1, [0]))
        await peer.say(Results(3, [0]))
        first, refused, third = await recorder.until(3)
        assert (first[1], refused[1], third[1]) == (1, 2, 3)
        assert [type(outcome) for outcome in refused[2]] == [BadRequest, BadRequest]  # type: ignore[attr-defined]

    play(scenario)


def test_batches_of_a_model_that_batches_continuously_end_in_any_order(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for number in (1, 2, 3):
            link.send(batch(number, b"a"))
        await peer.say(Parts(2, [1]), b"x")
        await peer.say(Results(3, [1]), b"c")
        await peer.say(Parts(1, [1]), b"y")
        await peer.say(Results(2, [1]), b"b")
        await peer.say(Results(1, [1]), b"a")
        events = await recorder.until(5)
        assert [event[:2] for event in events] == [("part", 2), ("done", 3), ("part", 1), ("done", 2), ("done", 1)]
        await peer.say(Results(2, [1]), b"b")
        assert (await recorder.until(6))[5][0] == "lost"  # an answer is given once

    play(scenario, any_order=True)


def test_where_batches_end_in_any_order_one_that_no_frame_can_carry_waits_for_none(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        link.send(batch(2, b"b", headers={"h": "\ud800"}))
        (refused,) = await recorder.until(1)
        assert refused[:2] == ("done", 2)
        await peer.say(Results(1, [0]))
        assert (await recorder.until(2))[1][:2] == ("done", 1)

    play(scenario, any_order=True)


def test_a_first_batch_that_no_frame_can_carry_is_answered_soon(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"b", headers={"h": "\ud800"}))
        assert recorder.events == []
        ((what, number, _),) = await recorder.until(1)
        assert (what, number) == ("done", 1)

    play(scenario)


def test_the_time_of_a_handler_and_what_it_recorded_are_reported_before_its_results(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        jobs = batch(1, b"a", b"b")
        link.send(jobs)
        await peer.hear(1)
        sample = Sample("Seen", "counter", "Count", [("Level", "Model")], 2.0, "r0")
        await peer.say(Metrics([sample]))
        await peer.say(Results(1, [0, 0], seconds=0.25))
        assert (await recorder.until(3))[:2] == [
            ("recorded", HandlerSample("Seen", "counter", "Count", [("Level", "Model")], 2.0, "r0")),
            ("predicted", 0.25, jobs.jobs),
        ]
        assert recorder.events[2][0] == "done"

    play(scenario)


def test_nothing_is_reported_of_a_handler_that_failed(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        await peer.hear(1)
        await peer.say(Results(1, [0]))
        assert [event[0] for event in await recorder.until(1)] == ["done"]

    play(scenario)
