"""Exchanges, whatever carries them: one end, who is stalled or slow, and how replies become answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from fake_time import FakeTime
from msgspec import field

from stoker.core.ports import AccessRecord
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.errors import HandlerRaised, ReaderTooSlow, ServerStopping, ServingError, StreamStalled
from stoker.frontend import exchange as module
from stoker.frontend.answers import StreamAnswer
from stoker.frontend.exchange import Exchange
from stoker.frontend.open_exchanges import OpenExchanges


class Recording(Exchange, kw_only=True):
    """Writes down what would be sent; has room for ``room`` parts."""

    room: int
    sent: list[object] = field(default_factory=list)
    works: int = 0

    def count(self) -> None:
        self.works += 1

    def respond(self, chunks: Sequence[Chunk]) -> None:
        if self._end(200):
            self.sent.append([chunk.data for chunk in chunks])

    def send(self, chunks: Sequence[Chunk]) -> bool:
        self.started = True
        self.sent += [chunk.data for chunk in chunks]
        self.sent_bytes += sum(len(chunk.data) for chunk in chunks)
        self.room -= 1
        if self.room <= 0:
            self.blocked()
        return self.writable

    def finish(self) -> None:
        if self._end(200):
            self.sent.append("end")

    def fail(self, error: Exception) -> None:
        if self._end(500):
            self.sent.append(type(error))

    def _status_without_answer(self) -> int:
        return 499


def recording(book: OpenExchanges, *, room: int = 100, kind: type[Recording] = Recording) -> Recording:
    exchange = kind(tracker=book, work=kind.count, label="a request", peer="a client", started_at=0.0, room=room)
    book.begin(exchange)
    return exchange


class Log:
    def __init__(self) -> None:
        self.statuses: list[int] = []

    def record(self, calls: Sequence[AccessRecord]) -> None:
        self.statuses += [status for _, _, _, status, _, _ in calls]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def book(log: Log) -> OpenExchanges:
    return OpenExchanges(
        access_log=log,
        max_message_bytes=100,
        stream_stall_timeout_s=30.0,
        stream_min_bytes_per_s=10,
    )


def parts(*data: bytes) -> ReplyStream:
    reply = ReplyStream()
    for part in data:
        reply.push(Chunk(part), last=False)
    return reply


# ------------------------------------------------------------------------------------------------ one end


async def test_an_exchange_ends_exactly_once(book: OpenExchanges, log: Log) -> None:
    exchange = recording(book)
    exchange.finish()
    exchange.fail(HandlerRaised())
    exchange.cancelled()
    exchange.abandon(ServerStopping())
    await asyncio.sleep(0)
    assert (exchange.sent, log.statuses, book.open) == (["end"], [200], set())


async def test_who_is_given_up_has_its_work_cancelled_and_is_told_why(book: OpenExchanges) -> None:
    exchange, cancelled = recording(book), list[int]()
    exchange.on_cancel = lambda: cancelled.append(1)
    exchange.abandon(ServerStopping())
    assert (exchange.sent, cancelled) == ([ServerStopping], [1])


async def test_a_drain_refuses_what_comes_and_gives_up_what_stays(book: OpenExchanges) -> None:
    before = recording(book)
    await book.drain(0.0)
    after = recording(book)
    assert (before.sent, after.sent) == ([ServerStopping], [ServerStopping])
    assert (before.works, after.works) == (1, 0)


# ------------------------------------------------------------------------------------------ slow readers


async def test_a_reader_that_takes_nothing_is_ended_after_the_timeout(book: OpenExchanges, clock: FakeTime) -> None:
    exchange = recording(book, room=1)
    exchange.send([Chunk(b"x" * 1000)])
    clock.now += 29
    book._sweep()
    assert not exchange.ended
    clock.now += 1
    book._sweep()
    assert exchange.sent[1:] == [StreamStalled]
    book.close()


@pytest.mark.parametrize(("bytes_a_second", "ends"), [(9, True), (11, False)])
async def test_a_reader_that_is_behind_all_the_time_is_held_to_the_floor(
    book: OpenExchanges, clock: FakeTime, bytes_a_second: int, ends: bool
) -> None:
    exchange = recording(book, room=1)
    exchange.send([Chunk(b"first")])
    for _ in range(100):
        clock.now += 1
        exchange.became_writable()
        exchange.send([Chunk(bytes(bytes_a_second))])
        book._sweep()
        if exchange.ended:
            break
    assert exchange.ended is ends
    assert (exchange.sent[-1] is ReaderTooSlow) is ends
    book.close()


async def test_a_reader_that_catches_up_now_and_then_is_not_too_slow(book: OpenExchanges, clock: FakeTime) -> None:
    """Slow is the model then."""
    exchange = recording(book, room=1)
    for _ in range(100):
        exchange.send([Chunk(b"x")])
        clock.now += 10
        exchange.became_writable()
        book._sweep()
    assert not exchange.ended
    book.close()


# ------------------------------------------------------------------------------------- replies and answers


async def test_a_unary_answer_is_all_parts_at_the_end(book: OpenExchanges) -> None:
    exchange, reply = recording(book), parts(b"a", b"b")
    exchange.respond_from(reply)
    assert exchange.sent == []
    reply.push(Chunk(b"c"), last=True)
    assert exchange.sent == [[b"a", b"b", b"c"]]


LONG = bytes(16 << 10)
"""Nothing is handed over together with it."""


async def test_parts_that_wait_are_handed_over_together_up_to_a_size(book: OpenExchanges) -> None:
    class Calls(Recording):
        def send(self, chunks: Sequence[Chunk]) -> bool:
            self.started = True
            self.sent.append([len(chunk.data) for chunk in chunks])
            return True

    exchange, reply = recording(book, kind=Calls), parts(b"a", b"bc", LONG, LONG, b"d")
    StreamAnswer(exchange, reply)
    reply.push_parts([Chunk(b"e"), Chunk(b"f")], 2)
    reply.push(Chunk(b"last"), last=True)
    assert exchange.sent == [[1, 2, len(LONG)], [len(LONG)], [1], [1, 1], [4], "end"]


async def test_a_stream_is_sent_part_by_part_and_one_part_alone_whole(book: OpenExchanges) -> None:
    several, reply = recording(book), parts(b"a")
    StreamAnswer(several, reply)
    reply.push(Chunk(b"b", ResponseMeta()), last=True)
    assert several.sent == [b"a", b"b", "end"]
    alone, reply = recording(book), ReplyStream()
    StreamAnswer(alone, reply)
    reply.push(Chunk(b"only"), last=True)
    assert alone.sent == [[b"only"]]


@pytest.mark.parametrize(("error", "at_once"), [(HandlerRaised(), False), (ServerStopping(), True)])
async def test_an_error_follows_what_was_sent_unless_it_cannot_wait(
    book: OpenExchanges, error: ServingError, at_once: bool
) -> None:
    exchange, reply = recording(book, room=0), parts(LONG, b"b")
    exchange.tracker.blocked = lambda exchange: None  # type: ignore[method-assign]
    StreamAnswer(exchange, reply)
    reply.fail(error)
    assert exchange.sent == [LONG, *([type(error)] if at_once else [])]
    exchange.room = 100
    exchange.became_writable()
    assert exchange.sent[-1] is type(error)


@pytest.mark.parametrize("answer", [Exchange.respond_from, StreamAnswer])
async def test_a_client_that_leaves_cancels_the_reply(
    book: OpenExchanges, answer: Callable[[Exchange, ReplyStream], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, reply, cancelled = recording(book), ReplyStream(), list[int]()
    monkeypatch.setattr(ReplyStream, "cancel", lambda reply: cancelled.append(1))
    answer(exchange, reply)
    exchange.cancelled()
    assert cancelled == [1]
