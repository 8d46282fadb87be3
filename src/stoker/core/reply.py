"""Passes the reply to a job, a stream of chunks, from the scheduler to one frontend.

A unary answer is a stream of one chunk.  The scheduler is the producer (`push`, `push_parts`, `fail`), a frontend
the only consumer (`subscribe`, `read_nowait` / `next`, `cancel`).  A stream ends exactly once: with the chunk pushed
with ``last=True``, or with an error.  Anything after the end is ignored, so a late answer is harmless.
No call here blocks, and none is thread-safe: everything happens on the server's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from msgspec import Struct, field

from stoker.core.buffer import Buffer

if TYPE_CHECKING:
    from stoker.errors import ServingError


class ResponseMeta(NamedTuple):
    """Status (as in HTTP), reason phrase and headers that a handler set through its context for one request."""

    status: int = 200
    reason: str = ""
    headers: Mapping[str, str] = {}


class Chunk(Struct, frozen=True):
    """One part of an answer. ``meta`` is None when the handler set nothing (the usual case)."""

    data: Buffer
    meta: ResponseMeta | None = None


JobT_contra = TypeVar("JobT_contra", contravariant=True)


class Producer(Protocol[JobT_contra]):
    """Acts on what the consumer does. Implemented by the scheduler."""

    def job_cancelled(self, job: JobT_contra) -> None: ...

    def job_consumed(self, job: JobT_contra, nbytes: int) -> None: ...


class ReplyStream(Struct, eq=False):
    """``chunks``: those not read yet; ``backlog``: their bytes.  ``error``: why the stream failed; None: it has not.

    ``producer`` acts on what the consumer does with the reply to ``job``; ``listener``: see `subscribe`.  All three are
    dropped at the end of the stream, so that no reference cycle is left for the garbage collector.
    """

    chunks: list[Chunk] = field(default_factory=list)
    listener: Callable[[], None] | None = None
    producer: Producer[Any] | None = None
    job: Any = None
    backlog: int = 0
    ended: bool = False
    error: ServingError | None = None

    # ------------------------------------------------------------------------------------ producer

    def push(self, chunk: Chunk, *, last: bool) -> None:
        if self.ended:
            return
        self.chunks.append(chunk)
        self.backlog += len(chunk.data)
        listener = self.listener
        if last:
            self.ended = True
            self.producer = self.job = self.listener = None
        if listener is not None:
            listener()

    def push_parts(self, chunks: Sequence[Chunk], nbytes: int) -> None:
        """Adds intermediate chunks, of ``nbytes`` in all."""
        if self.ended:
            return
        self.chunks.extend(chunks)
        self.backlog += nbytes
        if self.listener is not None:
            self.listener()

    def fail(self, error: ServingError) -> None:
        if self.ended:
            return
        listener = self.listener
        self.ended = True
        self.error = error
        self.producer = self.job = self.listener = None
        if listener is not None:
            listener()

    # ------------------------------------------------------------------------------------ consumer

    def subscribe(self, listener: Callable[[], None] | None) -> None:
        """Calls ``listener`` whenever there is something new to read, and at once if there already is.

        The last call is for the end of the stream.
        """
        self.listener = None if self.ended else listener
        if listener is not None and (self.chunks or self.ended):
            listener()

    @property
    def exhausted(self) -> bool:
        """Tells whether everything was read and nothing more will come; `error` is final then."""
        return self.ended and not self.chunks

    @property
    def is_one_chunk(self) -> bool:
        """Tells whether the stream has succeeded and one chunk is unread: before any read, the whole answer."""
        return self.ended and self.error is None and len(self.chunks) == 1

    def read_nowait(self, nbytes: int = 0) -> list[Chunk]:
        """Reads chunks until they have ``nbytes``; at least one, unless none is there (see `exhausted`)."""
        if self.backlog < nbytes:
            chunks, size, self.chunks = self.chunks, self.backlog, []
        else:
            waiting, size, count = self.chunks, 0, 0
            while count < len(waiting) and (not count or size < nbytes):
                size += len(waiting[count].data)
                count += 1
            chunks = waiting[:count]
            del waiting[:count]
        self.backlog -= size
        if chunks and self.producer is not None and self.job is not None:
            self.producer.job_consumed(self.job, size)
        return chunks

    async def next(self) -> Chunk | None:
        """Waits for the next chunk; None at the end.

        Raises: ServingError: the stream ended with an error, after the chunks before it were read.
        """
        while not self.chunks and not self.ended:
            await self._wait_readable()
        if chunks := self.read_nowait():
            return chunks[0]
        if self.error is not None:
            raise self.error
        return None

    async def _wait_readable(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self.subscribe(wake)
        try:
            await ready
        finally:
            self.subscribe(None)

    def rest(self) -> Sequence[Chunk]:
        """Returns all unread chunks of a stream that has ended: for unary calls, which need the whole answer."""
        chunks, self.chunks, self.backlog = self.chunks, [], 0
        return chunks

    def cancel(self) -> None:
        """Drops what is unread and has the producer stop, because the consumer left. Idempotent."""
        self.listener = None
        self.chunks.clear()
        producer, job = self.producer, self.job
        if producer is not None and job is not None:
            producer.job_cancelled(job)
