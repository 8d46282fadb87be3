"""A reply stream: one end, chunks in order, cancellation, and readers that wait."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from stoker import errors
from stoker.core.job import Job, ModelKey, new_request_id
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta


class Recorder:
    def __init__(self) -> None:
        self.cancelled = 0
        self.read = 0

    def job_cancelled(self, job: Job) -> None:
        self.cancelled += 1

    def job_consumed(self, job: Job, nbytes: int) -> None:
        self.read += nbytes


def attached() -> tuple[ReplyStream, Recorder]:
    job, recorder = Job(ModelKey("m", "1"), []), Recorder()
    job.reply.producer, job.reply.job = recorder, job
    return job.reply, recorder


def test_only_the_first_end_counts_and_whatever_follows_is_ignored() -> None:
    reply, _ = attached()
    reply.push(Chunk(b"a"), last=True)
    reply.push(Chunk(b"b"), last=True)
    reply.fail(errors.WorkerDied())
    assert reply.read_nowait() == [Chunk(b"a")] and reply.exhausted and reply.error is None


def test_reading_tells_the_producer_until_the_end_came() -> None:
    reply, recorder = attached()
    reply.push(Chunk(b"abc"), last=False)
    reply.read_nowait()
    assert recorder.read == 3 and reply.backlog == 0
    reply.push(Chunk(b"abc"), last=True)
    reply.read_nowait()
    assert recorder.read == 3


def test_cancel_reaches_the_producer_once_and_never_after_the_end() -> None:
    reply, recorder = attached()
    reply.cancel()
    assert recorder.cancelled == 1
    reply.fail(errors.Cancelled())
    reply.cancel()
    assert recorder.cancelled == 1


def test_a_listener_that_subscribes_late_is_told_at_once() -> None:
    reply, _ = attached()
    reply.push(Chunk(b"a"), last=True)
    calls: list[int] = []
    reply.subscribe(lambda: calls.append(1))
    assert calls == [1]


def test_the_rest_is_all_that_was_not_read_yet() -> None:
    reply, _ = attached()
    meta = ResponseMeta(507, "no", {"k": "v"})
    reply.push(Chunk(b"a"), last=False)
    reply.push(Chunk(b"b", meta), last=False)
    assert reply.read_nowait() == [Chunk(b"a")]
    reply.push(Chunk(b"c"), last=True)
    assert list(reply.rest()) == [Chunk(b"b", meta), Chunk(b"c")]
    assert reply.backlog == 0 and reply.exhausted


async def test_next_waits_for_chunks_and_raises_the_error_after_the_last_one() -> None:
    reply, _ = attached()
    reader = asyncio.ensure_future(reply.next())
    await asyncio.sleep(0)
    reply.push(Chunk(b"a"), last=False)
    assert await reader == Chunk(b"a")
    reply.push(Chunk(b"b"), last=False)
    reply.fail(errors.WorkerDied("exit code 3"))
    assert await reply.next() == Chunk(b"b")
    with pytest.raises(errors.WorkerDied, match="exit code 3"):
        await reply.next()


async def test_a_reader_that_is_cancelled_leaves_the_stream_readable() -> None:
    reply, _ = attached()
    reader = asyncio.ensure_future(reply.next())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    reply.push(Chunk(b"a"), last=True)
    assert await reply.next() == Chunk(b"a") and await reply.next() is None


def test_request_ids_are_uuids_of_version_four() -> None:
    ids = {new_request_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(uuid.UUID(one).version == 4 and uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)


def test_no_default_error_text_has_an_unfilled_field() -> None:
    assert str(errors.ModelNotFound(model="x")) == "Model not found: x"
    assert str(errors.DeadlineExceeded()) == "The deadline passed before the request was served."
    assert str(errors.WorkerDied("exit code 3")).startswith("Worker died.")


def test_several_parts_come_and_are_read_at_once() -> None:
    reply, told = ReplyStream(), list[int]()
    reply.subscribe(lambda: told.append(reply.backlog))
    reply.push_parts([Chunk(b"a"), Chunk(b"bcd"), Chunk(b"e")], 5)
    assert told == [5]
    assert reply.read_nowait(2) == [Chunk(b"a"), Chunk(b"bcd")] and reply.backlog == 1
    assert reply.read_nowait(2) == [Chunk(b"e")] and reply.read_nowait(2) == []


def test_parts_after_the_end_are_ignored() -> None:
    reply = ReplyStream()
    reply.push(Chunk(b"end"), last=True)
    reply.push_parts([Chunk(b"late")], 4)
    assert reply.read_nowait(100) == [Chunk(b"end")] and reply.exhausted
