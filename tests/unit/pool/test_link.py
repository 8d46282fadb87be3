"""The server's end of the border against a peer in this process, on both event loops, and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest
import uvloop
from tls_kit import tls_pair

from stoker.core.job import Batch, Input, Job, ModelKey
from stoker.core.measures import HandlerSample, Unmeasured
from stoker.core.ports import Outcome
from stoker.core.reply import Chunk
from stoker.core.turn import current_turn
from stoker.errors import BadRequest, ServingError
from stoker.ipc import codec
from stoker.ipc.dialing import Stream
from stoker.ipc.frames import Decoder, FrameError
from stoker.ipc.tls_socket import TlsSocket
from stoker.ipc.to_server import DROPPED, Hello, Loaded, LoadFailed, Metrics, Parts, Results, Sample, ToServer
from stoker.ipc.to_worker import Cancel, Grant, Predict, ToWorker
from stoker.pool.busy import BusyWorkers
from stoker.pool.link import Link

KEY = ModelKey("m", "1")


class Recorder:
    """Scheduler and owner in one; ``telemetry`` tells it, too."""

    def __init__(self) -> None:
        self.telemetry = RecordingTelemetry(self)
        self.busy = BusyWorkers(2)
        self.events: list[tuple[object, ...]] = []
        self.changed = asyncio.Event()

    def _note(self, *event: object) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, count: int) -> list[tuple[object, ...]]:
        while len(self.events) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 30)
        return self.events

    def batch_parts(self, worker: object, batch_id: int, parts: Sequence[Sequence[Chunk]]) -> None:
        self._note("part", batch_id, list(parts))

    def batch_done(self, worker: object, batch_id: int, outcomes: Sequence[Outcome], handler_s: float = -1.0) -> None:
        self._note("done", batch_id, list(outcomes))

    def greeted(self) -> None:
        self._note("greeted")

    def loaded(self, message: Loaded | LoadFailed) -> None:
        self._note("loaded", message)

    def answered(self) -> None:
        pass

    def lost(self, error: FrameError | None) -> None:
        self._note("lost", error)

    def restart(self, reason: ServingError) -> None:
        self._note("restart", reason)


class RecordingTelemetry(Unmeasured):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def predicted(self, seconds: float, jobs: Sequence[object]) -> None:
        self._recorder._note("predicted", seconds, list(jobs))

    def recorded(self, sample: HandlerSample) -> None:
        self._recorder._note("recorded", sample)


class FakeProcess:
    """What a link needs of a `WorkerProcess`."""

    def __init__(self, sock: Stream, *, shares_cores: bool = True) -> None:
        self.sock = sock
        self.shares_cores = shares_cores
        self.progress_fd = os.memfd_create("test")
        os.ftruncate(self.progress_fd, 8)


class Peer:
    """A worker that reads and writes when the test says so."""

    def __init__(self, sock: Stream) -> None:
        self.sock = sock
        self._decoder = Decoder()

    async def say(self, message: ToServer, *payloads: bytes) -> None:
        data = b"".join(codec.encode(message, payloads))
        if isinstance(self.sock, TlsSocket):
            await asyncio.to_thread(self.sock.sendall, data)
        else:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear(self, count: int) -> list[tuple[ToWorker, bytes]]:
        heard: list[tuple[ToWorker, bytes]] = []
        while len(heard) < count:
            data = await self._receive()
            for frame in self._decoder.feed(data):
                heard.append((codec.decode_to_worker(frame.header), bytes(frame.payload)))
        return heard

    async def _receive(self) -> bytes:
        if isinstance(self.sock, TlsSocket):
            return await asyncio.to_thread(self.sock.recv, 65536)
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)


Scenario = Callable[[Link, Recorder, Peer], Awaitable[None]]


@pytest.fixture(
    params=[
        (asyncio.new_event_loop, socket.socketpair),
        (uvloop.new_event_loop, socket.socketpair),
        (uvloop.new_event_loop, tls_pair),
    ],
    ids=["asyncio", "uvloop", "tls"],
)
def play(request: pytest.FixtureRequest) -> Iterator[Callable[[Scenario], None]]:
    new_loop, pair = request.param
    loop = new_loop()

    async def stage(scenario: Scenario, max_payload_bytes: int, any_order: bool, shares_cores: bool) -> None:
        ours, theirs = pair()
        with contextlib.closing(ours), contextlib.closing(theirs):
            ours.setblocking(False)
            theirs.setblocking(isinstance(theirs, TlsSocket))
            process, recorder = FakeProcess(ours, shares_cores=shares_cores), Recorder()
            link = Link(
                9000,
                process,  # type: ignore[arg-type]
                owner=recorder,
                scheduler=recorder,  # type: ignore[arg-type]
                max_payload_bytes=max_payload_bytes,
                busy=recorder.busy,
                any_order=any_order,
                telemetry=recorder.telemetry,
                poll_s=0.01,
                monotonic=lambda: 1.0,
            )
            link.start()
            try:
                await scenario(link, recorder, Peer(theirs))
            finally:
                link.close()
            os.close(process.progress_fd)

    def run(
        scenario: Scenario,
        *,
        max_payload_bytes: int = 100 << 20,
        any_order: bool = False,
        shares_cores: bool = True,
    ) -> None:
        loop.run_until_complete(stage(scenario, max_payload_bytes, any_order, shares_cores))

    yield run
    loop.close()


Play = Callable[..., None]


def batch(number: int, *values: bytes, headers: dict[str, str] | None = None) -> Batch:
    return Batch(number, [Job(KEY, [Input("data", "", value)], headers=headers or {}) for value in values])


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


async def answered_on_the_spot(link: Link, recorder: Recorder, peer: Peer, *numbers: int) -> bool:
    """Whether answers that are there when the batches leave are read before the loop looks at the socket."""
    before = len(recorder.events)

    def callback() -> None:
        for number in numbers:
            link.send(batch(number, b"x"))
            peer.sock.sendall(b"".join(codec.encode(Results(number, [1]), [b"y"])))

    current_turn().run(callback)
    found = len(recorder.events) > before
    await recorder.until(before + len(numbers))
    return found


def test_the_answer_of_a_lone_batch_is_looked_for_once_answers_come_in_a_moment(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        assert [await answered_on_the_spot(link, recorder, peer, number) for number in (1, 2, 3)] == [False, True, True]
        assert not await answered_on_the_spot(link, recorder, peer, 4, 5)
        assert await answered_on_the_spot(link, recorder, peer, 6)
        recorder.busy.record("another worker", at_work=True)
        assert not await answered_on_the_spot(link, recorder, peer, 7)

    play(scenario)


def test_what_is_said_in_one_turn_leaves_in_one_write(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for number in range(1, 6):
            link.send(batch(number, b"x"))
        link.cancel(1, 0)
        link.grant(2, 0, 77)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        frames = list(Decoder().feed(peer.sock.recv(65536)))
        said = [codec.decode_to_worker(frame.header) for frame in frames]
        assert len(said) == 7
        assert said[-2:] == [Cancel(1, 0), Grant(2, 0, 77)]

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


def test_a_worker_may_look_for_its_next_batch_while_the_busy_ones_leave_a_core(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"x"))
        link.send(batch(2, b"x"))
        recorder.busy.record("another worker", at_work=True)
        link.send(batch(3, b"x"))
        heard = await peer.hear(3)
        assert [message.may_poll for message, _ in heard if isinstance(message, Predict)] == [True, True, False]
        for number in (1, 2):
            await peer.say(Results(number, [0]))
        await recorder.until(2)
        assert not recorder.busy.leave_a_core
        await peer.say(Results(3, [0]))
        await recorder.until(3)
        assert recorder.busy.leave_a_core

    play(scenario)


def test_a_worker_on_another_machine_looks_for_its_next_batch_and_takes_no_core_here(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        for other in ("one", "another"):
            recorder.busy.record(other, at_work=True)
        link.send(batch(1, b"x"))
        ((message, _),) = await peer.hear(1)
        assert isinstance(message, Predict) and message.may_poll
        recorder.busy.record("one", at_work=False)
        assert recorder.busy.leave_a_core
        assert not recorder.busy.only_one
        link.close()
        assert recorder.busy.only_one

    play(scenario, shares_cores=False)


def test_a_worker_that_is_gone_is_busy_no_more(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        recorder.busy.record("another worker", at_work=True)
        link.send(batch(1, b"x"))
        assert not recorder.busy.leave_a_core
        link.close()
        assert recorder.busy.leave_a_core

    play(scenario)


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


def test_life_messages_go_to_the_owner(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        await peer.say(Hello(pid=1, python="3"))
        await peer.say(LoadFailed(number=500, message="no"))
        assert await recorder.until(2) == [("greeted",), ("loaded", LoadFailed(number=500, message="no"))]
        assert not link.served

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
        link.send(batch(2, b"a"))  # goes nowhere, and is no error

    play(scenario)


def test_a_limit_of_the_payload_is_checked_before_memory_is_taken(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        peer.sock.sendall(struct.pack("<II", 10, 1001))
        ((what, error),) = await recorder.until(1)
        assert what == "lost"
        assert "over the limit" in str(error)

    play(scenario, max_payload_bytes=1000)


def test_a_closed_socket_is_told_once_without_an_error(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        peer.sock.close()
        assert await recorder.until(1) == [("lost", None)]
        link.send(batch(1, b"a"))
        link.read_rest()
        await asyncio.sleep(0)
        assert recorder.events == [("lost", None)]

    play(scenario)


def test_what_was_said_before_the_death_is_read_after_it(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        peer.sock.sendall(b"".join(codec.encode(Results(1, [2]), [b"ok"])))
        peer.sock.sendall(struct.pack("<II", 100, 0) + b"half a frame")
        peer.sock.close()
        link.read_rest()
        assert recorder.events == [("done", 1, [Chunk(b"ok")]), ("lost", None)]

    play(scenario)


def test_what_was_said_before_the_death_is_read_when_a_batch_finds_nobody(play: Play) -> None:
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


def test_the_time_of_a_handler_and_what_it_recorded_are_told_before_its_results(play: Play) -> None:
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


def test_nothing_is_told_of_a_handler_that_failed(play: Play) -> None:
    async def scenario(link: Link, recorder: Recorder, peer: Peer) -> None:
        link.send(batch(1, b"a"))
        await peer.hear(1)
        await peer.say(Results(1, [0]))
        assert [event[0] for event in await recorder.until(1)] == ["done"]

    play(scenario)
